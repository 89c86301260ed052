import type { Cluster } from "../../cluster/cluster.ts";
import { minorOf } from "../context.ts";

export const CONTAINERD_SOCKET = "unix:///run/containerd/containerd.sock";

/**
 * The runtime's socket as kubeadm is told it. Docker was built into kubelet up to 1.23, and is
 * reached through cri-dockerd since; kubeadm before 1.24 writes paths without a scheme.
 */
export function criSocket({ runtime, kubernetes }: Cluster): string {
  const modern = minorOf(kubernetes.version) >= 24;
  if (runtime === "docker") return modern ? "unix:///var/run/cri-dockerd.sock" : "/var/run/dockershim.sock";
  return modern ? CONTAINERD_SOCKET : CONTAINERD_SOCKET.replace("unix://", "");
}
