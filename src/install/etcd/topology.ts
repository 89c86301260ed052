import { apiAddress, type Cluster, type ClusterHost, hostsOf } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import { isRecord } from "../../oci/descriptor.ts";

/** What only members of etcd have. */
export const DATA = "/var/lib/etcd";

/** With which files a control plane asks an external etcd; kubeadm calls them the same for one of its own. */
export const ETCD_CLIENT = {
  ca: "/etc/kubernetes/pki/etcd/ca.crt",
  cert: "/etc/kubernetes/pki/apiserver-etcd-client.crt",
  key: "/etc/kubernetes/pki/apiserver-etcd-client.key",
};

const urlOf = (address: string, port: number): string =>
  `https://${address.includes(":") ? `[${address}]` : address}:${port}`;

/** Where a member listens for the API servers. */
export const clientUrl = ({ address }: { address: string }): string => urlOf(address, 2379);
/** Where a member listens for the others. */
export const peerUrl = ({ address }: { address: string }): string => urlOf(address, 2380);

/** Whether the cluster keeps its objects elsewhere than on its control planes. */
export const isExternal = ({ etcd }: Pick<Cluster, "etcd">): boolean => etcd.mode !== "stacked";

/** Where API servers ask etcd; empty when it is on the control planes. */
export function endpointsOf(cluster: Cluster): string[] {
  if (cluster.etcd.mode === "given") return cluster.etcd.endpoints;
  return cluster.etcd.mode === "external" ? hostsOf(cluster, "etcd").map(clientUrl) : [];
}

/** Whether a host has a member's data, of this cluster or another. */
export const hasData = ({ exists }: Facts): boolean => exists.includes(`${DATA}/member`);

/** Whether a host is a member of this cluster's own etcd. */
export const isMember = (cluster: Cluster, host: ClusterHost, facts: Facts | undefined): boolean =>
  cluster.etcd.mode === "external" &&
  host.roles.includes("etcd") &&
  facts?.owner === cluster.name &&
  hasData(facts);

/** Below which key the API servers keep their objects: their `--etcd-prefix`. Ends with a slash. */
export function registryPrefix({ kubeadm }: Cluster): string {
  const server = kubeadm.ClusterConfiguration?.["apiServer"];
  const given = isRecord(server) ? server["extraArgs"] : undefined;
  const named = Array.isArray(given)
    ? given.find((entry) => isRecord(entry) && entry["name"] === "etcd-prefix")?.["value"]
    : isRecord(given)
      ? given["etcd-prefix"]
      : undefined;
  return `${String(named ?? "/registry").replace(/\/+$/, "")}/`;
}

/** A name of this etcd that no other has: a member of another one is refused. */
export const tokenOf = (cluster: Cluster): string => `${cluster.name}-${apiAddress(cluster).address}`;
