import { AirgapError, Exit } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { algorithmOf, finish, hasher } from "../../oci/digest.ts";
import { fillFrom, slice } from "../region.ts";
import type { Region, Source } from "../types.ts";

const CHUNK = 256 * 1024;
/** Bodies up to this size are sent from one buffer, together with the request's head. */
const SMALL = 64 * 1024;
const KEPT_PAIRS = 16;

/** Two buffers to send a file through; `busy` while they are still read into. */
interface Pair {
  buffers: [Buffer, Buffer];
  busy: boolean;
}
const pairs: Pair[] = [];

/** The bytes of one blob to send; any part of them, as often as needed. */
export class Content {
  readonly descriptor: Descriptor;
  readonly #source: Source;
  readonly #onBytes: (bytes: number) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #pairs: Pair[] = [];
  #reported = 0;

  /** @param onBytes called with the number of bytes passed to the connection */
  constructor(
    descriptor: Descriptor,
    source: Source,
    onBytes: (bytes: number) => void,
    signal?: AbortSignal,
  ) {
    this.descriptor = descriptor;
    this.#source = source;
    this.#onBytes = onBytes;
    this.#signal = signal;
  }

  /** A request body of `length` bytes from `from` on, read when the request goes out. */
  body(from: number, length: number): () => AsyncIterable<Uint8Array> | Promise<Uint8Array> {
    return () => (length > SMALL ? this.#counted(from, length) : this.#small(from, length));
  }

  /** Call it when no request runs any more: it returns the buffers, except those that are still read into. */
  release(): void {
    for (const pair of this.#pairs.splice(0)) if (!pair.busy && pairs.length < KEPT_PAIRS) pairs.push(pair);
  }

  /** Whether the bytes match their digest: to know whose fault a refused digest is. */
  async isRight(): Promise<boolean> {
    const { digest, size } = this.descriptor;
    const hash = hasher(digest);
    for await (const chunk of this.#chunks(0, size)) hash.update(chunk);
    return finish(hash, algorithmOf(digest)) === digest;
  }

  async #small(from: number, length: number): Promise<Uint8Array> {
    const region = this.#region(from, length);
    const bytes = region
      ? await fillFrom(region, Buffer.allocUnsafe(length), 0)
      : await this.#collect(from, length);
    if (bytes.length !== length) throw this.#short(from + bytes.length);
    this.#sent(from + length);
    return bytes;
  }

  async #collect(from: number, length: number): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#fromSource(from, length)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  async *#counted(from: number, length: number): AsyncGenerator<Uint8Array> {
    let sent = 0;
    for await (const chunk of this.#chunks(from, length)) {
      sent += chunk.length;
      this.#sent(from + sent);
      yield chunk;
    }
    if (sent !== length) throw this.#short(from + sent);
  }

  /** Bytes that are sent again do not count as progress. */
  #sent(upTo: number): void {
    if (upTo <= this.#reported) return;
    this.#onBytes(upTo - this.#reported);
    this.#reported = upTo;
  }

  #short(at: number): AirgapError {
    return this.damaged(`ends after ${at} of ${this.descriptor.size} bytes`);
  }

  /** A damaged local file, such as a bundle, has failed a check; a registry's answer may be right next time. */
  damaged(why: string, cause?: unknown): AirgapError {
    return new AirgapError("corrupt", `${this.descriptor.digest} of ${this.#source.name} ${why}`, {
      cause,
      ...(this.#source.region?.(this.descriptor) ? { exit: Exit.check } : {}),
    });
  }

  #region(from: number, length: number): Region | undefined {
    const region = this.#source.region?.(this.descriptor);
    return region && slice(region, from, length);
  }

  #chunks(from: number, length: number): AsyncIterable<Uint8Array> {
    const region = this.#region(from, length);
    return region ? this.#fromRegion(region) : this.#fromSource(from, length);
  }

  async *#fromSource(from: number, length: number): AsyncGenerator<Uint8Array> {
    const signal = this.#signal ? { signal: this.#signal } : {};
    const whole = from === 0 && length === this.descriptor.size;
    yield* (await this.#source.fetch(
      this.descriptor,
      whole ? signal : { range: { offset: from, length }, ...signal },
    )) as AsyncIterable<Uint8Array>;
  }

  /**
   * Two buffers in turn: one is read into while the other is written. A consumer has finished with a
   * chunk when it asks for the next but one; undici waits for the socket to drain after
   * each chunk that is larger than the socket's own buffer, and these are.
   */
  async *#fromRegion(region: Region): AsyncGenerator<Uint8Array> {
    const pair = pairs.pop() ?? {
      buffers: [Buffer.allocUnsafe(CHUNK), Buffer.allocUnsafe(CHUNK)],
      busy: true,
    };
    pair.busy = true;
    this.#pairs.push(pair);
    const { size } = region;
    const fill = (index: number, at: number): Promise<Buffer> => {
      const buffer = pair.buffers[index % 2] as Buffer;
      return fillFrom(region, buffer.subarray(0, Math.min(CHUNK, size - at)), at);
    };
    let next: Promise<Buffer> | undefined = fill(0, 0);
    try {
      for (let index = 1, at = 0; next !== undefined; index++) {
        const chunk: Buffer = await next;
        at += chunk.length;
        next = chunk.length > 0 && at < size ? fill(index, at) : undefined;
        if (chunk.length > 0) yield chunk;
      }
    } finally {
      await next?.catch(() => {});
      pair.busy = false;
    }
  }
}
