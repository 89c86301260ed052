import { AirgapError } from "../errors.ts";
import type { KubeadmConfig } from "./config.ts";
import { type ImageSettings, kubeadmImages, pauseImage } from "./images.ts";
import { rulesOf, type VersionRules } from "./rules.ts";
import { findRow, type KnownVersion } from "./table.ts";
import { formatVersion } from "./version.ts";

export interface ListRequest {
  /** As for kubeadm's `--kubernetes-version`; default: the configuration's, else the newest known. */
  version?: string;
  /** As for kubeadm's `--image-repository`. */
  imageRepository?: string;
  config?: KubeadmConfig;
}

/** What a Kubernetes version needs, besides its images. */
export interface Requirements extends VersionRules {
  /** The sandbox image to set in the container runtime. */
  pauseImage: string;
  /** kubeadm's default CRI socket. */
  criSocket: string;
}

const kubeadmSocket = ({ dockershim, sockets }: VersionRules): string =>
  dockershim ? sockets.docker : "unix:///var/run/containerd/containerd.sock";

export interface KubeadmList {
  /** `v1.28.2` */
  version: string;
  /** As kubeadm prints them, in the same order. */
  images: string[];
  requirements: Requirements;
  confidence: string;
  sources: string[];
  warnings: string[];
  notes: string[];
}

/** The flag and the file may both set a value, but not different ones: kubeadm would silently use the file's. */
function agreed(flag: string, given: string | undefined, configured: string | undefined): string | undefined {
  if (given !== undefined && configured !== undefined && given !== configured) {
    throw new AirgapError(
      "usage",
      `--${flag} says ${given}, but the kubeadm configuration says ${configured}`,
      {
        suggestions: [`remove --${flag}, or write ${given} into the configuration`],
      },
    );
  }
  return given ?? configured;
}

const withV = (version: string | undefined): string | undefined =>
  version === undefined ? undefined : version.replace(/^(ci\/)?(\d)/, "$1v$2");

function checkConfig(known: KnownVersion, config: KubeadmConfig | undefined): string[] {
  const { minor } = known.version;
  if (config?.settings.dns?.type === "kube-dns" && minor >= 21) {
    throw new AirgapError("spec", "Kubernetes 1.21 dropped dns.type kube-dns: kubeadm refuses it", {
      suggestions: ["remove dns.type: CoreDNS is the only DNS server"],
    });
  }
  const { accepted } = rulesOf(formatVersion(known.version)).configApi;
  if (config?.api === undefined || accepted.includes(config.api)) return [];
  return [
    `kubeadm ${formatVersion(known.version)} does not read kubeadm.k8s.io/${config.api}, only ${accepted.join(", ")}: run kubeadm config migrate`,
  ];
}

/**
 * kubeadm's own list for a version, computed from the table.
 * @throws AirgapError `usage`, `spec` or `unsupported`
 */
export function listKubeadmImages(request: ListRequest): KubeadmList {
  const { config } = request;
  const version =
    agreed("kubernetes-version", withV(request.version), withV(config?.kubernetesVersion)) ?? "stable-1";
  const imageRepository = agreed(
    "image-repository",
    request.imageRepository,
    config?.settings.imageRepository,
  );
  const known = findRow(version);
  const settings: ImageSettings = { ...config?.settings, ...(imageRepository ? { imageRepository } : {}) };
  // hyperkube left kubeadm's internal types with 1.22 (kubernetes/kubernetes#101537), whatever the file's API says.
  if (known.version.minor >= 22) settings.useHyperKubeImage = false;
  const rules = rulesOf(formatVersion(known.version));
  const warnings = [...known.warnings, ...checkConfig(known, config)];
  return {
    version: formatVersion(known.version),
    images: kubeadmImages(known.version, known.row, settings),
    requirements: {
      pauseImage: pauseImage(known.row, settings),
      criSocket: kubeadmSocket(rules),
      ...rules,
    },
    confidence: known.row.confidence,
    sources: known.row.sources,
    warnings,
    notes: known.notes,
  };
}
