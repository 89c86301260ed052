import { nthAddress, parseSubnet } from "../../address.ts";
import type { ClusterHost } from "../../cluster/cluster.ts";
import { fillShipped } from "../../host/shipped.ts";
import { here, raw, sh } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { type Step, shortHash } from "../../plan/step.ts";
import { type Context, wave } from "../context.ts";

const PROBE = "/run/airgap-probe.yaml";

/**
 * The cluster is what it was meant to be. Its network is tried once for each node, from pods on
 * that very node: their network is entered from the host, so no image needs to have tools in it.
 */
export function verifyStage(context: Context): Wave[] {
  const networked = context.cluster.network !== undefined;
  const first = [
    {
      host: context.first.name,
      steps: [nodesStep(context, networked), ...(networked ? [systemStep()] : [])],
    },
  ];
  const untried = context.nodes.filter((host) => context.factsOf(host).verified !== stampOf(context));
  if (untried.length === 0 || !networked) return [first];
  return [
    first,
    [{ host: context.first.name, steps: [probeStep(context)] }],
    wave(untried, () => [networkStep(context)]),
    [{ host: context.first.name, steps: [nodePortStep(context, untried), cleanStep()] }],
  ];
}

/** What a node's network depends on; not on other nodes, so that a new one leaves the others alone. */
function stampOf({ cluster, bundle, images }: Context): string {
  const network = cluster.network
    ? (bundle.manifests[cluster.network.name]?.files ?? []).map(({ text }) => text)
    : [];
  return shortHash(
    JSON.stringify([cluster.kubernetes, cluster.network, cluster.runtime, images.sandbox]),
    ...network,
  );
}

/** Without a network of our own making nodes are there, but not ready. */
function nodesStep({ cluster, nodes }: Context, ready: boolean): Step {
  const names = nodes.map(({ name }) => name);
  const check = sh`
    found=$(kubectl get nodes -o ${`jsonpath={range .items[*]}{.metadata.name} {.status.nodeInfo.kubeletVersion}${ready ? ' {.status.conditions[?(@.type=="Ready")].status}' : ""}{"\\n"}{end}`})
    for name in ${names}; do
      printf '%s\n' "$found" | grep -qxF "$name ${raw(cluster.kubernetes.version)}${raw(ready ? " True" : "")}" || fail "$name is not ready, or not at ${raw(cluster.kubernetes.version)}:
    $found"
    done`;
  return {
    id: "nodes",
    title: `Every node is ${ready ? "ready and " : ""}at ${cluster.kubernetes.version}: ${names.length}`,
    check,
    apply: sh`
      ready() {
        ${raw(check)}
      }
      wait_for 300 ready`,
  };
}

/** Pods of jobs may have ended; all others are to be ready. */
function systemStep(): Step {
  const check = sh`
    found=$(kubectl -n kube-system get pods -o 'jsonpath={range .items[*]}{.metadata.name} {.status.phase} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}')
    bad=$(printf '%s\n' "$found" | awk '$2 != "Succeeded" && $3 != "True"')
    [ -z "$bad" ] || fail "not ready in kube-system: $bad"`;
  return {
    id: "system-pods",
    title: "The system's own pods run",
    check,
    apply: sh`
      ready() {
        ${raw(check)}
      }
      wait_for 300 ready || {
        kubectl -n kube-system get events --sort-by=.lastTimestamp | grep -v ' Normal ' | tail -n 15
        fail "pods of kube-system are not ready"
      }`,
  };
}

function probeStep({ images }: Context): Step {
  return {
    id: "probe",
    title: "Each node has a pod to try its network with",
    check: sh`rolled_out kube-system daemonset/airgap-probe`,
    apply: sh`
      cat >${PROBE} ${here(fillShipped("probe.yaml", { IMAGE: images.sandbox }))}
      apply_manifest ${PROBE}
      rm -f ${PROBE}
      roll_out kube-system daemonset/airgap-probe 180`,
    undo: sh`:`,
  };
}

/** A question for an A record as RFC 1035, 4.1 has it, in printf's octal notation; and its length in bytes. */
export function dnsQuery(name: string): { octal: string; length: number } {
  const labels = name.split(".").flatMap((label) => [label.length, ...Buffer.from(label)]);
  const bytes = [0x41, 0x47, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1];
  return {
    octal: bytes.map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join(""),
    length: bytes.length,
  };
}

function networkStep(context: Context): Step {
  const { cluster } = context;
  const { dnsDomain, dnsHosts, serviceSubnet } = cluster.kubernetes;
  const services = parseSubnet(serviceSubnet);
  const server = services ? nthAddress(services, 10) : "";
  const ask = (name: string): string => {
    const { octal, length } = dnsQuery(name);
    return sh`dns "$pod" ${server} ${octal} ${length}`;
  };
  const api = `kubernetes.default.svc.${dnsDomain}`;
  const own = Object.entries(dnsHosts).filter(([, address]) => !address.includes(":"));
  const ownChecks = own.map(
    ([name, address]) => sh`knows ${name} ${address} || fail ${`DNS does not answer ${address} for ${name}`}`,
  );
  const knows = own.map(([name]) => `${quoteCase(name)}) ${ask(name)} ;;`).join("\n    ");
  return {
    id: "pod-network",
    title: "From a pod of this host: services by name, pods of all hosts",
    check: sh`[ "$(cat "$airgap_home/verified" 2>/dev/null)" = ${stampOf(context)} ]`,
    apply: sh`
      pod=$(pod_process)
      by_name() {
        if ! found=$(${raw(ask(api))}) || [ -z "$found" ]; then fail ${`DNS at ${server} does not answer for ${api}:`} "$found"; fi
      }
      wait_for 60 by_name
      all_pods() {
        if ! pods=$(${raw(ask(`airgap-probe.kube-system.svc.${dnsDomain}`))}) || [ -z "$pods" ]; then fail "DNS does not know the pods: $pods"; fi
        for address in $pods; do reaches "$pod" "$address"; done
      }
      wait_for 60 all_pods
      ${raw(own.length > 0 ? `knows() {\n  case $1 in\n    ${knows}\n  esac | grep -qxF "$2"\n}\n${ownChecks.join("\n")}` : ":")}
      echo ${stampOf(context)} >"$airgap_home/verified"`,
    undo: sh`rm -f "$airgap_home/verified"`,
  };
}

const quoteCase = (name: string): string => `'${name}'`;

/** From the first control plane, which is outside for all others. */
function nodePortStep(context: Context, hosts: ClusterHost[]): Step {
  const stamp = shortHash(stampOf(context), ...hosts.map(({ name }) => name));
  return {
    id: "node-port",
    title: "A service answers at a port of every node",
    check: sh`[ "$(cat "$airgap_home/verified-ports" 2>/dev/null)" = ${stamp} ]`,
    apply: sh`
      port=$(kubectl -n kube-system get service airgap-probe-port -o 'jsonpath={.spec.ports[0].nodePort}')
      for address in ${hosts.map(({ address }) => address)}; do wait_for 60 answers "$address" "$port"; done
      echo ${stamp} >"$airgap_home/verified-ports"`,
    undo: sh`rm -f "$airgap_home/verified-ports"`,
  };
}

function cleanStep(): Step {
  return {
    id: "probe-gone",
    title: "The pods that the network was tried with are gone",
    check: sh`
      found=$(kubectl -n kube-system get daemonset,service -o name)
      ! printf '%s\n' "$found" | grep -q airgap-probe`,
    apply: sh`kubectl -n kube-system delete --ignore-not-found --wait=false daemonset/airgap-probe service/airgap-probe service/airgap-probe-port`,
  };
}
