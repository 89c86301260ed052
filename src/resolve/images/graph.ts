import { AirgapError, isAirgapError } from "../../errors.ts";
import type { Blob } from "../../lock/resolved.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import {
  childrenOf,
  type Index,
  MAX_INDEX_DEPTH,
  MAX_MANIFEST_SIZE,
  type Manifest,
  parseManifest,
} from "../../oci/manifest.ts";
import { isForeignLayer, isManifestLike } from "../../oci/media-types.ts";
import { MemorySource } from "../../transport/memory.ts";
import { readBlob } from "../../transport/read.ts";
import type { Source } from "../../transport/types.ts";

/** The blobs that an item reaches, each once, and the manifests among them as parsed content. */
export class Graph {
  readonly #blobs = new Map<Digest, Blob>();
  readonly #contents = new Map<Digest, { bytes: Buffer; content: Manifest | Index }>();
  readonly #source: Source;
  readonly #signal: AbortSignal | undefined;
  readonly #foreignLayers: boolean;
  readonly #leftOut = new Map<Digest, Descriptor>();

  constructor(source: Source, options: { foreignLayers?: boolean; signal?: AbortSignal | undefined } = {}) {
    this.#source = source;
    this.#signal = options.signal;
    this.#foreignLayers = options.foreignLayers ?? false;
  }

  get blobs(): Blob[] {
    return [...this.#blobs.values()];
  }

  /** Foreign layers that were met and not added. */
  get leftOut(): Descriptor[] {
    return [...this.#leftOut.values()];
  }

  /** Every manifest and index added so far. */
  get manifests(): Digest[] {
    return [...this.#contents.keys()];
  }

  /** Reads a manifest or index, once. @throws AirgapError `protocol`, `unsupported`, `corrupt`, `not-found` */
  async content(descriptor: Descriptor): Promise<{ bytes: Buffer; content: Manifest | Index }> {
    const known = this.#contents.get(descriptor.digest);
    if (known) return known;
    const bytes = await readBlob(this.#source, descriptor, MAX_MANIFEST_SIZE, this.#signal);
    const read = {
      bytes,
      content: parseManifest(bytes, descriptor.mediaType, `${descriptor.digest} of ${this.#source.name}`),
    };
    this.#contents.set(descriptor.digest, read);
    return read;
  }

  /** Adds content that airgap made: a derived index. */
  addBytes(descriptor: Descriptor, bytes: Buffer): void {
    this.#blobs.set(descriptor.digest, {
      descriptor,
      source: new MemorySource(`memory:${descriptor.digest}`, [bytes]),
    });
    this.#contents.set(descriptor.digest, {
      bytes,
      content: parseManifest(bytes, descriptor.mediaType, descriptor.digest),
    });
  }

  /** Adds a blob that was read already. */
  addBlobBytes(descriptor: Descriptor, bytes: Buffer): void {
    this.#blobs.set(descriptor.digest, { descriptor, source: new MemorySource(this.#source.name, [bytes]) });
  }

  /** Adds one manifest without what it reaches: an index that is carried only for its digest. */
  async addAlone(descriptor: Descriptor): Promise<void> {
    const { bytes } = await this.content(descriptor);
    this.#blobs.set(descriptor.digest, { descriptor, source: new MemorySource(this.#source.name, [bytes]) });
  }

  /**
   * Adds a descriptor and everything below it.
   * @param take which children of an index to follow; all by default
   */
  async add(
    descriptor: Descriptor,
    take: (child: Descriptor) => boolean = () => true,
    depth = 0,
  ): Promise<void> {
    if (!isManifestLike(descriptor.mediaType)) return this.#addBlob(descriptor);
    if (depth > MAX_INDEX_DEPTH)
      throw new AirgapError(
        "protocol",
        `${this.#source.name}: indexes nested more than ${MAX_INDEX_DEPTH} deep`,
      );
    const { content } = await this.content(descriptor);
    const seen = this.#blobs.has(descriptor.digest);
    await this.addAlone(descriptor);
    if (seen && depth > 0) return;
    const children = childrenOf(content).filter((child) => content.kind === "manifest" || take(child));
    for (const child of children) await this.add(child, take, depth + 1);
  }

  /** Adds a descriptor and everything below it, or nothing where a part of it is not there. */
  async addIfThere(descriptor: Descriptor): Promise<boolean> {
    const [blobs, contents] = [new Map(this.#blobs), new Map(this.#contents)];
    try {
      await this.add(descriptor);
      return true;
    } catch (error) {
      if (!isAirgapError(error, "not-found")) throw error;
      restore(this.#blobs, blobs);
      restore(this.#contents, contents);
      return false;
    }
  }

  #addBlob(descriptor: Descriptor): void {
    if (isForeignLayer(descriptor.mediaType) && !this.#foreignLayers) {
      this.#leftOut.set(descriptor.digest, descriptor);
      return;
    }
    const known = this.#blobs.get(descriptor.digest);
    if (known && known.descriptor.size !== descriptor.size) {
      throw new AirgapError(
        "protocol",
        `${this.#source.name}: ${descriptor.digest} has two sizes, ${known.descriptor.size} and ${descriptor.size} bytes`,
      );
    }
    if (!known) this.#blobs.set(descriptor.digest, { descriptor, source: this.#source });
  }
}

function restore<K, V>(map: Map<K, V>, before: Map<K, V>): void {
  map.clear();
  for (const [key, value] of before) map.set(key, value);
}
