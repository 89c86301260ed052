import { closeSync, fstatSync, openSync } from "node:fs";
import type { Readable } from "node:stream";
import { AirgapError, Exit, isAirgapError, messageOf } from "../errors.ts";
import { LOCK_LIMITS, parseLimitedJson } from "../lock/json.ts";
import type { Item, Lock } from "../lock/lock.ts";
import { parseLock } from "../lock/parse.ts";
import { corrupt } from "../lock/shape.ts";
import { filesOf, type TitledLayer } from "../lock/titles.ts";
import { type Descriptor, parseDescriptor } from "../oci/descriptor.ts";
import { checkDigest, type Digest, isDigest } from "../oci/digest.ts";
import { type Index, MAX_MANIFEST_SIZE, type Manifest, parseManifest } from "../oci/manifest.ts";
import { isManifestLike } from "../oci/media-types.ts";
import { pourRegion, readRegion, regionStream } from "../transport/region.ts";
import type { FetchOptions, Range, Region, Source } from "../transport/types.ts";
import { verifiedStream } from "../transport/verify.ts";
import { blobName, type Layout, layOut, OCI_LAYOUT, ROOT_ARTIFACT_TYPE } from "./layout.ts";
import { BLOCK, entryHeader, padded, readHeader } from "./tar.ts";

/** What is read at once: manifests, and texts of the sets. Bytes. */
const MAX_SMALL = 64 * 1024 * 1024;
const MAX_INDEX = 16 * 1024 * 1024;

/** An open bundle. Reads the first kilobytes; everything else is found by computed offsets. */
export class BundleReader {
  readonly path: string;
  readonly lock: Lock;
  readonly layout: Layout;
  /** Of the file as it is; differs from `layout.size` in a bundle that is not whole. Bytes. */
  readonly fileSize: number;
  readonly #fd: number;

  private constructor(path: string, fd: number, head: { lock: Lock; layout: Layout; fileSize: number }) {
    this.path = path;
    this.#fd = fd;
    this.lock = head.lock;
    this.layout = head.layout;
    this.fileSize = head.fileSize;
  }

