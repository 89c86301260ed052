import type { StepState } from "../events.ts";

/** What a script reported of one step. */
export interface StepReport {
  id: string;
  state: "already" | "would-change" | "done" | "failed";
  /** What the commands printed. */
  output: string;
  /** What `show` printed: the present content of a file. */
  shown: string;
  /** Time that the commands took. */
  ms: number;
}

/** Begins the marked lines of a script. */
export const MARK = "@@airgap";

const ENDS = ["already", "would-change", "done", "failed"] as const;
const MAX_KEPT = 4 * 1024 * 1024;

/**
 * Follows a script of steps by its marked lines, as they arrive. Everything between them is output of
 * the commands.
 */
export class StepProtocol {
  readonly reports: StepReport[] = [];
  /** Text outside of any step. */
  outside = "";
  readonly #mark: string;
  readonly #onState: (id: string, state: StepState, report?: StepReport) => void;
  readonly #onText: (text: string) => void;
  readonly #now: () => number;
  #pending = "";
  #current: { id: string; output: string; shown: string; showing: boolean; since: number } | undefined;

  constructor(
    mark: string,
    on: {
      state?: (id: string, state: StepState, report?: StepReport) => void;
      text?: (text: string) => void;
    } = {},
    now: () => number = () => performance.now(),
  ) {
    this.#mark = mark;
    this.#onState = on.state ?? (() => {});
    this.#onText = on.text ?? (() => {});
    this.#now = now;
  }

  /** The step that is running. */
  get current(): string | undefined {
    return this.#current?.id;
  }

  /** What the current step has printed so far. */
  get currentOutput(): string {
    return this.#current?.output ?? "";
  }

  push(text: string): void {
    const lines = (this.#pending + text).split("\n");
    this.#pending = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
  }

  end(): void {
    if (this.#pending !== "") this.#line(this.#pending);
    this.#pending = "";
  }

  #line(line: string): void {
    if (!line.startsWith(`${this.#mark} `)) {
      this.#text(`${line}\n`);
      return;
    }
    const [, word = "", id = "", state = ""] = line.split(" ");
    this.#trim();
    if (word === "begin") {
      this.#current = { id, output: "", shown: "", showing: false, since: this.#now() };
      this.#onState(id, "checking");
    } else if (word === "applying") this.#onState(id, "applying");
    else if (word === "show" && this.#current) this.#current.showing = true;
    else if (word === "end") this.#finish(id, state);
  }

  /** `airgap_say` prints a line feed before each marked line: drop it. */
  #trim(): void {
    if (!this.#current) return;
    const key = this.#current.showing ? "shown" : "output";
    this.#current[key] = this.#current[key].replace(/\n$/, "");
  }

  #finish(id: string, text: string): void {
    const state = ENDS.find((each) => each === text);
    const current = this.#current;
    if (state === undefined || current === undefined) return;
    const report: StepReport = {
      id,
      state,
      output: current.output,
      shown: current.shown,
      ms: this.#now() - current.since,
    };
    this.reports.push(report);
    this.#current = undefined;
    this.#onState(id, state, report);
  }

  #text(text: string): void {
    this.#onText(text);
    const current = this.#current;
    if (current === undefined) {
      if (this.outside.length < MAX_KEPT) this.outside += text;
    } else if (current.showing) {
      if (current.shown.length < MAX_KEPT) current.shown += text;
    } else if (current.output.length < MAX_KEPT) current.output += text;
  }
}
