import type { Item, Lock } from "../lock/lock.ts";
import type { Digest } from "../oci/digest.ts";
import { parseManifest } from "../oci/manifest.ts";
import { usageOf } from "./usage.ts";

/** A manifest's or config's checked bytes by digest, or undefined when they are not at hand. */
export type ManifestReader = (digest: Digest) => Buffer | undefined;

/** Bytes of every blob that an item reaches, each once. */
export function sizeOf(lock: Lock, item: Item, read: ManifestReader): number {
  const sizes = new Map(lock.blobs.map(({ digest, size }) => [digest, size]));
  const { users } = usageOf({ ...lock, items: [item] }, read);
  return [...users.keys()].reduce((sum, digest) => sum + (sizes.get(digest) ?? 0), 0);
}

/** `linux/amd64`, sorted; empty when its manifests are not at hand. */
export function platformsOf({ root }: Item, read: ManifestReader): string[] {
  const bytes = read(root.digest);
  if (bytes === undefined) return [];
  const manifest = parseManifest(bytes, root.mediaType, root.digest);
  const found: (Platform | undefined)[] =
    "manifests" in manifest
      ? manifest.manifests.map(({ platform }) => platform)
      : [configPlatform(read(manifest.config.digest))];
  const texts = found.flatMap((platform) =>
    platform && platform.os !== "unknown"
      ? [[platform.os, platform.architecture, platform.variant].filter(Boolean).join("/")]
      : [],
  );
  return [...new Set(texts)].sort();
}

/** https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md */
const LICENSES = "org.opencontainers.image.licenses";

/** The licence that an image's label or annotation names; of an index, that of its first image that is at hand. */
export function licenseOf({ root }: Item, read: ManifestReader): string | undefined {
  const bytes = read(root.digest);
  const manifest = bytes && parseManifest(bytes, root.mediaType, root.digest);
  if (manifest === undefined) return undefined;
  const annotated = manifest.annotations?.[LICENSES];
  if (typeof annotated === "string") return annotated;
  if (manifest.kind === "manifest") return configLicense(read(manifest.config.digest));
  for (const { digest, mediaType } of manifest.manifests) {
    const content = read(digest);
    const child = content && parseManifest(content, mediaType, digest);
    const found = child?.kind === "manifest" ? configLicense(read(child.config.digest)) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

function configLicense(bytes: Buffer | undefined): string | undefined {
  try {
    const { config } = JSON.parse(bytes?.toString("utf8") ?? "{}") as {
      config?: { Labels?: Record<string, unknown> | null } | null;
    };
    const label = config?.Labels?.[LICENSES];
    return typeof label === "string" && label !== "" ? label : undefined;
  } catch {
    return undefined;
  }
}

interface Platform {
  os: string;
  architecture: string;
  variant?: string | undefined;
}

/** The platform that an image's config names. What is not a config of that kind has none. */
function configPlatform(bytes: Buffer | undefined): Platform | undefined {
  if (bytes === undefined) return undefined;
  try {
    const { os, architecture, variant } = JSON.parse(bytes.toString("utf8")) as Record<string, unknown>;
    if (typeof os !== "string" || typeof architecture !== "string") return undefined;
    return { os, architecture, ...(typeof variant === "string" ? { variant } : {}) };
  } catch {
    return undefined;
  }
}
