import type { Event } from "../events.ts";
import { count, formatDuration } from "../format.ts";

/** A run over more hosts than this is told by counts, with no line for each host and step. */
export const FEW = 20;
/** A host that is longer than this at one stage is named. Milliseconds. */
const SLOW = 15_000;
/** Rows that name stages. */
const STAGES_SHOWN = 5;
/** Failures of one step that are told as they happen; the error at the end names all. */
const FAILURES_TOLD = 5;

interface AtWork {
  since: number;
  /** `packages/install` */
  step: string;
  lost: boolean;
}

interface Chapter {
  hosts: number;
  done: number;
  failed: Set<string>;
  atWork: Map<string, AtWork>;
  before: boolean;
  since: number;
}

/** What a run over many hosts is at: how many are through each stage, which are slow, lost or failed. */
export class Board {
  readonly #chapters = new Map<string, Chapter>();
  readonly #failures = new Map<string, number>();
  #large = false;

  /** Whether the run is over so many hosts that a line for each would hide what matters. */
  get large(): boolean {
    return this.#large;
  }

  /** Whether some stage is under way on many hosts. */
  get active(): boolean {
    return this.#large && this.#chapters.size > 0;
  }

  take(event: Event, now: number): void {
    if (event.type === "stage") this.#stage(event, now);
    else if (event.type === "host") this.#host(event, now);
    else if (event.type === "step") {
      const stage = event.step.split("/")[0] ?? "";
      const working = this.#chapters.get(stage)?.atWork.get(event.host);
      if (working) working.step = event.step;
    }
  }

  /**
   * What a person needs to read of an event of a large run, once.
   * @returns the event itself; a note in its place; undefined for what the counts say
   */
  worthTelling(event: Event): Event | undefined {
    if (!this.#large) return event;
    if (event.type === "stage" || event.type === "host") return undefined;
    if (event.type === "retry") return event.attempt === 1 ? event : undefined;
    if (event.type !== "step") return event;
    if (event.state !== "failed") return undefined;
    const told = (this.#failures.get(event.step) ?? 0) + 1;
    this.#failures.set(event.step, told);
    if (told < FAILURES_TOLD) return event;
    if (told > FAILURES_TOLD) return undefined;
    return {
      type: "note",
      message: `${event.host}: ${event.step}: failed; more hosts that fail here are counted, and named at the end`,
    };
  }

  /** `packages: 1000 hosts in 3 min 2 s`, for a stage that has ended. */
  ended(event: Event): string | undefined {
    if (!this.#large || event.type !== "stage" || event.state !== "done") return undefined;
    const failed = this.#chapters.get(event.name)?.failed.size ?? 0;
    const took = event.ms === undefined ? "" : ` in ${formatDuration(event.ms)}`;
    return `${event.name}: ${count(event.hosts, "host")}${took}${failed > 0 ? `, ${failed} failed` : ""}`;
  }

  /** Removes a stage that has ended; called after `ended`. */
  forget(event: Event): void {
    if (event.type === "stage" && event.state === "done") this.#chapters.delete(event.name);
  }

  /** What is under way is over, however it ended. */
  clear(): void {
    this.#chapters.clear();
  }

  /** At most `height` rows, each narrower than `width`; stages that are under way first. */
  rows(now: number, width: number, height: number): string[] {
    const stages = this.#stages();
    const slow = this.#slow(now);
    const room = Math.max(1, Math.min(STAGES_SHOWN, height - (slow.length > 0 ? 1 : 0)));
    const shown = stages.length > room ? stages.slice(0, Math.max(1, room - 1)) : stages;
    const rows = shown.map(([name, chapter]) => stageRow(name, chapter, width));
    if (shown.length < stages.length)
      rows.push(cut(`and ${count(stages.length - shown.length, "stage")} more`, width));
    if (slow.length > 0) rows.push(listed("longest: ", slow, width));
    return rows.slice(0, Math.max(1, height));
  }

  /** The same in one line without a width, for logs. */
  line(now: number): string {
    const stages = this.#stages().map(([name, chapter]) => `${name}: ${inWords(chapter)}`);
    const slow = this.#slow(now).slice(0, 3);
    return [...stages, ...(slow.length > 0 ? [`longest: ${slow.join(", ")}`] : [])].join("; ");
  }

  /** What a log needs of the counts to tell whether they have changed. */
  get gist(): string {
    return this.#stages()
      .map(([name, { done, failed, atWork }]) =>
        [name, done, failed.size, [...atWork.values()].filter(({ lost }) => lost).length].join(),
      )
      .join(";");
  }

  /** Stages in which a host failed come first, then those that were begun first. */
  #stages(): [string, Chapter][] {
    return [...this.#chapters].toSorted(
      ([, a], [, b]) => Math.sign(b.failed.size) - Math.sign(a.failed.size),
    );
  }

  /** Hosts that are long at one thing, the longest first. */
  #slow(now: number): string[] {
    return [...this.#chapters.values()]
      .flatMap(({ atWork }) => [...atWork])
      .filter(([, { since, lost }]) => lost || now - since > SLOW)
      .toSorted(([, a], [, b]) => a.since - b.since)
      .map(
        ([host, { since, step, lost }]) => `${host} ${lost ? "lost" : step} ${formatDuration(now - since)}`,
      );
  }

  #stage(event: Extract<Event, { type: "stage" }>, now: number): void {
    if (event.state === "done") return;
    if (event.hosts > FEW) this.#large = true;
    const { hosts, done, before = false } = event;
    const [failed, atWork] = [new Set<string>(), new Map<string, AtWork>()];
    this.#chapters.set(event.name, { hosts, done, failed, atWork, before, since: now });
  }

  #host({ host, stage, state }: Extract<Event, { type: "host" }>, now: number): void {
    const chapter = this.#chapters.get(stage);
    if (chapter === undefined) return;
    if (state === "started" || state === "lost") {
      chapter.atWork.set(host, { since: now, step: stage, lost: state === "lost" });
      return;
    }
    chapter.atWork.delete(host);
    if (state === "done") chapter.done++;
    else chapter.failed.add(host);
  }
}

