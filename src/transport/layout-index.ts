import type { Descriptor } from "../oci/descriptor.ts";
import { MediaType } from "../oci/media-types.ts";
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

export const encodeIndex = (manifests: Descriptor[]): string =>
  JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests });
