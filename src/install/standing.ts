import { type Cluster, type ClusterHost, hostsOf } from "../cluster/cluster.ts";
import type { Facts } from "../host/facts.ts";

const ADMIN = "/etc/kubernetes/admin.conf";
const KUBELET = "/etc/kubernetes/kubelet.conf";

/** A run of kubeadm that did not finish leaves the same files as one that did, and this one. */
const finished = ({ exists }: Facts): boolean => !exists.includes("/var/lib/airgap/kubeadm-began");

/** Whether a host was in a cluster when its facts were read. */
export const hasJoined = (facts: Facts): boolean => finished(facts) && facts.exists.includes(KUBELET);

/** Whether a host has nothing of Kubernetes' on it, not even of a run that failed. */
export const isBare = (facts: Facts): boolean =>
  finished(facts) && !facts.exists.includes(KUBELET) && !facts.exists.includes(ADMIN);

/** Whether a run of kubeadm that airgap started was interrupted or failed. */
export const isUnfinished = (facts: Facts): boolean => !finished(facts);

/** Whether a host was a control plane when its facts were read. */
const stands = (facts: Facts): boolean => finished(facts) && facts.exists.includes(ADMIN);

/** How much of a control plane is there: its API server answers, etcd has data, its authority is there. */
const soundness = ({ exists, kubernetesCa, listening }: Facts): number =>
  (listening.includes(6443) ? 4 : 0) +
  (exists.includes("/var/lib/etcd/member") ? 2 : 0) +
  (kubernetesCa === undefined ? 0 : 1);

/**
 * Control planes that stand, the soundest first, equals in the order of the file. Once there is one,
 * every other host joins it: order in the file means nothing after the first day.
 */
export function standingPlanes(cluster: Cluster, facts: Record<string, Facts>): ClusterHost[] {
  return hostsOf(cluster, "control-plane")
    .flatMap((host) => {
      const own = facts[host.name];
      return own && stands(own) ? [{ host, sound: soundness(own) }] : [];
    })
    .toSorted((a, b) => b.sound - a.sound)
    .map(({ host }) => host);
}
