import type { Event } from "../events.ts";
import { formatBytes, formatDuration } from "../format.ts";

/** Time over which the rate is measured. Milliseconds. */
const WINDOW = 5000;
/** An item that takes longer than this is named. Milliseconds. */
const SLOW = 15_000;

interface Moving {
  since: number;
  bytes: number;
}

/** Adds up progress events: how much is done, how fast, how long is left, and what is slow. */
export class Meter {
  #total = 0;
  #done = 0;
  #samples: { at: number; done: number }[] = [];
  readonly #moving = new Map<string, Moving>();

  get active(): boolean {
    return this.#total > 0;
  }

  take(event: Event, now: number): void {
    if (event.type === "plan") this.#plan(event.bytes, now);
    else if (event.type === "progress") this.#progress(event.item, event.bytes, now);
    else if (event.type === "item" && event.state !== "started") {
      if (event.state === "present" || event.state === "mounted")
        this.#progress(event.item, event.bytes ?? 0, now);
      this.#moving.delete(event.item);
    } else if (event.type === "phase") this.#plan(0, now);
  }

  /** One line without control characters, at most `width` wide. */
  line(now: number, width: number): string {
    const rate = this.#rate(now);
    const left = rate > 0 ? ((this.#total - this.#done) / rate) * 1000 : undefined;
    const percent = Math.min(100, Math.floor((this.#done / Math.max(1, this.#total)) * 100));
    const parts = [
      `${percent} %  ${formatBytes(this.#done)} of ${formatBytes(this.#total)}`,
      `${formatBytes(Math.round(rate))}/s`,
    ];
    if (left !== undefined && this.#done < this.#total) parts.push(`${formatDuration(left)} left`);
    const slow = this.#slowest(now);
    if (slow) parts.push(`slow: ${slow}`);
    return parts.join("  ").slice(0, Math.max(20, width - 1));
  }

  #plan(bytes: number, now: number): void {
    this.#total = bytes;
    this.#done = 0;
    this.#samples = [{ at: now, done: 0 }];
    this.#moving.clear();
  }

  #progress(item: string, bytes: number, now: number): void {
    // A blob that had to be sent twice is no progress the second time.
    this.#done = this.#total > 0 ? Math.min(this.#done + bytes, this.#total) : this.#done + bytes;
    const moving = this.#moving.get(item) ?? { since: now, bytes: 0 };
    moving.bytes += bytes;
    this.#moving.set(item, moving);
    const last = this.#samples.at(-1);
    if (last === undefined || now - last.at >= 200) this.#samples.push({ at: now, done: this.#done });
    while (this.#samples.length > 2 && now - (this.#samples[0]?.at ?? now) > WINDOW) this.#samples.shift();
  }

  #rate(now: number): number {
    const first = this.#samples[0];
    return first && now > first.at ? Math.max(0, ((this.#done - first.done) / (now - first.at)) * 1000) : 0;
  }

  #slowest(now: number): string | undefined {
    let slowest: [string, Moving] | undefined;
    for (const entry of this.#moving)
      if (now - entry[1].since > SLOW && (slowest === undefined || entry[1].since < slowest[1].since))
        slowest = entry;
    if (slowest === undefined) return undefined;
    const [item, { since, bytes }] = slowest;
    return `${item.slice(0, 26)} (${formatDuration(now - since)}, ${formatBytes(bytes)})`;
  }
}
