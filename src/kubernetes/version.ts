import { AirgapError } from "../errors.ts";

/** A Kubernetes version as kubeadm understands it. */
export interface KubernetesVersion {
  major: number;
  minor: number;
  patch: number;
  /** Everything after the patch: `-rc.1`, `+vendor.2`, or empty. */
  suffix: string;
  /** A build of Kubernetes' CI, `ci/v1.30.0-alpha.1`: other repositories hold its images. */
  ci: boolean;
}

/** A user's request: one version, or the newest patch of a minor. */
export type VersionRequest = { exact: KubernetesVersion } | { newest: { major: number; minor?: number } };

const EXACT = /^(ci\/)?v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)([-+][-\w.+]*)?$/;
const MINOR = /^(?:stable-|v)?([1-9]\d*)\.(0|[1-9]\d*)$/;

/**
 * Reads the values of kubeadm's `--kubernetes-version` and `kubernetesVersion` that need no network:
 * `v1.28.2`, `1.28.2+vendor`, `ci/v1.30.0-alpha.1`; and
 * `v1.28`, `stable-1.28`, `stable-1`, `stable` for the newest patch.
 * @throws AirgapError `usage`
 */
export function parseVersion(text: string): VersionRequest {
  const exact = EXACT.exec(text);
  if (exact) {
    const [, ci, major, minor, patch, suffix] = exact;
    return {
      exact: {
        major: Number(major),
        minor: Number(minor),
        patch: Number(patch),
        suffix: suffix ?? "",
        ci: ci !== undefined,
      },
    };
  }
  if (text === "stable" || text === "stable-1") return { newest: { major: 1 } };
  const minor = MINOR.exec(text);
  if (minor) return { newest: { major: Number(minor[1]), minor: Number(minor[2]) } };
  throw new AirgapError(
    "usage",
    `'${text}' is not a Kubernetes version that airgap can resolve without a network`,
    {
      suggestions: [
        "name a patch release like v1.34.4, or a minor like v1.34 for the newest patch that airgap knows",
      ],
    },
  );
}

/** `v1.28.2`, with its suffix. */
export function formatVersion(version: KubernetesVersion): string {
  return `v${version.major}.${version.minor}.${version.patch}${version.suffix}`;
}

/** By major, minor and patch only. */
export function comparePatch(a: KubernetesVersion, b: KubernetesVersion): number {
  return a.major - b.major || a.minor - b.minor || a.patch - b.patch;
}

/** Whether it comes before the release of the same number: `v1.34.0-rc.1`. */
export function isPreRelease(version: KubernetesVersion): boolean {
  return version.suffix.startsWith("-");
}
