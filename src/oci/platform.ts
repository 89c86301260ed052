import { AirgapError } from "../errors.ts";

/** https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md, the `platform` object. */
export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
  "os.version"?: string;
  "os.features"?: string[];
}

/** Architecture aliases and default variants, as in containerd's platforms package. */
const ARCHITECTURES = new Map<string, [architecture: string, variant?: string]>([
  ["x86_64", ["amd64"]],
  ["x86-64", ["amd64"]],
  ["i386", ["386"]],
  ["aarch64", ["arm64"]],
  ["armhf", ["arm", "v7"]],
  ["armel", ["arm", "v6"]],
]);
const DEFAULT_VARIANT = new Map([
  ["arm64", "v8"],
  ["arm", "v7"],
  ["amd64", "v1"],
]);
const PART = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** `os/architecture[/variant]`, e.g. `linux/amd64`, `linux/arm/v7`. @throws AirgapError `usage`. */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split("/");
  const [os, arch, variant] = parts;
  if (!os || !arch || parts.length > 3 || !parts.every((part) => PART.test(part))) {
    throw new AirgapError("usage", `'${text}' is not a platform`, {
      suggestions: ["write it as os/architecture, for example linux/amd64 or linux/arm64"],
    });
  }
  const [architecture, implied] = ARCHITECTURES.get(arch) ?? [arch];
  const chosen = variant ?? implied;
  return chosen === undefined ? { os, architecture } : { os, architecture, variant: chosen };
}

/** Like `parsePlatform`, but undefined instead of an error. */
export function tryParsePlatform(text: string): Platform | undefined {
  try {
    return parsePlatform(text);
  } catch {
    return undefined;
  }
}

export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join("/");
}

/** A platform with the names that Go has for it: images that other tools made say `x86_64`, `aarch64`. */
function usual({ os, architecture, variant }: Platform): Platform & { variant: string } {
  const lower = architecture.toLowerCase();
  const [name, implied] = ARCHITECTURES.get(lower) ?? [lower];
  return {
    os: os.toLowerCase(),
    architecture: name,
    variant: variant || implied || DEFAULT_VARIANT.get(name) || "",
  };
}

/** Whether an image for `have` satisfies a request for `want`. A missing variant is the architecture's default one. */
export function matchesPlatform(have: Platform, want: Platform): boolean {
  const [a, b] = [usual(have), usual(want)];
  return a.os === b.os && a.architecture === b.architecture && a.variant === b.variant;
}
