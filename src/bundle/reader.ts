import { closeSync, fstatSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
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
import { readRegion, regionStream, writeRegion } from "../transport/region.ts";
import type { FetchOptions, Range, Region, Source } from "../transport/types.ts";
import { verified } from "../transport/verify.ts";
import { blobName, type Layout, layOut, ROOT_ARTIFACT_TYPE } from "./layout.ts";
import { BLOCK, entryHeader, padded, readHeader } from "./tar.ts";

/** The largest blob that is read whole: manifests, and texts of the sets. Bytes. */
const MAX_SMALL = 64 * 1024 * 1024;
const MAX_INDEX = 16 * 1024 * 1024;

export interface BundleReaderOptions {
  /** Accept a file that is shorter or longer than its lock says: for `verify`, which tells what is missing. */
  partial?: boolean;
}

/** An open bundle. Opening reads the first kilobytes; everything else is found by computed offsets. */
export class BundleReader {
  readonly path: string;
  readonly lock: Lock;
  readonly layout: Layout;
  /** Size of the file as it is; differs from `layout.size` in a bundle that is not whole. Bytes. */
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
   * @throws AirgapError `disk` when it cannot be read, `corrupt` when it is not a bundle or not whole
   */
  static open(path: string, options: BundleReaderOptions = {}): BundleReader {
    const opening = BundleReader.#opening(path, options);
    for (;;) {
      const { done, value } = opening.next();
      if (done) return value;
    }
  }

  /** As `open`, but a signal that comes meanwhile is heard: a large lock takes seconds to read. */
  static async openUnless(signal: AbortSignal | undefined, path: string, options: BundleReaderOptions = {}) {
    const opening = BundleReader.#opening(path, options);
    for (;;) {
      const { done, value } = opening.next();
      if (done) return value;
      await nextTurn();
      if (signal?.aborted) {
        opening.return(undefined as never);
        throw signal.reason;
      }
    }
  }

  /** Pauses between the parts of the work. */
  static *#opening(path: string, options: BundleReaderOptions): Generator<void, BundleReader> {
    const fd = openFile(path);
    let reader: BundleReader | undefined;
    try {
      const head = yield* readHead(fd, path);
      yield;
      if (!options.partial && head.fileSize !== head.layout.size)
        throw wrongSize(path, head.fileSize, head.layout.size);
      reader = new BundleReader(path, fd, head);
      return reader;
    } catch (error) {
      throw damaged(error, path);
    } finally {
      if (reader === undefined) closeSync(fd);
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
    if (region === undefined)
      throw new AirgapError("not-found", `${this.path} does not carry ${digest}`, { exit: Exit.check });
    if (region.size > limit)
      throw corrupt(
        `${blobName(digest)} of ${this.path} has ${region.size} bytes; at most ${limit} are allowed here`,
      );
    const bytes = readAt(this.#fd, region.offset, region.size, this.path);
    this.#blaming(() => checkDigest(bytes, digest, `${blobName(digest)} of ${this.path}`));
    return bytes;
  }

  /** A manifest or index of the bundle, checked. @throws AirgapError `not-found`, `corrupt` */
  manifest({ digest, mediaType }: Pick<Descriptor, "digest" | "mediaType">, what: string): Manifest | Index {
    const bytes = this.read(digest, MAX_MANIFEST_SIZE);
    return this.#blaming(() => parseManifest(bytes, mediaType, `${what} of ${this.path}`));
  }

  /**
   * The files of an artifact, each by a safe path below its root; a file is the only one, with the name of its item.
   * @throws AirgapError `not-found`, `corrupt`
   */
  files(item: Pick<Item, "kind" | "name" | "root">): TitledLayer[] {
    return filesOf(item, this.manifest(item.root, `${item.kind} ${item.name}`), this.path);
  }

  #blaming<T>(check: () => T): T {
    try {
      return check();
    } catch (error) {
      throw damaged(error, this.path);
    }
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
    // The caller parses it: a fault in it is reported as the bundle's damage, not as a registry's.
    if (isManifestLike(descriptor.mediaType)) this.#bundle.manifest(descriptor, descriptor.digest);
    if (options.range) return regionStream(this.#part(descriptor, options.range), what);
    const content = regionStream(this.#part(descriptor, { offset: 0 }), what);
    return Readable.from(blaming(verified(content, descriptor, what), this.#bundle.path), {
      objectMode: false,
    });
  }

  writeTo(
    descriptor: Descriptor,
    range: Range,
    sink: (chunk: Uint8Array) => void | Promise<void>,
    signal?: AbortSignal,
  ): Promise<void> {
    return writeRegion(this.#part(descriptor, range), `${descriptor.digest} of ${this.name}`, sink, signal);
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

/** A path that does not exist is a mistake in the command. @throws AirgapError `disk`, `corrupt` */
function openFile(path: string): number {
  try {
    // With a pipe, `open` would wait until another process writes into it.
    const stat = statSync(path);
    if (!stat.isFile() && !stat.isBlockDevice()) throw notBundle(path, "it is not a file");
    return openSync(path, "r");
  } catch (cause) {
    if (cause instanceof AirgapError) throw cause;
    if (["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? ""))
      throw new AirgapError("disk", `Cannot read the bundle ${path}: no such file`, {
        exit: Exit.usage,
        suggestions: [`ls -l ${dirname(path)}`],
      });
    throw new AirgapError("disk", `Cannot read the bundle ${path}: ${messageOf(cause)}`, { cause });
  }
}

function notBundle(path: string, why: string, cause?: unknown): AirgapError {
  return new AirgapError("corrupt", `${path} is not a bundle that airgap wrote, or it is damaged: ${why}`, {
    cause,
    exit: Exit.check,
    suggestions: [
      "copy it again from where it was built",
      `airgap copy oci-archive:${path} DESTINATION  # if it is an OCI archive of another tool`,
    ],
  });
}

async function* blaming(content: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* content;
  } catch (error) {
    throw damaged(error, path);
  }
}

/** Whatever rule the content of a bundle breaks, the error says that the bundle is damaged. */
function damaged(error: unknown, path: string): unknown {
  if (isAirgapError(error, "disk", "interrupted")) return error;
  if (isAirgapError(error, "corrupt") && error.exit === Exit.check) return error;
  if (error instanceof RangeError) return notBundle(path, "it is nested too deeply", error);
  if (!(error instanceof AirgapError)) return error;
  const { message, suggestions, cause } = error;
  return new AirgapError("corrupt", message, { suggestions, cause, exit: Exit.check });
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
  throw corrupt(`${path} ends at byte ${offset + bytes.length}, in the middle of an entry`, [
    "copy it again from where it was built",
  ]);
}

/** Walks over the first entries of a file that may not be a tar at all. */
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
    throw notBundle(this.#path, why, cause);
  }

  next(name: string, limit: number): Buffer {
    if (this.#offset + BLOCK > this.#fileSize) this.fail(`it ends at byte ${this.#fileSize}, before ${name}`);
    const block = readAt(this.#fd, this.#offset, BLOCK, this.#path);
    const header = readHeader(block);
    if (header === undefined)
      return this.fail(`no tar header at byte ${this.#offset}, where ${name} is expected`);
    if (header.name !== name || header.type !== "0")
      this.fail(
        `${JSON.stringify(header.name)} of type ${header.type} is at byte ${this.#offset}, where ${name} is expected`,
      );
    if (!(header.size <= limit)) this.fail(`${name} claims ${header.size} bytes`);
    if (!block.equals(entryHeader(name, header.size))) this.fail(`the tar header of ${name} was changed`);
    const bytes = readAt(this.#fd, this.#offset + BLOCK, header.size, this.#path);
    this.#offset += BLOCK + padded(header.size);
    return bytes;
  }
}

function* readHead(
  fd: number,
  path: string,
): Generator<void, { lock: Lock; layout: Layout; fileSize: number }> {
  const stat = fstatSync(fd);
  const head = new Head(fd, path, stat.size);
  const layoutBytes = head.next("oci-layout", 4096);
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
  yield;
  const lock = parseLock(lockBytes, `of ${path}`);
  yield;
  const layout = layOut(lock);
  const [first, second] = layout.entries;
  if (!first?.bytes?.equals(layoutBytes)) head.fail("oci-layout is not the one that airgap writes");
  if (layout.lockDigest !== lockBlob.digest || !second?.bytes?.equals(indexBytes))
    head.fail("index.json and the lock contradict each other");
  return { lock, layout, fileSize: stat.size };
}
