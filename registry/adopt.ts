import type { Descriptor } from "../src/oci/descriptor.ts";
import { algorithmOf, checkDigest, type Digest } from "../src/oci/digest.ts";
import { childrenOf, MAX_MANIFEST_SIZE, parseManifest } from "../src/oci/manifest.ts";
import { isManifestLike } from "../src/oci/media-types.ts";
import { readInto } from "../src/transport/region.ts";
import type { OpenBlob, Repository } from "./library.ts";
import type { Store } from "./store/store.ts";

const CHUNK = 512 << 10;
/** Indexes within indexes; what real images have is two. */
const MAX_DEPTH = 8;

async function* chunksOf(blob: OpenBlob): AsyncGenerator<Buffer> {
  for (let done = 0; done < blob.size; ) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, blob.size - done));
    const count = await readInto(blob, buffer, done);
    if (count === 0) throw new Error("content ends before its size");
    done += count;
    yield buffer.subarray(0, count);
  }
}

async function bytesOf(blob: OpenBlob): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of chunksOf(blob)) chunks.push(chunk);
  return Buffer.concat(chunks, blob.size);
}

/** Copies a blob into the store, verified. @returns whether it was what its digest says */
export async function copyBlob(store: Store, name: string, digest: Digest, blob: OpenBlob): Promise<boolean> {
  return store.uploads.once(name, algorithmOf(digest), async (session) => {
    await session.append(chunksOf(blob));
    return (await store.commit(session, digest)) === digest;
  });
}

/**
 * Makes a blob or manifest part of a repository of the store, with everything below it, taken
 * from what else is served under that name where it is not there yet.
 * @param from the repository as clients see it, bundles included
 * @returns whether the store has it now
 */
export async function adopt(
  store: Store,
  name: string,
  descriptor: Descriptor,
  from: Repository | undefined,
  depth = 0,
): Promise<boolean> {
  const { digest } = descriptor;
  if (await (await store.repository(name))?.has(digest)) return true;
  const blob = await from?.open(digest);
  if (blob === undefined) return false;
  try {
    if (!isManifestLike(descriptor.mediaType)) return await copyBlob(store, name, digest, blob);
    if (blob.size > MAX_MANIFEST_SIZE || depth > MAX_DEPTH) return false;
    const bytes = await bytesOf(blob);
    checkDigest(bytes, digest, `${digest} of ${name}`);
    const content = parseManifest(bytes, descriptor.mediaType, `${digest} of ${name}`);
    for (const child of childrenOf(content)) await adopt(store, name, child, from, depth + 1);
    await store.putManifest(name, bytes, digest, content, []);
    return true;
  } finally {
    blob.close();
  }
}
