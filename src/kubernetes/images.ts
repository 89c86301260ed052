import type { Row } from "./table.ts";
import { formatVersion, type KubernetesVersion } from "./version.ts";

/** Overrides of one component. */
export interface ImageMeta {
  imageRepository?: string;
  imageTag?: string;
}

/** The fields of kubeadm's ClusterConfiguration that change its images. */
export interface ImageSettings {
  imageRepository?: string;
  dns?: ImageMeta & { type?: "CoreDNS" | "kube-dns"; disabled?: boolean };
  etcd?: { local?: ImageMeta; external?: boolean };
  proxyDisabled?: boolean;
  useHyperKubeImage?: boolean;
}

const CONTROL_PLANE = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
/** kubeadm's constant KubeDNSVersion while it had kube-dns: 1.16 to 1.20. */
const KUBE_DNS = { tag: "1.14.13", images: ["k8s-dns-kube-dns", "k8s-dns-sidecar", "k8s-dns-dnsmasq-nanny"] };

/** kubeadm's KubernetesVersionToImageTag: what a tag may not hold becomes `_`. */
function imageTag(version: KubernetesVersion): string {
  return formatVersion(version).replace(/[^-a-zA-Z0-9_.]/g, "_");
}

/** Where CI builds are: kubernetes/kubernetes#97087, in 1.21 and backported. */
function ciRepository({ minor, patch }: KubernetesVersion): string {
  const backported: Record<number, number> = { 18: 16, 19: 8, 20: 3 };
  return minor >= 21 || patch >= (backported[minor] ?? Number.POSITIVE_INFINITY)
    ? "gcr.io/k8s-staging-ci-images"
    : "gcr.io/kubernetes-ci-images";
}

function dnsImages(row: Row, repository: string, settings: ImageSettings): string[] {
  const { dns = {} } = settings;
  if (dns.disabled) return [];
  const base = dns.imageRepository ?? repository;
  if (dns.type === "kube-dns")
    return KUBE_DNS.images.map((name) => `${base}/${name}:${dns.imageTag ?? KUBE_DNS.tag}`);
  const path = base === row.registry ? row.corednsPath : row.customCorednsPath;
  return [`${base}/${path}:${dns.imageTag ?? row.coredns}`];
}

function etcdImages(row: Row, repository: string, settings: ImageSettings): string[] {
  if (settings.etcd?.external) return [];
  const local = settings.etcd?.local ?? {};
  return [`${local.imageRepository ?? repository}/etcd:${local.imageTag ?? row.etcd}`];
}

/**
 * What `kubeadm config images list` of that version prints, in the same order.
 * Rules: kubernetes/kubernetes cmd/kubeadm/app/images/images.go.
 */
export function kubeadmImages(version: KubernetesVersion, row: Row, settings: ImageSettings = {}): string[] {
  const repository = settings.imageRepository ?? row.registry;
  const kubernetes = version.ci && repository === row.registry ? ciRepository(version) : repository;
  const names = settings.useHyperKubeImage
    ? ["hyperkube"]
    : [...CONTROL_PLANE, ...(settings.proxyDisabled ? [] : ["kube-proxy"])];
  const dns = dnsImages(row, repository, settings);
  const etcd = etcdImages(row, repository, settings);
  const pause = `${repository}/pause:${row.pause}`;
  return [
    ...names.map((name) => `${kubernetes}/${name}:${imageTag(version)}`),
    ...(row.order === "new" ? [...dns, pause, ...etcd] : [pause, ...etcd, ...dns]),
  ];
}

/** The pause image to set in the container runtime: containerd's `sandbox_image`, CRI-O's `pause_image`. */
export function pauseImage(row: Row, settings: ImageSettings = {}): string {
  return `${settings.imageRepository ?? row.registry}/pause:${row.pause}`;
}
