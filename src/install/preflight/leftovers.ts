import { basename } from "node:path/posix";
import { contains, parseSubnet } from "../../address.ts";
import type { Cluster, ClusterHost } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import type { Context } from "../context.ts";
import type { Finding } from "./finding.ts";

type Found = Omit<Finding, "host" | "check">;

/** Kubernetes of other makers, by how their services are called. */
const OTHERS = /^(?:k3s(?:-agent)?|rke2-(?:server|agent)|k0s(?:controller|worker)|snap\.microk8s\..*)$/;

/** Bridges and tunnels that pod networks make. */
const DEVICE = /^(?:cni0|flannel[.-].*|vxlan\.calico|tunl0|weave|cilium_.*|kube-bridge)$/;

/** Configurations that a runtime reads: https://github.com/containernetworking/cni/blob/main/libcni/conf.go */
const CONFIGURATION = /\.(?:conf|conflist|json)$/;

function services({ active, exists }: Facts): Found[] {
  const others = active.filter((unit) => OTHERS.test(unit));
  const traces = exists.some((path) => path.startsWith("/etc/kubernetes/"));
  return [
    ...others.map(
      (unit): Found => ({
        severity: "error",
        message: `${unit} runs here: another Kubernetes, with a kubelet and a runtime of its own`,
        suggestion: `if it is not needed any more, remove it as its makers say (k3s: k3s-uninstall.sh), or: systemctl disable --now ${unit}`,
      }),
    ),
    ...(active.includes("kubelet") && !traces
      ? [
          {
            severity: "error" as const,
            message: "a kubelet runs here that no kubeadm has made",
            suggestion: "if it is not needed any more: systemctl disable --now kubelet",
          },
        ]
      : []),
    ...(active.includes("containerd") && !active.includes("docker")
      ? [
          {
            severity: "warning" as const,
            message: "containerd runs here for somebody; it is reconfigured and started anew",
          },
        ]
      : []),
  ];
}

/** A bridge keeps its address, and the plugin that finds another one on it than its own gives pods no network. */
function devices({ addresses }: Facts, { kubernetes }: Cluster): Found[] {
  const pods = parseSubnet(kubernetes.podSubnet);
  return addresses
    .filter(({ interface: name }) => DEVICE.test(name))
    .map(({ interface: name, cidr }): Found => {
      const outside = pods !== undefined && !contains(pods, cidr.split("/")[0] ?? "");
      return {
        severity: "error",
        message: `${name} has ${cidr}, left from another pod network${outside ? ` (pods here get ${kubernetes.podSubnet})` : ""}: pods would get no network`,
        suggestion: `ip link delete ${name}`,
      };
    });
}

/** Of several configurations the runtime takes the one whose name comes first. */
function configurations({ exists }: Facts, { network }: Cluster): Found[] {
  if (network === undefined) return [];
  const own = `10-${network.name}.conflist`;
  const earlier = exists
    .filter((path) => path.startsWith("/etc/cni/net.d/") && CONFIGURATION.test(path))
    .filter((path) => basename(path) < own);
  if (earlier.length === 0) return [];
  return [
    {
      severity: "error",
      message: `${earlier.join(", ")} would be used instead of ${own}: the runtime takes the first by name`,
      suggestion: `if it is not needed any more: rm ${earlier.join(" ")}`,
    },
  ];
}

/** What others have left on a host, or still run there. In this cluster it may be an add-on's. */
export function leftovers(
  { roles }: ClusterHost,
  facts: Facts,
  { cluster }: Context,
): Omit<Finding, "host">[] {
  const node = roles.includes("control-plane") || roles.includes("worker");
  if (!node || facts.owner === cluster.name) return [];
  return [...services(facts), ...devices(facts, cluster), ...configurations(facts, cluster)].map((found) => ({
    check: "leftovers",
    ...found,
  }));
}
