import { setTimeout as sleep } from "node:timers/promises";
import { type Emit, silent } from "./events.ts";

/** Tries in all, for requests that are safe to repeat. */
const TRIES = 5;
/** Tries in all when a host cannot be connected to: more time rarely helps, and other mirrors may follow. */
const TRIES_UNCONNECTED = 3;
const FIRST_WAIT_MS = 500;
/** A server that asks for a longer wait than this is not asked again. */
export const MAX_WAIT_MS = 60_000;
/** A transfer that made this much progress before it broke off gets a new count. Bytes. */
const PROGRESS = 64 * 1024;

const RETRY_STATUS = new Set([408, 429, 500, 502, 503, 504]);
const UNCONNECTED = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** `Retry-After` in milliseconds: seconds or a date. RFC 9110, 10.2.3. */
export function retryAfterMs(value: string | undefined, now = Date.now()): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Whether a status says that the same request may succeed later. */
export const isRetryable = (status: number): boolean => RETRY_STATUS.has(status);

/**
 * How long to wait before the next try: what the server asks for, or else a time that doubles from `firstMs`, with jitter.
 * @param attempt 1 after the first failure
 */
export function backoffMs(attempt: number, retryAfter?: string, firstMs = FIRST_WAIT_MS): number {
  const asked = retryAfterMs(retryAfter);
  return Math.min(asked ?? firstMs * 2 ** (attempt - 1) * (0.75 + Math.random() / 2), MAX_WAIT_MS);
}

/** The first code of Node, undici or TLS in an error's causes. */
function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (typeof code === "string") codes.push(code);
    if (cause instanceof AggregateError) codes.push(...cause.errors.flatMap(codesOf));
  }
  return codes;
}

/** Node's codes for a certificate that is not trusted. */
export const certificateProblem = (error: unknown): string | undefined =>
  codesOf(error).find((code) => /^(?:CERT_|ERR_TLS_CERT|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code));

/** Whether the other side spoke TLS, but with a certificate that is not trusted. */
export const isCertificateProblem = (error: unknown): boolean => certificateProblem(error) !== undefined;

const isUnconnected = (error: unknown): boolean => codesOf(error).some((code) => UNCONNECTED.has(code));

/** The failure of a try: an error of the connection, or an answer that says "not now". */
export interface Setback {
  reason: string;
  /** Set when no answer came. */
  error?: Error;
  retryAfter?: string | undefined;
}

export interface TriesOptions {
  /** Names the request in the `retry` event. Never a secret. */
  what: string;
  /** Tries after the first; 0 = none. */
  retries?: number | undefined;
  /** First wait; doubled each time. Milliseconds. */
  firstMs?: number | undefined;
  emit?: Emit | undefined;
  /** Each of them ends a wait: the caller's own signal, and the end of the run. */
  signals?: (AbortSignal | undefined)[];
}

/**
 * The only retry policy. All loops that fetch the same content share one count: requests that
 * are refused, and transfers that break off. A caller with several sources changes to the next one
 * when this policy says no.
 */
export class Tries {
  readonly #options: TriesOptions;
  #done = 0;

  constructor(options: TriesOptions) {
    this.#options = options;
  }

  /** Tries that failed so far. */
  get failed(): number {
    return this.#done;
  }

  /** Counts a failure. @returns how long to wait before the next try, in milliseconds; undefined when there is none */
  next({ error, retryAfter }: Setback): number | undefined {
    this.#done++;
    const { retries = TRIES - 1, firstMs } = this.#options;
    const allowed = isUnconnected(error) ? Math.min(retries, TRIES_UNCONNECTED - 1) : retries;
    if (this.#done > allowed || isCertificateProblem(error)) return undefined;
    if ((retryAfterMs(retryAfter) ?? 0) > MAX_WAIT_MS) return undefined;
    return backoffMs(this.#done, retryAfter, firstMs);
  }

  /** Reports the wait, and waits. @throws the reason of a signal that ends it */
  async wait(waitMs: number, { reason }: Setback): Promise<void> {
    const { what, emit = silent, signals = [] } = this.#options;
    const signal = AbortSignal.any(signals.filter((each) => each !== undefined));
    signal.throwIfAborted();
    emit({ type: "retry", what, reason, attempt: this.#done, waitMs });
    await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }

  /** Counts a failure and waits. @returns whether another try is worth it */
  async again(setback: Setback): Promise<boolean> {
    const waitMs = this.next(setback);
    if (waitMs === undefined) return false;
    await this.wait(waitMs, setback);
    return true;
  }

  /** Counts a transfer that broke off after so many bytes; if it made progress, it is resumed at once with a new count. */
  async resume(bytes: number, setback: Setback): Promise<boolean> {
    if (bytes < PROGRESS) return await this.again(setback);
    this.#done = 0;
    for (const signal of this.#options.signals ?? []) signal?.throwIfAborted();
    return true;
  }
}
