import type { Readable } from "node:stream";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";

/** Bytes `offset` … `offset + length - 1` of a blob; without `length` to its end. */
export interface Range {
  offset: number;
  length?: number;
}

export interface FetchOptions {
  range?: Range;
  signal?: AbortSignal;
}

/**
 * A source of content: one repository of a registry, one image of an archive, a bundle.
 * Every method rejects with an AirgapError; missing content is `not-found`.
 */
export interface Source {
  /** For messages and for the lock's origins: `docker://registry.k8s.io/pause`, `oci:/dir`. */
  readonly name: string;
  /** The descriptor that a tag or a digest stands for. */
  resolve(reference: string, signal?: AbortSignal): Promise<Descriptor>;
  /**
   * The content of a descriptor. The whole of it is checked against digest and size while it is
   * read: the stream fails with `corrupt` before it ends. A range can only be checked by the caller.
   */
  fetch(descriptor: Descriptor, options?: FetchOptions): Promise<Readable>;
  /** Manifests whose subject is `digest`. Absent when this kind of source cannot have any. */
  referrers?(digest: Digest, signal?: AbortSignal): Promise<Descriptor[]>;
  tags?(signal?: AbortSignal): Promise<string[]>;
  /**
   * The fast lane: passes on exactly the bytes of the range, in order, unchecked. A chunk is valid
   * only during the call, since its buffer is reused. Offered when it is faster than `fetch`.
   */
  writeTo?(
    descriptor: Descriptor,
    range: Range,
    sink: (chunk: Uint8Array) => void,
    signal?: AbortSignal,
  ): Promise<void>;
  /**
   * Says that what this source gave for a descriptor was wrong. Whether it asks somebody else from
   * now on: where it is several places in one.
   */
  refuse?(descriptor: Descriptor): boolean;
  /** Where the bytes are in an open file, to send them without copying; undefined when they are not in a file. */
  region?(descriptor: Descriptor): Region | undefined;
  close?(): Promise<void>;
}

/** The result of a push: `present` = the content existed already, and nothing was sent. */
export type Pushed = "done" | "present";

/** A destination of content. `push` is safe to repeat. */
export interface Destination {
  readonly name: string;
  /** The store that shares blobs: two destinations with one `store` never need the same blob twice over the wire. */
  readonly store: string;
  exists(descriptor: Descriptor, signal?: AbortSignal): Promise<boolean>;
  /** Moves one blob or manifest, verified, from `source`. Push children before their manifest. */
  push(descriptor: Descriptor, source: Source, signal?: AbortSignal): Promise<Pushed>;
  /** The same, but without trusting that the content exists: for content that turned out to be damaged. */
  repush?(descriptor: Descriptor, source: Source, signal?: AbortSignal): Promise<Pushed>;
  /**
   * Whether the whole blob is really readable; reads its bytes, while `exists` may be answered from a cache.
   * Undefined for a manifest that the store gives to nobody, whether it has it or not.
   */
  isReadable?(descriptor: Descriptor, signal?: AbortSignal): Promise<boolean | undefined>;
  /** Pushes a manifest under a name. If something below it is missing, the error has `data.missing`. */
  tag(descriptor: Descriptor, tag: string, source: Source, signal?: AbortSignal): Promise<void>;
  /** Takes a blob over from another repository of the same store; false when that did not work and it must be pushed. */
  mount?(descriptor: Descriptor, from: Destination, signal?: AbortSignal): Promise<boolean>;
  close?(): Promise<void>;
}

/** A blob inside an open file: what a server needs to send it without copying. Bytes. */
export interface Region {
  fd: number;
  offset: number;
  /** Of all of it, `rest` included. */
  size: number;
  /** Where it goes on in another file: volumes of a bundle. */
  rest?: Region;
}
