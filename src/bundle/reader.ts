import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { AirgapError, Exit } from "../errors.ts";
import type { Item, Lock, LockedBlob } from "../lock/lock.ts";
import { corrupt } from "../lock/shape.ts";
import { filesOf, type TitledLayer } from "../lock/titles.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { checkDigest, type Digest, isDigest } from "../oci/digest.ts";
import { type Index, MAX_MANIFEST_SIZE, type Manifest, parseManifest } from "../oci/manifest.ts";
import { isManifestLike } from "../oci/media-types.ts";
import { readRegion, regionStream, slice, writeRegion } from "../transport/region.ts";
import type { FetchOptions, Range, Region, Source } from "../transport/types.ts";
import { verified } from "../transport/verify.ts";
import type { Proof, Trust } from "../trust/trust.ts";
import { damaged, wrongSize } from "./damage.ts";
import type { Delta } from "./delta.ts";
import { type BundleHead, readHead } from "./head.ts";
import { blobName, type Layout } from "./layout.ts";
import { BundleFile } from "./volumes.ts";

/** The largest blob that is read whole: manifests, and texts of the sets. Bytes. */
const MAX_SMALL = 64 * 1024 * 1024;

/** How a command opens the bundles that it reads. */
export interface Opening {
  /** Checks signatures before the lock is believed; without it nobody asks for them. */
  trust?: Trust | undefined;
  /** Folders in which volumes lie, besides the bundle's own. */
  volumes?: readonly string[] | undefined;
  /** Bundles that have what a delta counts on. */
  bases?: readonly string[] | undefined;
}

export interface BundleReaderOptions extends Opening {
  /** Accept a file that is shorter or longer than its lock says: for `verify`, which tells what is missing. */
  partial?: boolean;
}

/** An open bundle. Opening reads the first kilobytes; everything else is found by computed offsets. */
export class BundleReader {
  readonly path: string;
  readonly lock: Lock;
  readonly layout: Layout;
  /** What signatures prove; nothing when nobody asked. */
  readonly proof: Proof;
  readonly file: BundleFile;
  /** What it leaves out, when it is a delta. */
  readonly delta: Delta | undefined;
  /** Other bundles that have it. */
  #bases: readonly BundleReader[] = [];
  /** Those of them that were opened for this one, and end with it. */
  #own: BundleReader[] = [];

  private constructor(file: BundleFile, { lock, layout, delta, proof }: BundleHead) {
    this.path = file.path;
    this.file = file;
    this.lock = lock;
    this.layout = layout;
    this.delta = delta;
    this.proof = proof ?? { signatures: [], signedBy: [] };
  }

  /** Size of the file as it is; differs from `layout.size` in a bundle that is not whole. Bytes. */
  get fileSize(): number {
    return this.file.size;
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
    const file = BundleFile.open(path, options.volumes);
    let reader: BundleReader | undefined;
    try {
      const head = yield* readHead(file, options.trust);
      yield;
      if (!options.partial && file.size !== head.layout.size) throw wrongSize(file, head.layout.size);
      reader = new BundleReader(file, head);
    } catch (error) {
      throw damaged(error, path);
    } finally {
      if (reader === undefined) file.close();
    }
    let whole = false;
    try {
      yield* reader.#openBases(options);
      whole = true;
      return reader;
    } finally {
      if (!whole) reader.close();
    }
  }

  *#openBases({ bases = [], ...options }: BundleReaderOptions): Generator<void> {
    if (bases.length > 0 && this.delta === undefined)
      throw new AirgapError("usage", `${this.path} is not a delta: it counts on no other bundle`);
    for (const base of bases)
      this.#own.push(yield* BundleReader.#opening(base, { ...options, partial: false }));
    this.leanOn(this.#own);
  }

  /** Takes what a delta counts on from other open bundles, which stay open as long. */
  leanOn(bases: readonly BundleReader[]): void {
    this.#bases = bases.filter((base) => base !== this);
  }

  /** Takes small blobs that were read elsewhere; they are compared with their digests when they are read here. */
  adopt(blobs: ReadonlyMap<Digest, Buffer>): void {
    for (const [digest, bytes] of blobs) this.#adopted.set(digest, bytes);
  }
  readonly #adopted = new Map<Digest, Buffer>();

