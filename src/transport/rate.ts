import { setTimeout as sleep } from "node:timers/promises";

/** At most so many bytes a second for all who share it; who takes too much waits. */
export class RateLimit {
  readonly #perMs: number;
  /** When everything that was taken so far is paid for. Milliseconds of the monotonic clock. */
  #paidAt = 0;

  /** @param bytesPerSecond more than 0 */
  constructor(bytesPerSecond: number) {
    this.#perMs = bytesPerSecond / 1000;
  }

  /** Resolves when this many bytes may pass. A second of silence gives no more than one second of bytes. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    const now = performance.now();
    this.#paidAt = Math.max(this.#paidAt, now) + bytes / this.#perMs;
    const wait = this.#paidAt - now;
    if (wait > 20)
      await sleep(wait, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
  }
}