const inWords = ({ hosts, done, atWork, failed }: Chapter): string => {
  const lost = [...atWork.values()].filter((each) => each.lost).length;
  return [
    `${done} of ${hosts} done`,
    ...(atWork.size > lost ? [`${atWork.size - lost} at work`] : []),
    ...(lost > 0 ? [`${lost} lost`] : []),
    ...(failed.size > 0 ? [`${failed.size} failed`] : []),
  ].join(", ");
};

/** The longest of the forms that fits. */
function stageRow(name: string, chapter: Chapter, width: number): string {
  const { hosts, done, atWork, failed } = chapter;
  const forms = [
    `${name}: ${inWords(chapter)}`,
    `${name}: ${done}/${hosts} done${failed.size > 0 ? `, ${failed.size} failed` : ""}`,
    `${name} ${done}/${hosts}${atWork.size > 0 ? ` +${atWork.size}` : ""}${failed.size > 0 ? ` !${failed.size}` : ""}`,
  ];
  return cut(forms.find(({ length }) => length < width) ?? (forms.at(-1) as string), width);
}

/** As many names as fit, and how many there are besides; the first one in any case. */
function listed(head: string, names: readonly string[], width: number): string {
  const after = (shown: number): string => (shown < names.length ? ` and ${names.length - shown} more` : "");
  let row = head + (names[0] ?? "");
  let shown = 1;
  for (const name of names.slice(1)) {
    if (`${row}, ${name}${after(shown + 1)}`.length >= width) break;
    row += `, ${name}`;
    shown++;
  }
  return cut(row + after(shown), width);
}

const cut = (text: string, width: number): string => text.slice(0, Math.max(1, width - 1));