  /** Whether a blob can be read here. */
  has(digest: Digest): boolean {
    return this.#adopted.has(digest) || this.region(digest) !== undefined;
  }

  /** What a delta counts on and no base has, in the order of the lock. */
  missing(): LockedBlob[] {
    return (this.delta?.blobs ?? []).filter(({ digest }) => this.region(digest) === undefined);
  }

  /** Where a blob's bytes are, here or in a base; undefined when nobody has it. */
  region(digest: Digest): Region | undefined {
    return this.#ownRegion(digest) ?? this.#inBase(digest)?.region;
  }

  #ownRegion(digest: Digest): Region | undefined {
    const entry = this.layout.byDigest.get(digest);
    return entry && this.file.region(entry.offset, entry.size);
  }

  #inBase(digest: Digest): { base: BundleReader; region: Region } | undefined {
    if (this.#bases.length === 0) return undefined;
    const counted = this.#counted.get(digest);
    for (const base of counted === undefined ? [] : this.#bases) {
      const region = base.#ownRegion(digest);
      if (region && region.size === counted) return { base, region };
    }
    return undefined;
  }

  /** Sizes of what it counts on. */
  get #counted(): ReadonlyMap<Digest, number> {
    this.#sizes ??= new Map(this.delta?.blobs.map(({ digest, size }) => [digest, size]));
    return this.#sizes;
  }
  #sizes: Map<Digest, number> | undefined;

  /** The path of the bundle that has a blob's bytes, for messages. */
  holderOf(digest: Digest): string {
    return this.#inBase(digest)?.base.path ?? this.path;
  }

  /** Which bundle file has a blob, here or in a base, and where in it; its volumes count as one. */
  locate(digest: Digest): { file: BundleFile; offset: number; size: number } | undefined {
    const holder = this.layout.byDigest.has(digest) ? this : this.#inBase(digest)?.base;
    const entry = holder?.layout.byDigest.get(digest);
    return holder && entry && { file: holder.file, offset: entry.offset, size: entry.size };
  }

  /** The content of a small blob, checked. @throws AirgapError `not-found`, `corrupt`, also when it is larger than `limit` bytes */
  read(digest: Digest, limit = MAX_SMALL): Buffer {
    const adopted = this.#adopted.get(digest);
    const region = this.region(digest);
    const size = adopted?.length ?? region?.size;
    if (size === undefined) throw this.lacks(digest);
    if (size > limit)
      throw corrupt(
        `${blobName(digest)} of ${this.path} has ${size} bytes; at most ${limit} are allowed here`,
      );
    const bytes = adopted ?? this.#whole(region as Region);
    this.#blaming(() => checkDigest(bytes, digest, `${blobName(digest)} of ${this.path}`));
    return bytes;
  }

  /** The error for a blob that it does not carry. */
  lacks(digest: Digest): AirgapError {
    const counted = this.delta?.blobs.some((blob) => blob.digest === digest);
    return new AirgapError(
      "not-found",
      counted
        ? `${this.path} is a delta: it counts on ${digest}, and no other bundle at hand has it`
        : `${this.path} does not carry ${digest}`,
      {
        exit: Exit.check,
        suggestions: counted
          ? ["name the bundle that has it with --base", `airgap merge BASE ${this.path} -o FULL.tar`]
          : [],
      },
    );
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

  #whole(region: Region): Buffer {
    const bytes = readRegion(region);
    if (bytes.length === region.size) return bytes;
    throw corrupt(`${this.path} ends in the middle of an entry`, ["copy it again from where it was built"]);
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
    this.file.close();
    for (const base of this.#own) base.close();
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
    if (!isDigest(reference)) throw new AirgapError("not-found", `${this.name} does not carry ${reference}`);
    if (region === undefined) throw this.#bundle.lacks(reference);
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
    if (region === undefined) throw this.#bundle.lacks(descriptor.digest);
    return slice(region, offset, length ?? region.size - offset);
  }
}

async function* blaming(content: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* content;
  } catch (error) {
    throw damaged(error, path);
  }
}
