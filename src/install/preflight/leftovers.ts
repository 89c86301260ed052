import { basename } from "node:path/posix";
import { contains, parseSubnet } from "../../address.ts";
import type { Cluster, ClusterHost } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import type { Context } from "../context.ts";
import type { Finding } from "./finding.ts";

/** Something of another cluster on a host. */
export interface Leftover {
  kind: "service" | "device" | "configuration";
  /** A unit, a network device, a path; as `reset --leftovers` takes it. */
  name: string;
  /** Why it is in the way. */
  why: string;
}

/** Kubernetes of other makers, by how their services are called. */
const OTHERS = /^(?:k3s(?:-agent)?|rke2-(?:server|agent)|k0s(?:controller|worker)|snap\.microk8s\..*)$/;

/** Bridges and tunnels that pod networks make. */
const DEVICE = /^(?:cni0|flannel[.-].*|vxlan\.calico|tunl0|weave|cilium_.*|kube-bridge)$/;

/** Configurations that a runtime reads: https://github.com/containernetworking/cni/blob/main/libcni/conf.go */
const CONFIGURATION = /\.(?:conf|conflist|json)$/;

function services({ active, exists }: Facts): Leftover[] {
  const others = active.filter((unit) => OTHERS.test(unit));
  const traces = exists.some((path) => path.startsWith("/etc/kubernetes/"));
  return [
    ...others.map(
      (unit): Leftover => ({
        kind: "service",
        name: unit,
        why: `${unit} runs here: another Kubernetes, with a kubelet and a runtime of its own`,
      }),
    ),
    ...(active.includes("kubelet") && !traces
      ? [
          {
            kind: "service" as const,
            name: "kubelet",
            why: "a kubelet runs here that no kubeadm has made",
          },
        ]
      : []),
  ];
}

/** A bridge keeps its address, and the plugin that finds another one on it than its own gives pods no network. */
function devices({ addresses }: Facts, { kubernetes }: Cluster): Leftover[] {
  const pods = parseSubnet(kubernetes.podSubnet);
  return addresses
    .filter(({ interface: name }) => DEVICE.test(name))
    .map(({ interface: name, cidr }): Leftover => {
      const outside = pods !== undefined && !contains(pods, cidr.split("/")[0] ?? "");
      const why = `${name} has ${cidr}, left from another pod network${outside ? ` (pods here get ${kubernetes.podSubnet})` : ""}: pods would get no network`;
      return { kind: "device", name, why };
    });
}

/** Of several configurations the runtime takes the one whose name comes first. */
function configurations({ exists }: Facts, { network }: Cluster): Leftover[] {
  if (network === undefined) return [];
  const own = `10-${network.name}.conflist`;
  return exists
    .filter((path) => path.startsWith("/etc/cni/net.d/") && CONFIGURATION.test(path))
    .filter((path) => basename(path) < own)
    .map((name) => ({
      kind: "configuration",
      name,
      why: `${name} would be used instead of ${own}: the runtime takes the first by name`,
    }));
}

/** What others have left on a host, or still run there. On a host of this cluster it may be an add-on's. */
export function leftoversOn({ roles }: ClusterHost, facts: Facts, cluster: Cluster): Leftover[] {
  const node = roles.includes("control-plane") || roles.includes("worker");
  if (!node || facts.owner === cluster.name) return [];
  const found = [...services(facts), ...devices(facts, cluster), ...configurations(facts, cluster)];
  return [...new Map(found.map((each) => [each.name, each])).values()];
}

/** The same as findings, each with how to remove it. */
export function leftovers(host: ClusterHost, facts: Facts, { cluster }: Context): Omit<Finding, "host">[] {
  const found = leftoversOn(host, facts, cluster);
  const all = found.map(({ name }) => name).join(",");
  const runs = facts.active.includes("containerd") && !facts.active.includes("docker");
  const node = host.roles.includes("control-plane") || host.roles.includes("worker");
  return [
    ...found.map(({ why }) => ({
      check: "leftovers" as const,
      severity: "error" as const,
      message: why,
      suggestion: `if nobody needs it any more: airgap reset CLUSTER --hosts ${host.name} --leftovers ${all}`,
    })),
    ...(runs && node && facts.owner !== cluster.name
      ? [
          {
            check: "leftovers" as const,
            severity: "warning" as const,
            message: "containerd runs here for somebody; airgap reconfigures and restarts it",
          },
        ]
      : []),
  ];
}
