import { apiAddress, type ClusterHost, registryName } from "../../cluster/cluster.ts";
import { call } from "../../plan/shell.ts";
import { fileStep, type Step } from "../../plan/step.ts";
import type { Context } from "../context.ts";

/** On a host with a proxy, a unit reaches the cluster's own addresses without it. */
export function proxyStep({ cluster, factsOf }: Context, host: ClusterHost, unit: string): Step[] {
  if (factsOf(host).proxies.length === 0) return [];
  const { kubernetes, hosts, registry } = cluster;
  const direct = [
    "localhost",
    "127.0.0.1",
    kubernetes.podSubnet,
    kubernetes.serviceSubnet,
    `.${kubernetes.dnsDomain}`,
    ".svc",
    apiAddress(cluster).address,
    registryName(registry).replace(/:\d+$/, ""),
    ...(registry.address ? [registry.address] : []),
    // A worker that joins later must not restart the runtimes of other hosts.
    ...hosts
      .filter(({ roles }) => roles.some((role) => role !== "worker"))
      .flatMap(({ name, address }) => [name, address]),
    host.name,
    host.address,
  ];
  const value = [...new Set(direct)].join(",");
  return [
    fileStep({
      id: `proxy-${unit}`,
      title: `${unit} reaches the cluster without a proxy`,
      path: `/etc/systemd/system/${unit}.service.d/airgap-proxy.conf`,
      content: `[Service]\nEnvironment="NO_PROXY=${value}" "no_proxy=${value}"\n`,
      undone: call("systemctl", "daemon-reload"),
    }),
  ];
}
