import { isManifestLike } from "../../src/oci/media-types.ts";
import type { TestImage } from "./images.ts";
import type { RegistryStore } from "./registry-store.ts";

/** Puts an image into a registry behind its back. */
export function fill(
  store: RegistryStore,
  repository: string,
  { root, blobs }: TestImage,
  tag?: string,
): void {
  for (const [digest, bytes] of blobs) {
    const type = digest === root.digest ? root.mediaType : mediaTypeOf(bytes);
    if (type !== undefined && isManifestLike(type))
      store.addManifest(repository, type, bytes, digest === root.digest ? tag : undefined);
    else store.addBlob(repository, bytes);
  }
}

function mediaTypeOf(bytes: Buffer): string | undefined {
  if (bytes[0] !== 0x7b) return undefined;
  try {
    return (JSON.parse(bytes.toString("utf8")) as { mediaType?: string }).mediaType;
  } catch {
    return undefined;
  }
}
