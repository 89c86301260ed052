import { LOCK_LIMITS, parseLimitedJson } from "../lock/json.ts";
import type { Lock } from "../lock/lock.ts";
import { parseLock } from "../lock/parse.ts";
import { parseDescriptor } from "../oci/descriptor.ts";
import { checkDigest } from "../oci/digest.ts";
import { type Index, type Manifest, parseManifest } from "../oci/manifest.ts";
import type { Proof, Trust } from "../trust/trust.ts";
import { notBundle, readAt } from "./damage.ts";
import { DELTA_ARTIFACT_TYPE, type Delta, parseDelta } from "./delta.ts";
import { blobName, type Layout, layOut, ROOT_ARTIFACT_TYPE } from "./layout.ts";
import { BLOCK, entryHeader, padded, readHeader } from "./tar.ts";
import type { BundleFile } from "./volumes.ts";

const MAX_INDEX = 16 * 1024 * 1024;

/** Walks over the first entries of a file that may not be a tar at all. */
class Head {
  readonly #file: BundleFile;
  #offset = 0;

  constructor(file: BundleFile) {
    this.#file = file;
  }

  fail(why: string, cause?: unknown): never {
    throw notBundle(this.#file.path, why, cause);
  }

  next(name: string, limit: number): Buffer {
    const { size } = this.#file;
    if (this.#offset + BLOCK > size) this.fail(`it ends at byte ${size}, before ${name}`);
    const block = readAt(this.#file, this.#offset, BLOCK);
    const header = readHeader(block);
    if (header === undefined)
      return this.fail(`no tar header at byte ${this.#offset}, where ${name} is expected`);
    if (header.name !== name || header.type !== "0")
      this.fail(
        `${JSON.stringify(header.name)} of type ${header.type} is at byte ${this.#offset}, where ${name} is expected`,
      );
    if (!(header.size <= limit)) this.fail(`${name} claims ${header.size} bytes`);
    if (!block.equals(entryHeader(name, header.size))) this.fail(`the tar header of ${name} was changed`);
    const bytes = readAt(this.#file, this.#offset + BLOCK, header.size);
    this.#offset += BLOCK + padded(header.size);
    return bytes;
  }
}

/** What the first kilobytes of a bundle say. */
export interface BundleHead {
  lock: Lock;
  layout: Layout;
  /** What it leaves out, when it is a delta. */
  delta?: Delta;
  /** What signatures prove; absent when nobody asked. */
  proof?: Proof;
}

/**
 * Reads the lock. Signatures are checked over its bytes before they are parsed, and whether their keys count
 * before any name in the lock is used. Pauses between the parts of the work.
 * @throws AirgapError `corrupt`, `check-failed`
 */
export function* readHead(file: BundleFile, trust?: Trust): Generator<void, BundleHead> {
  const { path } = file;
  const head = new Head(file);
  const layoutBytes = head.next("oci-layout", 4096);
  const indexBytes = head.next("index.json", MAX_INDEX);
  const { manifests } = parseLimitedJson(indexBytes, `index.json of ${path}`);
  const root = parseDescriptor(Array.isArray(manifests) ? manifests[0] : undefined, `index.json of ${path}`);
  const isDelta = root.artifactType === DELTA_ARTIFACT_TYPE;
  if (!isDelta && root.artifactType !== ROOT_ARTIFACT_TYPE) head.fail("its index does not begin with a lock");
  const manifestBytes = head.next(blobName(root.digest), 65536);
  checkDigest(manifestBytes, root.digest, `the root manifest of ${path}`);
  const manifest = parseManifest(manifestBytes, root.mediaType, `the root manifest of ${path}`);
  const lockBlob = manifest.kind === "manifest" ? manifest.config : head.fail("its root is an index");
  const lockBytes = head.next(blobName(lockBlob.digest), LOCK_LIMITS.size);
  checkDigest(lockBytes, lockBlob.digest, `the lock of ${path}`);
  const examined = trust?.examine(path, lockBytes, file.folders);
  yield;
  const lock = parseLock(lockBytes, `of ${path}`);
  const proof = examined && trust?.settle(examined, lock.name);
  yield;
  const delta = isDelta ? readDelta(head, manifest, lock, path) : undefined;
  const layout = layOut(lock, delta);
  const [first, second] = layout.entries;
  if (!first?.bytes?.equals(layoutBytes)) head.fail("oci-layout is not the one that airgap writes");
  if (layout.lockDigest !== lockBlob.digest || !second?.bytes?.equals(indexBytes))
    head.fail("index.json and the lock contradict each other");
  return { lock, layout, ...(delta ? { delta } : {}), ...(proof ? { proof } : {}) };
}

function readDelta(head: Head, manifest: Manifest | Index, lock: Lock, path: string): Delta {
  const blob = manifest.kind === "manifest" ? manifest.layers[1] : undefined;
  if (blob === undefined) return head.fail("it is a delta that does not say what it counts on");
  const bytes = head.next(blobName(blob.digest), LOCK_LIMITS.size);
  checkDigest(bytes, blob.digest, `what ${path} counts on`);
  return parseDelta(bytes, lock, path);
}
