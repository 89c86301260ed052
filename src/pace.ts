import type { Readable } from "node:stream";

/** How long a body may be too slow. Milliseconds. */
export const WINDOW_MS = 60_000;
/** The least that must come in each window: about 1 KiB a second. Bytes. */
export const LEAST = 64 * 1024;

/** How long a body of at most `limit` bytes may take in all: a window, and a second for each 64 KiB. Milliseconds. */
export const allowedMs = (limit: number, windowMs = WINDOW_MS): number =>
  windowMs + (limit / LEAST) * Math.min(windowMs, 1000);

/** Ensures that bytes keep coming: a server that sends a byte now and then would block a run for ever. */
export class Pace {
  readonly #windowMs: number;
  #waitedMs = 0;
  #came = 0;

  constructor(windowMs = WINDOW_MS) {
    this.#windowMs = windowMs;
  }

  /** Counts bytes and the time spent waiting for them. @throws Error when they come too slowly */
  count(bytes: number, waitedMs: number): void {
    this.#came += bytes;
    this.#waitedMs += waitedMs;
    if (this.#waitedMs < this.#windowMs) return;
    if (this.#came < LEAST)
      throw new Error(`only ${this.#came} bytes came in ${Math.round(this.#waitedMs / 1000)} s`);
    this.#came = 0;
    this.#waitedMs = 0;
  }
}

/** The chunks of a body, as long as they come fast enough. The time that the reader itself takes does not count. */
export async function* paced(body: Readable, windowMs = WINDOW_MS): AsyncGenerator<Buffer> {
  const pace = new Pace(windowMs);
  const chunks = (body as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const askedAt = performance.now();
      const { done, value } = await chunks.next();
      if (done === true) return;
      pace.count(value.length, performance.now() - askedAt);
      yield value;
    }
  } finally {
    await chunks.return?.();
  }
}
