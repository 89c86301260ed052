import { kubernetesWants } from "../kubernetes/closure.ts";
import type { Item, Lock } from "../lock/lock.ts";
import type { Digest } from "../oci/digest.ts";
import type { Index } from "../oci/manifest.ts";
import { parseManifest } from "../oci/manifest.ts";
import { isIndexType } from "../oci/media-types.ts";
import { formatPlatform } from "../oci/platform.ts";
import { findGaps, type Gap, type HeldImage, notClosed, wantedImages } from "./closure.ts";

/** The content of a manifest of the bundle; undefined when it cannot be read, which is reported elsewhere. */
export type ReadManifest = (digest: Digest) => Promise<Buffer | undefined>;

/** The names, digests and platforms under which the images of a lock are found. */
export async function heldImages(lock: Lock, read: ReadManifest): Promise<HeldImage[]> {
  const carried = new Set(lock.blobs.map(({ digest }) => digest));
  return Promise.all(
    lock.items.filter(({ kind }) => kind === "image").map((item) => held(item, carried, read)),
  );
}

async function held(item: Item, carried: ReadonlySet<Digest>, read: ReadManifest): Promise<HeldImage> {
  const digests = new Set<Digest>([item.root.digest]);
  const platforms = new Set<string>();
  for (const descriptor of [item.root, ...(item.original ? [item.original] : [])]) {
    digests.add(descriptor.digest);
    const bytes = isIndexType(descriptor.mediaType) ? await read(descriptor.digest) : undefined;
    if (bytes === undefined) continue;
    for (const child of (parseManifest(bytes, descriptor.mediaType, descriptor.digest) as Index).manifests) {
      if (!carried.has(child.digest)) continue;
      digests.add(child.digest);
      if (child.platform) platforms.add(formatPlatform(child.platform));
    }
  }
  const own = item.wantedBy.some((by) => by.startsWith("images["));
  return {
    name: item.name,
    digests: [...digests],
    ...(platforms.size > 0 ? { platforms: [...platforms] } : {}),
    own,
  };
}

/** The images that the bundle of a lock needs and does not hold. */
export async function gapsOf(lock: Lock, read: ReadManifest): Promise<Gap[]> {
  const wanted = wantedImages(lock, kubernetesWants(lock.kubernetes ?? [], lock.items));
  return findGaps(wanted, await heldImages(lock, read), lock.platforms);
}

/** @throws AirgapError `not-closed` with every image that is missing */
export async function checkClosed(lock: Lock, read: ReadManifest): Promise<void> {
  const gaps = await gapsOf(lock, read);
  if (gaps.length > 0) throw notClosed(gaps);
}
