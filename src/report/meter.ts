import type { Event } from "../events.ts";
import { formatBytes, formatDuration } from "../format.ts";

/** The time over which the rate is measured. Milliseconds. */
const WINDOW = 8000;
/** An item that takes longer than this is named. Milliseconds. */
const SLOW = 15_000;
/** Without a byte for this long, the work stalls. Milliseconds. */
const STALL = 4000;
/** A rate and a time left are told after this much of both. */
const LEAST_TIME = 1500;

interface Moving {
  since: number;
  bytes: number;
}

/** Progress as numbers, for programs. Milliseconds and bytes. */
export interface Progress {
  done: number;
  total: number;
  /** Bytes a second, of what really moved; 0 while it stalls. */
  rate: number;
  leftMs?: number;
  stalledMs?: number;
}

/** Adds up progress events: how much is done, how fast, how long is left, and what is slow. */
export class Meter {
  #total = 0;
  #done = 0;
  /** What came over the network or went there since the plan; what was there already is not in it. */
  #moved = 0;
  #began = 0;
  #lastMove = 0;
  #samples: { at: number; moved: number }[] = [];
  #names: ReadonlyMap<string, string> = new Map();
  readonly #moving = new Map<string, Moving>();

  get active(): boolean {
    return this.#total > 0;
  }

  get complete(): boolean {
    return this.#total > 0 && this.#done >= this.#total;
  }

  take(event: Event, now: number): void {
    if (event.type === "plan") this.#plan(event.bytes, now, event.names);
    else if (event.type === "progress") this.#progress(event.item, event.bytes, event.had === true, now);
    else if (event.type === "item" && event.state !== "started") {
      if (event.state === "present" || event.state === "mounted")
        this.#progress(event.item, event.bytes ?? 0, true, now);
      this.#moving.delete(event.item);
    } else if (event.type === "phase") this.#plan(0, now);
  }

  /** The name of an item for people: a digest says nothing. */
  nameOf(item: string): string {
    return this.#names.get(item) ?? item;
  }

  progress(now: number): Progress {
    const rate = this.#rate(now);
    const still = now - this.#lastMove;
    const left = this.#total - this.#done;
    return {
      done: this.#done,
      total: this.#total,
      rate: Math.round(rate),
      ...(rate > 0 && left > 0 ? { leftMs: Math.round((left / rate) * 1000) } : {}),
      ...(left > 0 && still >= STALL ? { stalledMs: still } : {}),
    };
  }

  /** One line without control characters, narrower than `width`: what does not fit is left out, the least important first. */
  line(now: number, width: number): string {
    const { done, total, rate, leftMs, stalledMs } = this.progress(now);
    const percent = Math.min(100, Math.floor((done / Math.max(1, total)) * 100));
    const head = `${percent} %`;
    if (this.complete) return fitted([head, formatBytes(total), "hashing, and writing to disk"], width);
    const amount = `${formatBytes(done)} of ${formatBytes(total)}`;
    if (stalledMs !== undefined) {
      const waiting = this.#slowest(now, STALL);
      return fitted(
        [head, `stalled for ${formatDuration(stalledMs)}`, amount, waiting && `waiting for ${waiting}`],
        width,
      );
    }
    const slow = this.#slowest(now, SLOW);
    return fitted(
      [
        head,
        rate > 0 ? `${formatBytes(rate)}/s` : undefined,
        leftMs === undefined ? undefined : `${formatDuration(leftMs)} left`,
        amount,
        slow && `slow: ${slow}`,
      ],
      width,
    );
  }

  /** What was moved, in which time: once, when all of it is done; undefined when nothing moved or it took no time. */
  summary(now: number): string | undefined {
    const took = this.#lastMove - this.#began;
    const moved = this.#moved;
    if (!this.complete) return undefined;
    this.#plan(0, now);
    if (moved <= 0 || took < LEAST_TIME) return undefined;
    return `${formatBytes(moved)} in ${formatDuration(took)}, ${formatBytes(Math.round((moved / took) * 1000))}/s`;
  }

  #plan(bytes: number, now: number, names: ReadonlyMap<string, string> = new Map()): void {
    this.#total = bytes;
    this.#done = 0;
    this.#moved = 0;
    this.#began = now;
    this.#lastMove = now;
    this.#names = names;
    this.#samples = [{ at: now, moved: 0 }];
    this.#moving.clear();
  }

  #progress(item: string, bytes: number, had: boolean, now: number): void {
    // A blob that had to be sent twice is no progress the second time.
    this.#done = this.#total > 0 ? Math.min(this.#done + bytes, this.#total) : this.#done + bytes;
    if (had) return;
    if (bytes > 0) {
      this.#moved += bytes;
      this.#lastMove = now;
    }
    const moving = this.#moving.get(item) ?? { since: now, bytes: 0 };
    moving.bytes += bytes;
    this.#moving.set(item, moving);
    this.#sample(now);
  }

  #sample(now: number): void {
    const last = this.#samples.at(-1);
    if (last === undefined || now - last.at >= 200) this.#samples.push({ at: now, moved: this.#moved });
    while (this.#samples.length > 2 && now - (this.#samples[1]?.at ?? now) > WINDOW) this.#samples.shift();
  }

  /** Bytes a second over the last seconds, those without a byte included. */
  #rate(now: number): number {
    this.#sample(now);
    const first = this.#samples[0];
    if (first === undefined || now - first.at < LEAST_TIME / 3) return 0;
    return Math.max(0, ((this.#moved - first.moved) / (now - first.at)) * 1000);
  }

  #slowest(now: number, longer: number): string | undefined {
    let slowest: [string, Moving] | undefined;
    for (const entry of this.#moving)
      if (now - entry[1].since > longer && (slowest === undefined || entry[1].since < slowest[1].since))
        slowest = entry;
    if (slowest === undefined) return undefined;
    const [item, { since, bytes }] = slowest;
    return `${this.nameOf(item)} (${formatDuration(now - since)}, ${formatBytes(bytes)})`;
  }
}

/** As many of the parts as fit, in their order; a part that is absent is left out. */
function fitted(parts: (string | undefined | false)[], width: number): string {
  let line = "";
  for (const part of parts) {
    if (!part) continue;
    const longer = line === "" ? part : `${line}  ${part}`;
    if (line !== "" && longer.length >= width) break;
    line = longer;
  }
  return line.slice(0, Math.max(1, width - 1));
}
