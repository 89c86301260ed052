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

/** Where the head of an answer takes this long, more requests at once are worth more than their order. Milliseconds. */
const FAR_MS = 10;

/**
 * How many requests a host gets at once: twice as many after each round that went well, until it
 * first complains or becomes slower than before; from then on one more each round, and half after a
 * complaint (slow start, additive increase, multiplicative decrease). A round of a host that is far
 * away is over when the heads of its answers are there: their content may take long. A pause stops
 * all new requests.
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

  /**
   * Runs `action` when it is its turn; what it says of the host is learned from.
   * @param action is told whom to tell how long the head of a good answer took, in milliseconds
   */
  async run<T>(
    action: (answers: (headMs: number) => void) => Promise<{ value: T; outcome: RequestOutcome }>,
    signal?: AbortSignal,
  ): Promise<T> {
    await this.#enter(signal);
    const cuts = this.#cuts;
    let counted = false;
    const answers = (headMs: number): void => {
      if (counted || !this.#starting || headMs < FAR_MS) return;
      counted = true;
      this.#grow();
      this.#wake();
    };
    try {
      const { value, outcome } = await action(answers);
      this.#learn(outcome, cuts, counted);
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

  #grow(): void {
    this.#calm = 0;
    this.#limit = Math.min(this.#max, this.#limit + 1);
  }

  /** @param counted whether the limit grew for this request already */
  #learn({ overloaded, latencyMs }: RequestOutcome, cuts: number, counted = false): void {
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
    if (!counted && ++this.#calm >= (this.#starting ? 1 : this.current)) this.#grow();
  }
}
