import type { Lock } from "../lock/lock.ts";
import type { Digest } from "../oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import { isManifestLike } from "../oci/media-types.ts";
import { readBlob } from "../transport/read.ts";
import type { WantedBlob } from "./fill.ts";
import { type ListedItem, listLock } from "./list.ts";
import type { BundleReader } from "./reader.ts";

/** What a build is about to fetch. */
export type Wanted = Map<Digest, WantedBlob>;

/** A manifest of what is about to be fetched; it is at hand since it was resolved. */
export async function readWanted(wanted: Wanted, digest: Digest): Promise<Buffer | undefined> {
  const found = wanted.get(digest);
  const [source] = found?.sources ?? [];
  return found && source ? readBlob(source, found.descriptor, MAX_MANIFEST_SIZE) : undefined;
}

/** Bytes of the blobs that are in none of the bundles at hand. */
export function bytesToFetch(wanted: Wanted, reused: BundleReader[]): number {
  return [...wanted.values()]
    .filter(
      ({ descriptor }) =>
        !reused.some((bundle) => bundle.region(descriptor.digest)?.size === descriptor.size),
    )
    .reduce((sum, { descriptor }) => sum + descriptor.size, 0);
}

/** What a bundle would hold, with the sizes that its manifests tell. */
export async function contentsOf(lock: Lock, wanted: Wanted): Promise<ListedItem[]> {
  const manifests = new Map<Digest, Buffer>();
  for (const [digest, { descriptor }] of wanted) {
    const bytes = isManifestLike(descriptor.mediaType) ? await readWanted(wanted, digest) : undefined;
    if (bytes) manifests.set(digest, bytes);
  }
  return listLock(lock, (digest) => manifests.get(digest)).items;
}

/** Bundles at hand are asked before any network. */
export function preferLocal(wanted: Wanted, reused: BundleReader[]): void {
  for (const bundle of reused) {
    const source = bundle.source();
    for (const [digest, { sources, descriptor }] of wanted)
      if (bundle.region(digest)?.size === descriptor.size) sources.unshift(source);
  }
}
