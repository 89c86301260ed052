import type { Descriptor } from "../oci/descriptor.ts";
import { digestOf } from "../oci/digest.ts";
import { type Index, MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import { isIndexType, MediaType } from "../oci/media-types.ts";
import { formatPlatform } from "../oci/platform.ts";
import { tryParseReference } from "../oci/reference.ts";

export const REF_NAME = "org.opencontainers.image.ref.name";
export const CONTAINERD_NAME = "io.containerd.image.name";
export const OCI_LAYOUT = '{"imageLayoutVersion":"1.0.0"}';

/** An entry of index.json under a name; "" for none. A whole reference is also the image's name in containerd. */
export function namedEntry({ mediaType, digest, size, artifactType }: Descriptor, name: string): Descriptor {
  const whole = name.includes("/") && tryParseReference(name) !== undefined;
  const annotations = { ...(whole ? { [CONTAINERD_NAME]: name } : {}), [REF_NAME]: name };
  return {
    mediaType,
    digest,
    size,
    ...(artifactType ? { artifactType } : {}),
    ...(name === "" ? {} : { annotations }),
  };
}

/** A list with one more entry: a name moves to it, and content without a name is listed at most once. */
export function withEntry(entries: Descriptor[], entry: Descriptor): Descriptor[] {
  const name = entry.annotations?.[REF_NAME];
  const others = entries.filter((other) =>
    name === undefined ? other.digest !== entry.digest : other.annotations?.[REF_NAME] !== name,
  );
  const listed = name === undefined ? entries.find((other) => other.digest === entry.digest) : undefined;
  return listed ? entries : [...others, entry];
}

/** Names under which an entry of index.json is found. */
export function namesOf({ annotations = {} }: Descriptor): string[] {
  return [annotations[REF_NAME], annotations[CONTAINERD_NAME]].filter((name) => name !== undefined);
}

/** An image that stands in index.json as its platforms, with the index that is made of them. */
export interface SpreadImage {
  entries: Descriptor[];
  descriptor: Descriptor;
  bytes: Buffer;
}

/**
 * Images whose entries differ in their platform only, as paketo and buildah write them: under one
 * name, or under none. Where index.json holds nothing else, it is that image's index as it stands.
 * @param file the bytes of index.json
 */
export function spreadImages(entries: Descriptor[], file: Buffer): SpreadImage[] {
  const groups = Map.groupBy(entries, (entry) => JSON.stringify(namesOf(entry)));
  return [...groups.values()].filter(isSpread).map((group) => {
    const plain = group.every((entry) => namesOf(entry).length === 0);
    const itself = plain && group.length === entries.length && saysItsType(file);
    const bytes = itself ? file : Buffer.from(encodeIndex(group.map(unnamed)));
    const descriptor = { mediaType: MediaType.ociIndex, digest: digestOf(bytes), size: bytes.length };
    return { entries: group, descriptor, bytes };
  });
}

/** Two at least, for platforms that differ; what BuildKit attests of them stands beside them. */
function isSpread(group: Descriptor[]): boolean {
  if (new Set(group.map(({ digest }) => digest)).size < 2) return false;
  const platforms = group.map(({ platform }) => platform);
  if (!platforms.every((platform) => platform !== undefined)) return false;
  const runnable = platforms.filter(({ os }) => os !== "unknown");
  const distinct = new Set(
    runnable.map((platform) => `${formatPlatform(platform)} ${platform["os.version"] ?? ""}`),
  );
  return runnable.length > 0 && distinct.size === runnable.length;
}

const saysItsType = (file: Buffer): boolean =>
  file.length <= MAX_MANIFEST_SIZE && isIndexType((JSON.parse(file.toString("utf8")) as Index).mediaType);

function unnamed({ annotations = {}, ...entry }: Descriptor): Descriptor {
  const { [REF_NAME]: _, [CONTAINERD_NAME]: __, ...rest } = annotations;
  return { ...entry, ...(Object.keys(rest).length > 0 ? { annotations: rest } : {}) };
}

export const encodeIndex = (manifests: Descriptor[]): string =>
  JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests });
