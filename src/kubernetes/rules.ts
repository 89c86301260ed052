/** The rules of a Kubernetes minor version. Every rule that depends on a version is here. */
export interface VersionRules {
  /** 34 of v1.34.4. */
  minor: number;
  /** kubeadm's configuration API: the newest version, and every version that its binary reads. */
  configApi: { newest: string; accepted: string[] };
  /** `kubeadm config validate` exists. */
  configValidate: boolean;
  /** Docker Engine is built into kubelet; later it is reached through cri-dockerd. */
  dockershim: boolean;
  /** The runtimes' sockets, in kubeadm's form. */
  sockets: { containerd: string; docker: string };
  /** Oldest containerd that speaks the needed CRI version, or undefined when any will do. */
  containerd: string | undefined;
  /** How kubelet and kubeadm react to cgroup v1. */
  cgroupV1: "supported" | "maintenance" | "refused";
  /** Kernels: kubeadm refuses older ones than `oldest`, and warns of older ones than `tested`. */
  kernel: { oldest: string; tested: string };
  /** The oldest kernel for kube-proxy's nftables mode; undefined when the mode does not exist. */
  nftables: { kernel: string } | undefined;
  /** Keys of the taints that kubeadm gives to control planes. */
  controlPlaneTaints: string[];
  /** Flags of `kubectl drain` that every node needs. A node that is removed, and pods that nobody makes again, need `--force` too. */
  drainFlags: string[];
  /** `kubectl create token` exists; before it, a service account has a secret with a token that never expires. */
  tokensByRequest: boolean;
  /** The oldest external etcd that kubeadm accepts. */
  externalEtcd: string;
}

/** MinExternalEtcdVersion of kubeadm's constants.go, by the first minor that was seen with it. */
const EXTERNAL_ETCD = [
  { from: 31, version: "3.5.24" },
  { from: 27, version: "3.4.13" },
  { from: 0, version: "3.2.18" },
];

/** First and last minor whose kubeadm reads each API. kubernetes/kubernetes cmd/kubeadm/app/util/config/common.go and release notes. */
const CONFIG_APIS = [
  { name: "v1beta1", first: 13, last: 21 },
  { name: "v1beta2", first: 15, last: 26 },
  { name: "v1beta3", first: 22, last: 36 },
  { name: "v1beta4", first: 31, last: Number.POSITIVE_INFINITY },
] as const;

/** The kubeadm configuration APIs that the kubeadm of a minor reads, oldest first. */
function configApis(minor: number): string[] {
  return CONFIG_APIS.filter(({ first, last }) => first <= minor && minor <= last).map(({ name }) => name);
}

const CONTAINERD = "/run/containerd/containerd.sock";

/** The minor of `v1.28.2`; 0 for what is not a version. */
export const minorOf = (version: string): number => Number(/^(?:ci\/)?v?1\.(\d+)/.exec(version)?.[1] ?? 0);

/**
 * The rules of a version. Sources: kubernetes/kubernetes#107317 (sockets), #106907 (dockershim), the
 * 1.26 announcement (CRI v1, so containerd 1.6; `config validate`), #134298 (cgroup v1), #107533 and
 * #110095 (taints), #134090 and system-validators (kernels: 4.19 an error from 1.32, a warning from
 * 1.34), KEP-3866 (nftables, on by default from 1.31), #92314 (drain), KEP-2799 (tokens).
 */
export function rulesOf(version: string): VersionRules {
  const minor = minorOf(version);
  const accepted = configApis(minor);
  return {
    minor,
    configApi: { newest: accepted.at(-1) ?? "v1beta4", accepted },
    configValidate: minor >= 26,
    dockershim: minor <= 23,
    sockets: {
      // kubeadm before 1.24 writes paths without a scheme.
      containerd: minor >= 24 ? `unix://${CONTAINERD}` : CONTAINERD,
      docker: minor >= 24 ? "unix:///var/run/cri-dockerd.sock" : "/var/run/dockershim.sock",
    },
    containerd: minor >= 26 ? "1.6" : undefined,
    cgroupV1: minor >= 35 ? "refused" : minor >= 31 ? "maintenance" : "supported",
    kernel: {
      oldest: minor === 32 || minor === 33 ? "4.19" : "3.10",
      tested: minor >= 32 ? "4.19" : "3.10",
    },
    nftables: minor >= 31 ? { kernel: "5.13" } : undefined,
    controlPlaneTaints: [...(minor <= 24 ? ["master"] : []), ...(minor >= 24 ? ["control-plane"] : [])].map(
      (name) => `node-role.kubernetes.io/${name}`,
    ),
    drainFlags: ["--ignore-daemonsets", minor >= 20 ? "--delete-emptydir-data" : "--delete-local-data"],
    tokensByRequest: minor >= 24,
    externalEtcd: EXTERNAL_ETCD.find(({ from }) => minor >= from)?.version ?? "3.2.18",
  };
}
