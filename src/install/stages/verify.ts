import { nthAddress, parseSubnet } from "../../address.ts";
import type { ClusterHost } from "../../cluster/cluster.ts";
import { fillShipped } from "../../host/shipped.ts";
import { call, callWithInput } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { type Step, shortHash } from "../../plan/step.ts";
import { type Context, wave } from "../context.ts";

const NOTE = "verified";
const NOTE_PORTS = "verified-ports";

/**
 * Checks that the cluster is as it should be. Its network is tested once for each node, from pods on
 * that node: the host enters their network namespace, so images do not need tools for it.
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

/** What a node's network depends on: not on other nodes, so that a new node does not affect them. */
function stampOf({ cluster, bundle, images }: Context): string {
  const network = cluster.network
    ? (bundle.manifests[cluster.network.name]?.files ?? []).map(({ text }) => text)
    : [];
  return shortHash(
    JSON.stringify([cluster.kubernetes, cluster.network, cluster.runtime, images.sandbox]),
    ...network,
  );
}

/** If airgap does not install the network, nodes exist but are not ready. */
function nodesStep({ cluster, nodes }: Context, ready: boolean): Step {
  const names = nodes.map(({ name }) => name);
  const wanted = ["nodes_are_at", cluster.kubernetes.version, ready ? "yes" : "no", ...names] as const;
  return {
    id: "nodes",
    title: `Every node is ${ready ? "ready and " : ""}at ${cluster.kubernetes.version}: ${names.length}`,
    check: call(...wanted),
    apply: call("wait_for", 300, ...wanted),
  };
}

function systemStep(): Step {
  return {
    id: "system-pods",
    title: "The system's own pods run",
    check: call("pods_are_ready", "kube-system"),
    apply: call("wait_for_pods", "kube-system", 300),
  };
}

function probeStep({ images }: Context): Step {
  return {
    id: "probe",
    title: "Each node has a pod for testing its network",
    check: call("rolled_out", "kube-system", "daemonset/airgap-probe"),
    apply: callWithInput(fillShipped("probe.yaml", { IMAGE: images.sandbox }), "start_probe"),
    undo: ":",
  };
}

function networkStep(context: Context): Step {
  const { cluster } = context;
  const { dnsDomain, dnsHosts, serviceSubnet } = cluster.kubernetes;
  const services = parseSubnet(serviceSubnet);
  const server = services ? nthAddress(services, 10) : "";
  const own = Object.entries(dnsHosts).filter(([, address]) => !address.includes(":"));
  const stamp = stampOf(context);
  return {
    id: "pod-network",
    title: "From a pod of this host: services by name, pods of all hosts",
    check: call("is_noted", NOTE, stamp),
    apply: [call("probe_network", server, dnsDomain, ...own.flat()), call("note", NOTE, stamp)].join("\n"),
    undo: call("drop_note", NOTE),
  };
}

/** From the first control plane, which is outside the other nodes. */
function nodePortStep(context: Context, hosts: ClusterHost[]): Step {
  const stamp = shortHash(stampOf(context), ...hosts.map(({ name }) => name));
  return {
    id: "node-port",
    title: "A service answers on a port of every node",
    check: call("is_noted", NOTE_PORTS, stamp),
    apply: [
      call("probe_node_ports", ...hosts.map(({ address }) => address)),
      call("note", NOTE_PORTS, stamp),
    ].join("\n"),
    undo: call("drop_note", NOTE_PORTS),
  };
}

function cleanStep(): Step {
  return {
    id: "probe-gone",
    title: "The pods for testing the network are removed",
    check: call("probe_is_gone"),
    apply: call("remove_probe"),
  };
}