  /**
   * @param options.partial accept a file that is shorter or longer than its lock says: for `verify`,
   *   which tells what is missing
   * @throws AirgapError `disk` when it can't be read, `corrupt` when it is no bundle or not whole
   */
  static open(path: string, options: { partial?: boolean } = {}): BundleReader {
    const fd = openFile(path);
    try {
      const head = asCorrupt(path, () => readHead(fd, path));
      if (!options.partial && head.fileSize !== head.layout.size)
        throw wrongSize(path, head.fileSize, head.layout.size);
      return new BundleReader(path, fd, head);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Where a blob's bytes are, or undefined when the bundle does not carry it. */
  region(digest: Digest): Region | undefined {
    const entry = this.layout.byDigest.get(digest);
    return entry && { fd: this.#fd, offset: entry.offset, size: entry.size };
  }

  /** The content of a small blob, checked. @throws AirgapError `not-found`, `corrupt`, also when it is larger than `limit` bytes */
  read(digest: Digest, limit = MAX_SMALL): Buffer {
    const region = this.region(digest);
    if (region === undefined) throw new AirgapError("not-found", `${this.path} does not carry ${digest}`);
    if (region.size > limit)
      throw corrupt(
        `${blobName(digest)} of ${this.path} has ${region.size} bytes; at most ${limit} are expected there`,
      );
    const bytes = readAt(this.#fd, region.offset, region.size, this.path);
    asCorrupt(this.path, () => checkDigest(bytes, digest, `${blobName(digest)} of ${this.path}`));
    return bytes;
  }

  /** A manifest, checked. @throws AirgapError `not-found`, `corrupt` */
  manifest({ digest, mediaType }: Pick<Descriptor, "digest" | "mediaType">, what: string): Manifest | Index {
    const bytes = this.read(digest, MAX_MANIFEST_SIZE);
    return asCorrupt(this.path, () => parseManifest(bytes, mediaType, `${what} of ${this.path}`));
  }

  /**
   * The files of an artifact, each by a safe path below its root; a file is alone and called as its item.
   * @throws AirgapError `not-found`, `corrupt`
   */
  files(item: Pick<Item, "kind" | "name" | "root">): TitledLayer[] {
    return filesOf(item, this.manifest(item.root, `${item.kind} ${item.name}`), this.path);
  }

  /** The bundle as a place to read from; references are digests and item names. */
  source(): Source {
    return new BundleSource(this);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

class BundleSource implements Source {
  readonly name: string;
  readonly #bundle: BundleReader;

  constructor(bundle: BundleReader) {
    this.name = `bundle:${bundle.path}`;
    this.#bundle = bundle;
  }

  async resolve(reference: string): Promise<Descriptor> {
    const item = this.#bundle.lock.items.find(({ name }) => name === reference);
    if (item) return item.root;
    const region = isDigest(reference) ? this.#bundle.region(reference) : undefined;
    if (region === undefined || !isDigest(reference))
      throw new AirgapError("not-found", `${this.name} does not carry ${reference}`);
    const { mediaType } = parseManifest(
      this.#bundle.read(reference),
      undefined,
      `${reference} of ${this.name}`,
    );
    return { mediaType, digest: reference, size: region.size };
  }

  async fetch(descriptor: Descriptor, options: FetchOptions = {}): Promise<Readable> {
    const what = `${descriptor.digest} of ${this.name}`;
    // Whoever asks parses it: what is wrong with it is told as the bundle's damage, not as a registry's.
    if (isManifestLike(descriptor.mediaType)) this.#bundle.manifest(descriptor, descriptor.digest);
    if (options.range) return regionStream(this.#part(descriptor, options.range), what);
    return verifiedStream(regionStream(this.#part(descriptor, { offset: 0 }), what), descriptor, what);
  }

  pour(
    descriptor: Descriptor,
    range: Range,
    sink: (chunk: Uint8Array) => void | Promise<void>,
    signal?: AbortSignal,
  ): Promise<void> {
    return pourRegion(this.#part(descriptor, range), `${descriptor.digest} of ${this.name}`, sink, signal);
  }

  region(descriptor: Descriptor): Region | undefined {
    return this.#bundle.region(descriptor.digest);
  }

  #part(descriptor: Descriptor, { offset, length }: Range): Region {
    const region = this.#bundle.region(descriptor.digest);
    if (region === undefined)
      throw new AirgapError("not-found", `${this.name} does not carry ${descriptor.digest}`);
    return { fd: region.fd, offset: region.offset + offset, size: length ?? region.size - offset };
  }
}

/** Whatever is wrong with what a bundle holds, the bundle is damaged. */
function asCorrupt<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isAirgapError(error, "protocol", "corrupt", "unsupported") || error.exit === Exit.check) throw error;
    throw corrupt(error.message, [`airgap verify ${path}`, ...error.suggestions], error.cause);
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, "r");
  } catch (cause) {
    throw new AirgapError("disk", `The bundle ${path} can't be opened: ${messageOf(cause)}`, { cause });
  }
}

function wrongSize(path: string, found: number, expected: number): AirgapError {
  const what =
    found < expected
      ? `${expected - found} bytes short: it was not copied whole`
      : `${found - expected} bytes too long: something was appended`;
  return new AirgapError("corrupt", `${path} is ${what} (${found} bytes, its lock says ${expected})`, {
    suggestions: [`airgap verify ${path}`],
    exit: Exit.check,
  });
}

function readAt(fd: number, offset: number, size: number, path: string): Buffer {
  const bytes = readRegion({ fd, offset, size });
  if (bytes.length === size) return bytes;
  throw corrupt(`${path} ends at byte ${offset + bytes.length}, in the middle of something`, [
    "copy it again from where it was built",
  ]);
}

/** Walks over the first entries of a tar that may be anything. */
class Head {
  readonly #fd: number;
  readonly #path: string;
  readonly #fileSize: number;
  #offset = 0;

  constructor(fd: number, path: string, fileSize: number) {
    this.#fd = fd;
    this.#path = path;
    this.#fileSize = fileSize;
  }

  fail(why: string, cause?: unknown): never {
    throw new AirgapError(
      "corrupt",
      `${this.#path} is not a bundle that airgap wrote, or it is damaged: ${why}`,
      {
        cause,
        exit: Exit.check,
        suggestions: [
          "copy it again from where it was built",
          `airgap copy reads other OCI archives: airgap copy oci-archive:${this.#path} …`,
        ],
      },
    );
  }

  next(name: string, limit: number): Buffer {
    if (this.#offset + BLOCK > this.#fileSize) this.fail(`it ends at byte ${this.#fileSize}, before ${name}`);
    const block = readAt(this.#fd, this.#offset, BLOCK, this.#path);
    const header = readHeader(block);
    if (header === undefined)
      return this.fail(`no tar header at byte ${this.#offset}, where ${name} is expected`);
    if (header.name !== name || header.type !== "0")
      this.fail(
        `${JSON.stringify(header.name)} of type ${header.type} stands at byte ${this.#offset}, where ${name} is expected`,
      );
    if (!(header.size <= limit)) this.fail(`${name} claims ${header.size} bytes`);
    if (!block.equals(entryHeader(name, header.size))) this.fail(`the tar header of ${name} was changed`);
    const bytes = readAt(this.#fd, this.#offset + BLOCK, header.size, this.#path);
    this.#offset += BLOCK + padded(header.size);
    return bytes;
  }
}

function readHead(fd: number, path: string): { lock: Lock; layout: Layout; fileSize: number } {
  const stat = fstatSync(fd);
  if (!stat.isFile() && !stat.isBlockDevice()) throw new AirgapError("disk", `${path} is not a file`);
  const head = new Head(fd, path, stat.size);
  if (!head.next("oci-layout", 4096).equals(OCI_LAYOUT))
    head.fail("oci-layout is not the one that airgap writes");
  const indexBytes = head.next("index.json", MAX_INDEX);
  const { manifests } = parseLimitedJson(indexBytes, `index.json of ${path}`);
  const root = parseDescriptor(Array.isArray(manifests) ? manifests[0] : undefined, `index.json of ${path}`);
  if (root.artifactType !== ROOT_ARTIFACT_TYPE) head.fail("its index does not begin with a lock");
  const manifestBytes = head.next(blobName(root.digest), 65536);
  checkDigest(manifestBytes, root.digest, `the root manifest of ${path}`);
  const manifest = parseManifest(manifestBytes, root.mediaType, `the root manifest of ${path}`);
  const lockBlob = manifest.kind === "manifest" ? manifest.config : head.fail("its root is an index");
  const lockBytes = head.next(blobName(lockBlob.digest), LOCK_LIMITS.size);
  checkDigest(lockBytes, lockBlob.digest, `the lock of ${path}`);
  const lock = parseLock(lockBytes, `of ${path}`);
  const layout = layOut(lock);
  const expected = layout.entries[1]?.bytes;
  if (layout.lockDigest !== lockBlob.digest || !expected?.equals(indexBytes))
    head.fail("index.json and the lock contradict each other");
  return { lock, layout, fileSize: stat.size };
}
