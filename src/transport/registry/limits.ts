import { setTimeout as sleep } from "node:timers/promises";
import { AirgapError } from "../../errors.ts";

export interface LimitOptions {
  /** Requests at once at the start. */
  start?: number;
  /** Never more than this. */
  max?: number;
}

/** How a request went, for the limit to learn from. */
export interface RequestOutcome {
  /** The host said that it is too much (429, 503), or let the connection drop. */
  overloaded: boolean;
  /** From sending to the answer's head; measured for small requests only, where the host decides it. Milliseconds. */
  latencyMs?: number;
}

const SMOOTHING = 0.2;
const SLOW = 3;
/** A host that answers within this time is not overloaded, even if it was faster before. Milliseconds. */
const PROMPT_MS = 50;

/**
 * How many requests a host gets at once: twice as many after each round that went well, until it
 * first complains or becomes slower than before; from then on one more each round, and half after a
 * complaint (slow start, additive increase, multiplicative decrease). A pause stops all new requests.
 */
export class HostLimit {
  #limit: number;
  readonly #max: number;
  #running = 0;
  #calm = 0;
  #pausedUntil = 0;
  /** How often the limit was cut: a request that started before the last cut says nothing new. */
  #cuts = 0;
  #best = Number.POSITIVE_INFINITY;
  #smoothed = 0;
  #starting = true;
  readonly #waiting: (() => void)[] = [];

  constructor(options: LimitOptions = {}) {
    this.#max = options.max ?? 32;
    this.#limit = Math.min(options.start ?? 8, this.#max);
  }

  /** Requests allowed at once now. */
  get current(): number {
    return Math.floor(this.#limit);
  }

  /** Runs `action` when it is its turn; what it says of the host is learned from. */
  async run<T>(
    action: () => Promise<{ value: T; outcome: RequestOutcome }>,
    signal?: AbortSignal,
  ): Promise<T> {
    await this.#enter(signal);
    const cuts = this.#cuts;
    try {
      const { value, outcome } = await action();
      this.#learn(outcome, cuts);
      return value;
    } catch (error) {
      this.#learn({ overloaded: !(error instanceof AirgapError) && signal?.aborted !== true }, cuts);
      throw error;
    } finally {
      this.#running--;
      this.#wake();
    }
  }

  /** No new request starts for this long. Milliseconds. */
  pause(ms: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, Date.now() + ms);
  }

  async #enter(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    while (this.#running >= this.current) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
    try {
      for (let wait = this.#pausedUntil - Date.now(); wait > 0; wait = this.#pausedUntil - Date.now()) {
        await sleep(wait, undefined, signal ? { signal } : {});
      }
      signal?.throwIfAborted();
    } catch (error) {
      this.#running--;
      this.#wake();
      throw error;
    }
  }

  #wake(): void {
    for (let free = this.current - this.#running; free > 0 && this.#waiting.length > 0; free--)
      this.#waiting.shift()?.();
  }

  #learn({ overloaded, latencyMs }: RequestOutcome, cuts: number): void {
    if (overloaded) {
      this.#starting = false;
      // Complaints of requests that ran at the same time count once.
      if (cuts === this.#cuts) {
        this.#limit = Math.max(1, this.#limit / 2);
        this.#cuts++;
      }
      this.#calm = 0;
      return;
    }
    if (latencyMs !== undefined) {
      this.#best = Math.min(this.#best, Math.max(latencyMs, 1));
      this.#smoothed =
        this.#smoothed === 0 ? latencyMs : this.#smoothed + SMOOTHING * (latencyMs - this.#smoothed);
    }
    if (this.#smoothed > Math.max(SLOW * this.#best, PROMPT_MS) && this.#limit > 4) {
      this.#starting = false;
      return;
    }
    if (++this.#calm < (this.#starting ? 1 : this.current)) return;
    this.#calm = 0;
    this.#limit = Math.min(this.#max, this.#limit + 1);
  }
}
