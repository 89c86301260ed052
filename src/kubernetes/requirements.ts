import { type ImageSettings, pauseImage } from "./images.ts";
import type { Row } from "./table.ts";
import type { KubernetesVersion } from "./version.ts";

/** What a site needs with a Kubernetes version, besides its images. */
export interface Requirements {
  /** The sandbox image that the container runtime must be told. */
  pauseImage: string;
  /** kubeadm's configuration API: the newest one, and all that its binary reads. */
  configApi: { newest: string; accepted: string[] };
  /** kubeadm's default CRI socket, and what it detects besides. */
  criSocket: string;
  /** Docker Engine without cri-dockerd. */
  dockershim: boolean;
  /** Oldest containerd that speaks the needed CRI version, or undefined when any will do. */
  containerd?: string;
  /** What kubelet and kubeadm say to a host with cgroup v1. */
  cgroupV1: "supported" | "maintenance" | "refused";
}

/** First and last minor whose kubeadm reads each API. kubernetes/kubernetes cmd/kubeadm/app/util/config/common.go and release notes. */
const CONFIG_APIS = [
  { name: "v1beta1", first: 13, last: 21 },
  { name: "v1beta2", first: 15, last: 26 },
  { name: "v1beta3", first: 22, last: 36 },
  { name: "v1beta4", first: 31, last: Number.POSITIVE_INFINITY },
] as const;

/** The kubeadm configuration APIs that the kubeadm of a minor reads, oldest first. */
export function configApis(minor: number): string[] {
  return CONFIG_APIS.filter(({ first, last }) => first <= minor && minor <= last).map(({ name }) => name);
}

/**
 * The limits that come with a version. Sources: kubernetes/kubernetes#107317 (sockets), #106907
 * (dockershim), the 1.26 announcement (CRI v1, so containerd 1.6), #134298 (cgroup v1).
 */
export function requirementsOf(
  version: KubernetesVersion,
  row: Row,
  settings: ImageSettings = {},
): Requirements {
  const { minor } = version;
  const accepted = configApis(minor);
  return {
    pauseImage: pauseImage(row, settings),
    configApi: { newest: accepted.at(-1) ?? "v1beta4", accepted },
    criSocket: minor <= 23 ? "/var/run/dockershim.sock" : "unix:///var/run/containerd/containerd.sock",
    dockershim: minor <= 23,
    ...(minor >= 26 ? { containerd: "1.6" } : {}),
    cgroupV1: minor >= 35 ? "refused" : minor >= 31 ? "maintenance" : "supported",
  };
}
