import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { AirgapError } from "../../../src/errors.ts";
import { factsScript } from "../../../src/host/facts.ts";
import type { Host, Output, RunOptions } from "../../../src/host/host.ts";
import { MARK } from "../../../src/plan/protocol.ts";
import { withLibrary } from "../../../src/plan/script.ts";
import { type Plan, stepsOn } from "../../../src/plan/stage.ts";

/** A script of steps that a host was sent, as far as it got. */
export interface Sent {
  mode: "check" | "apply" | "undo";
  /** What it was to do, in order. */
  steps: string[];
  /** Steps whose apply ran. */
  applied: string[];
  script: string;
}

const LIBRARY = withLibrary("").trimEnd();

type Answer = Output | string | ((script: string) => Output | string);

/**
 * A host that is played. Steps are known by their names: one that is not so yet becomes so when it
 * is applied. Everything that it was not told about fails.
 */
export class RecordingHost implements Host {
  readonly name: string;
  readonly sent: Sent[] = [];
  /** Other commands, in the order in which they came, without the functions of the library. */
  readonly commands: string[] = [];
  /** What `pipe` was given, by its command. */
  readonly piped: { command: string; bytes: number }[] = [];
  /** Steps that are so. */
  readonly so = new Set<string>();
  /** What applying a step prints before it fails; once for each entry. */
  readonly failing = new Map<string, string[]>();
  /** The connection breaks in this step: before it is made, or after. Once for each entry. */
  readonly breaking = new Map<string, ("before" | "after")[]>();
  /** What a step prints when it is checked and not so, and when its file is shown. */
  readonly says = new Map<string, { check?: string; show?: string; apply?: string }>();
  /** What it remembers to take back, the last first; with an output it fails, once. */
  remembers: { step: string; output?: string }[] = [];
  /** Of `uname` and the like: what facts.sh prints here. */
  facts: string | undefined;
  closed = false;
  onStep: (step: string, word: "begin" | "end") => void | Promise<void> = () => {};
  readonly #known = new Set<string>();
  readonly #answers: [RegExp, Answer][] = [];

  constructor(name: string, known: Iterable<string> = []) {
    this.name = name;
    for (const step of known) this.#known.add(step);
  }

  /** A bare host that knows the steps that a plan has for it. */
  static of(plan: Plan, name: string): RecordingHost {
    const host = new RecordingHost(name);
    host.knows(plan);
    return host;
  }

  knows(plan: Plan): void {
    for (const { stage, step } of stepsOn(plan, this.name)) this.#known.add(`${stage}/${step.id}`);
  }

  /** What commands that are no steps print. */
  answers(pattern: RegExp, answer: Answer): this {
    this.#answers.push([pattern, answer]);
    return this;
  }

  /** Steps that were applied, in order. */
  get applied(): string[] {
    return this.sent.flatMap(({ applied }) => applied);
  }

  async run(script: string, { onStdout, signal }: RunOptions = {}): Promise<Output> {
    signal?.throwIfAborted();
    if (this.closed) throw new AirgapError("network", `${this.name}: the connection is closed`);
    if (script === factsScript() && this.facts !== undefined)
      return { code: 0, stdout: this.facts, stderr: "" };
    const mode = /^airgap_mode=(check|apply)$/m.exec(script)?.[1] as "check" | "apply" | undefined;
    if (/^undo_all(?: packages)?$/m.test(script)) return this.#undo(script, onStdout ?? (() => {}));
    return mode === undefined || !script.includes("\nairgap_begin\n")
      ? this.#answer(script)
      : this.#steps(script, mode, onStdout ?? (() => {}));
  }

  async pipe(command: string, input: Readable): Promise<Output> {
    this.piped.push({ command, bytes: (await text(input)).length });
    return { code: 0, stdout: "", stderr: "" };
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  #answer(whole: string): Output {
    // The functions are the same in each: what counts is what is called.
    const script = whole.startsWith(LIBRARY) ? whole.slice(LIBRARY.length).trim() : whole;
    this.commands.push(script);
    const [, answer] = this.#answers.find(([pattern]) => pattern.test(script)) ?? [];
    if (answer === undefined) throw new Error(`${this.name} was not told what to answer to:\n${script}`);
    const given = typeof answer === "function" ? answer(script) : answer;
    return typeof given === "string" ? { code: 0, stdout: given, stderr: "" } : given;
  }

  /** As `undo_all` of steps.sh: one that fails does not keep the others, and is remembered. */
  #undo(script: string, print: (text: string) => void): Output {
    const sent: Sent = { mode: "undo", steps: this.remembers.map(({ step }) => step), applied: [], script };
    this.sent.push(sent);
    const left: typeof this.remembers = [];
    for (const { step, output } of this.remembers) {
      const state = output === undefined ? "done" : "failed";
      print(
        `\n${MARK} begin ${step}\n\n${MARK} applying ${step}\n${output ?? ""}\n${MARK} end ${step} ${state}\n`,
      );
      if (output === undefined) sent.applied.push(step);
      else left.push({ step });
    }
    this.remembers = left;
    return { code: left.length > 0 ? 1 : 0, stdout: "", stderr: "" };
  }

  async #steps(script: string, mode: "check" | "apply", print: (text: string) => void): Promise<Output> {
    const steps = [...script.matchAll(/^run ('?)([^ ']+)\1 /gm)].map((match) => match[2] as string);
    const sent: Sent = { mode, steps, applied: [], script };
    this.sent.push(sent);
    let stdout = "";
    const say = (line: string): void => {
      stdout += line;
      print(line);
    };
    const mark = (words: string): void => say(`\n${MARK} ${words}\n`);
    for (const step of steps) {
      if (!this.#known.has(step)) throw new Error(`${this.name} does not know the step ${step}`);
      mark(`begin ${step}`);
      await this.onStep(step, "begin");
      const state = mode === "check" ? this.#check(step, mark, say) : this.#apply(step, sent, mark, say);
      mark(`end ${step} ${state}`);
      await this.onStep(step, "end");
      if (state === "failed") return { code: 1, stdout, stderr: "" };
    }
    return { code: 0, stdout, stderr: "" };
  }

  #check(step: string, mark: (words: string) => void, say: (text: string) => void): string {
    if (this.so.has(step)) return "already";
    const { check, show } = this.says.get(step) ?? {};
    if (check) say(check);
    mark(`show ${step}`);
    if (show) say(show);
    return "would-change";
  }

  #apply(step: string, sent: Sent, mark: (words: string) => void, say: (text: string) => void): string {
    if (this.so.has(step)) return "already";
    const broken = this.breaking.get(step)?.shift();
    if (broken === "before") throw new AirgapError("network", `${this.name}: the connection broke`);
    mark(`applying ${step}`);
    const output = this.failing.get(step)?.shift();
    if (output !== undefined) {
      say(output);
      return "failed";
    }
    const said = this.says.get(step)?.apply;
    if (said) say(said);
    sent.applied.push(step);
    this.so.add(step);
    if (broken === "after") throw new AirgapError("network", `${this.name}: the connection broke`);
    return "done";
  }
}
