import { Readable } from "node:stream";
import { AirgapError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import type { FetchOptions, Source } from "./types.ts";

/** Blobs that are in memory: generated manifests and metadata. */
export class MemorySource implements Source {
  readonly name: string;
  readonly #blobs: Map<Digest, Uint8Array>;

  constructor(name: string, blobs: Uint8Array[]) {
    this.name = name;
    this.#blobs = new Map(blobs.map((bytes) => [digestOf(bytes), bytes]));
  }

  async resolve(reference: string): Promise<Descriptor> {
    const bytes = this.#find(reference);
    if (bytes === undefined) throw this.#absent(reference);
    return { mediaType: "application/octet-stream", digest: reference as Digest, size: bytes.length };
  }

  async fetch(descriptor: Descriptor, options: FetchOptions = {}): Promise<Readable> {
    const bytes = this.#find(descriptor.digest);
    if (bytes === undefined) throw this.#absent(descriptor.digest);
    const { offset = 0, length = bytes.length - offset } = options.range ?? {};
    return Readable.from([Buffer.from(bytes.subarray(offset, offset + length))]);
  }

  /** By sha256, or by sha512, which is computed when it is first asked for. */
  #find(digest: string): Uint8Array | undefined {
    if (digest.startsWith("sha512:") && !this.#blobs.has(digest as Digest)) {
      for (const bytes of [...this.#blobs.values()]) this.#blobs.set(digestOf(bytes, "sha512"), bytes);
    }
    return this.#blobs.get(digest as Digest);
  }

  #absent(reference: string): AirgapError {
    return new AirgapError("not-found", `${this.name} does not hold ${reference}`);
  }
}
