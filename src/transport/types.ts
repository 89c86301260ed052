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
 * Where content is read from: one repository of a registry, one image of an archive, a bundle.
 * Every method rejects with an AirgapError; what is not there is `not-found`.
 */
export interface Source {
  /** For messages and for the lock's origins: `docker://registry.k8s.io/pause`, `oci:/dir`. */
  readonly name: string;
  /** What a tag or a digest stands for here. */
  resolve(reference: string, signal?: AbortSignal): Promise<Descriptor>;
  /**
   * The content of a descriptor. The whole of it is checked against digest and size while it is
   * read: the stream fails with `corrupt` before it ends. A range can only be checked by the caller.
   */
  fetch(descriptor: Descriptor, options?: FetchOptions): Promise<Readable>;
  /** Manifests whose subject is `digest`. Absent where the kind of source has none. */
  referrers?(digest: Digest, signal?: AbortSignal): Promise<Descriptor[]>;
  tags?(signal?: AbortSignal): Promise<string[]>;
  /**
   * The fast lane: hands over exactly the bytes of the range, in order, unchecked. A chunk is valid
   * only during the call, its buffer is reused. Offered where that is faster than `fetch`.
   */
  pour?(
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
  /** Where the bytes lie in an open file, for who sends them without copying; undefined where they lie in none. */
  region?(descriptor: Descriptor): Region | undefined;
  close?(): Promise<void>;
}

/** What a push did: `present` = it was there already, and nothing was sent. */
export type Pushed = "done" | "present";

/** Where content goes to. `push` is safe to repeat. */
export interface Destination {
  readonly name: string;
  /** What blobs are shared within: two destinations with one `store` never need the same blob twice over the wire. */
  readonly store: string;
  exists(descriptor: Descriptor, signal?: AbortSignal): Promise<boolean>;
  /** Moves one blob or manifest, verified, from `source`. Children must be there before a manifest. */
  push(descriptor: Descriptor, source: Source, signal?: AbortSignal): Promise<Pushed>;
  /** The same, but believing nobody that it is there already: for what turned out to be damaged. */
  repush?(descriptor: Descriptor, source: Source, signal?: AbortSignal): Promise<Pushed>;
  /** Whether the whole of a blob is really given out; asks for its bytes where `exists` may be told from memory. */
  isReadable?(descriptor: Descriptor, signal?: AbortSignal): Promise<boolean>;
  /** Pushes a manifest under a name. Refused because something below it is missing: an error with `data.missing`. */
  tag(descriptor: Descriptor, tag: string, source: Source, signal?: AbortSignal): Promise<void>;
  /** Takes a blob over from another repository of the same store; false when that did not work and it must be pushed. */
  mount?(descriptor: Descriptor, from: Destination, signal?: AbortSignal): Promise<boolean>;
  close?(): Promise<void>;
}

/** A blob inside an open file: what a server needs to send it without copying. Bytes. */
export interface Region {
  fd: number;
  offset: number;
  size: number;
}
