import { minorOf } from "../kubernetes/rules.ts";

export const NETWORKS = ["flannel", "calico"] as const;
export type Network = (typeof NETWORKS)[number];

/** The first release of a network for each Kubernetes minor from which it is right, newest first. */
const RELEASES: Record<Network, [from: number, release: string][]> = {
  flannel: [
    [29, "v0.28.4"],
    [0, "v0.24.4"],
  ],
  calico: [
    [31, "v3.31.3"],
    [29, "v3.28.2"],
    [24, "v3.26.4"],
    [0, "v3.25.2"],
  ],
};

/** The URL of a network's manifest for a Kubernetes version. */
export function networkUrl(network: Network, kubernetes: string): string {
  const release = RELEASES[network].find(([from]) => minorOf(kubernetes) >= from)?.[1] ?? "";
  return network === "flannel"
    ? `https://raw.githubusercontent.com/flannel-io/flannel/${release}/Documentation/kube-flannel.yml`
    : `https://raw.githubusercontent.com/projectcalico/calico/${release}/manifests/calico.yaml`;
}
