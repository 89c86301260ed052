import { AirgapError } from "../errors.ts";
import type { KubeadmConfig } from "./config.ts";
import { type ImageSettings, kubeadmImages, pauseImage } from "./images.ts";
import { rulesOf, type VersionRules } from "./rules.ts";
import { type KnownVersion, lookUp } from "./table.ts";
import { formatVersion } from "./version.ts";

export interface ListRequest {
  /** As for kubeadm's `--kubernetes-version`; default: the configuration's, else the newest that is known. */
  version?: string;
  /** As for kubeadm's `--image-repository`. */
  imageRepository?: string;
  config?: KubeadmConfig;
}

/** What a site needs with a Kubernetes version, besides its images. */
export interface Requirements extends VersionRules {
  /** The sandbox image that the container runtime must be told. */
  pauseImage: string;
  /** kubeadm's default CRI socket. */
  criSocket: string;
}

const kubeadmSocket = ({ dockershim, sockets }: VersionRules): string =>
  dockershim ? sockets.docker : "unix:///var/run/containerd/containerd.sock";

export interface KubeadmList {
  /** `v1.28.2` */
  version: string;
  /** As kubeadm prints them, in its order. */
  images: string[];
  requirements: Requirements;
  confidence: string;
  sources: string[];
  warnings: string[];
  notes: string[];
}

/** The flag and the file may both say it, but not different things: kubeadm would silently follow the file. */
function agreed(flag: string, given: string | undefined, configured: string | undefined): string | undefined {
  if (given !== undefined && configured !== undefined && given !== configured) {
    throw new AirgapError("usage", `--${flag} says ${given}, the kubeadm configuration says ${configured}`, {
      suggestions: [`leave --${flag} out, or write ${given} into the configuration`],
    });
  }
  return given ?? configured;
}

const withV = (version: string | undefined): string | undefined =>
  version === undefined ? undefined : version.replace(/^(ci\/)?(\d)/, "$1v$2");

function checkConfig(known: KnownVersion, config: KubeadmConfig | undefined): string[] {
  const { minor } = known.version;
  if (config?.settings.dns?.type === "kube-dns" && minor >= 21) {
    throw new AirgapError("spec", "dns.type kube-dns ended with Kubernetes 1.20: kubeadm refuses it", {
      suggestions: ["leave dns.type out: CoreDNS is the only one"],
    });
  }
  const { accepted } = rulesOf(formatVersion(known.version)).configApi;
  if (config?.api === undefined || accepted.includes(config.api)) return [];
  return [
    `kubeadm ${formatVersion(known.version)} does not read kubeadm.k8s.io/${config.api}, only ${accepted.join(", ")}: run kubeadm config migrate`,
  ];
}

/**
 * kubeadm's own list for a version, worked out from the table.
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
  const known = lookUp(version);
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
