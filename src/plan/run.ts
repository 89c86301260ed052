import { setTimeout as sleep } from "node:timers/promises";
import pLimit, { type LimitFunction } from "p-limit";
import { type AirgapError, isAirgapError, messageOf } from "../errors.ts";
import { checkAll, HOSTS_AT_ONCE, quietly, type RunContext, runSteps } from "./execute.ts";
import { type Failure, failedStage } from "./failure.ts";
import type { StepReport } from "./protocol.ts";
import {
  fullId,
  type PlacedStep,
  type Plan,
  type PlannedStage,
  placed,
  stepsByHost,
  type Wave,
  type Work,
} from "./stage.ts";
import { sendUpload } from "./upload.ts";

/** A step of a plan and its state. */
export interface Outcome {
  host: string;
  stage: string;
  step: string;
  title: string;
  state: StepReport["state"] | "skipped";
  ms: number;
}

export interface RunResult {
  outcomes: Outcome[];
  /** Steps that changed something. */
  changed: number;
  /** Time of the hosts' commands: the slowest host of each wave. Milliseconds. */
  commandsMs: number;
  totalMs: number;
}

/**
 * Applies a plan: stage after stage, hosts side by side. A host stops at a failed step; the other
 * hosts finish their stage.
 * @throws AirgapError `step-failed`, `interrupted`, `network`
 */
export async function runPlan(plan: Plan, hosts: string[], context: RunContext): Promise<RunResult> {
  const started = performance.now();
  const known = await checkAll(plan, hosts, context);
  const runner = new Runner(plan, known, context);
  for (const stage of plan.stages) await runner.stage(stage);
  return { ...runner.result(), totalMs: performance.now() - started };
}

class Runner {
  readonly #known: Map<string, Map<string, StepReport>>;
  readonly #context: RunContext;
  /** Hosts that were changed since their last check. */
  readonly #dirty = new Set<string>();
  readonly #outcomes = new Map<string, Outcome>();
  readonly #limit: LimitFunction;
  #changed = 0;
  #commandsMs: number;

  constructor(plan: Plan, known: Map<string, Map<string, StepReport>>, context: RunContext) {
    this.#known = known;
    this.#context = context;
    this.#limit = pLimit(context.parallel ?? HOSTS_AT_ONCE);
    const sums = [...known.values()].map((reports) =>
      [...reports.values()].reduce((sum, { ms }) => sum + ms, 0),
    );
    this.#commandsMs = Math.max(0, ...sums);
    for (const [host, steps] of stepsByHost(plan))
      for (const each of known.has(host) ? steps : [])
        this.#note(host, each, known.get(host)?.get(fullId(each)));
  }

  result(): Omit<RunResult, "totalMs"> {
    return { outcomes: [...this.#outcomes.values()], changed: this.#changed, commandsMs: this.#commandsMs };
  }

  async stage(stage: PlannedStage): Promise<void> {
    const waves = stage.waves.map((wave) => wave.filter((work) => this.#needed(stage, work)));
    if (waves.every((wave) => wave.length === 0)) return;
    this.#context.emit({ type: "phase", name: stage.name });
    this.#context.log.line(`stage ${stage.name}`);
    for (const wave of stage.waves) await this.#wave(stage, wave);
  }

  /** Skips a host whose steps are all done and that was not changed since its last check. */
  #needed({ name, wholeCluster }: PlannedStage, { host, steps }: Work): boolean {
    if (this.#dirty.has(host) || (this.#dirty.size > 0 && wholeCluster)) return true;
    const known = this.#known.get(host);
    return placed(name, steps).some((each) => known?.get(fullId(each))?.state !== "already");
  }

  async #wave(stage: PlannedStage, wave: Wave): Promise<void> {
    const working = wave.filter((work) => this.#needed(stage, work));
    const spent = new Map(working.map(({ host }) => [host, 0]));
    const failures = await Promise.all(
      working.map(({ host, steps }) => {
        const add = (ms: number): void => void spent.set(host, (spent.get(host) ?? 0) + ms);
        return this.#limit(() => this.#host(host, placed(stage.name, steps), add));
      }),
    );
    this.#commandsMs += Math.max(0, ...spent.values());
    this.#context.signal?.throwIfAborted();
    if (failures.flat().length > 0) throw failedStage(stage.name, failures.flat(), this.#context);
  }

  /** Works on one host. When the connection breaks, it asks the host again what is done, and assumes nothing. */
  async #host(host: string, steps: PlacedStep[], add: (ms: number) => void): Promise<Failure[]> {
    const deadline = Date.now() + (this.#context.patienceMs ?? 180_000);
    for (;;) {
      try {
        return await this.#once(host, steps, add);
      } catch (error) {
        this.#context.signal?.throwIfAborted();
        if (!isAirgapError(error, "network")) throw error;
        const gone = await this.#reconnect(host, deadline, error);
        if (gone) return [{ host, step: undefined, output: "", error: gone }];
      }
    }
  }

  async #reconnect(host: string, deadline: number, lost: AirgapError): Promise<unknown> {
    const { connections, emit, log, signal } = this.#context;
    log.line(`${host} ${messageOf(lost)}`);
    for (let attempt = 1; ; attempt++) {
      const waitMs = Math.min(1000 * attempt, 10_000);
      if (Date.now() + waitMs > deadline) return lost;
      emit({ type: "retry", what: host, reason: messageOf(lost), attempt, waitMs });
      await sleep(waitMs, undefined, signal ? { signal } : {});
      try {
        await connections.again(host);
        return undefined;
      } catch (error) {
        if (!isAirgapError(error, "network")) return error;
      }
    }
  }

  async #once(host: string, steps: PlacedStep[], add: (ms: number) => void): Promise<Failure[]> {
    for (const piece of pieces(steps)) {
      const stopped = (await this.#sendFirst(host, piece)) ?? (await this.#apply(host, piece, add));
      if (stopped) return [stopped];
    }
    return [];
  }

  /** Sends the file that the first step of a piece needs, unless the host has it. */
  async #sendFirst(host: string, [first]: PlacedStep[]): Promise<Failure | undefined> {
    if (!first?.step.upload) return undefined;
    const { protocol } = await runSteps(quietly(this.#context), host, [first], "check");
    if (protocol.reports[0]?.state === "already") return undefined;
    return sendUpload(this.#context, host, first, first.step.upload);
  }

  async #apply(host: string, steps: PlacedStep[], add: (ms: number) => void): Promise<Failure | undefined> {
    const { protocol, code, stderr } = await runSteps(this.#context, host, steps, "apply");
    const byId = (id: string | undefined): PlacedStep | undefined =>
      steps.find((each) => fullId(each) === id);
    for (const report of protocol.reports) {
      add(report.ms);
      const step = byId(report.id);
      if (report.state !== "already") this.#dirty.add(host);
      if (report.state === "done") this.#changed++;
      if (step) this.#note(host, step, report);
      if (report.state === "failed") return { host, step, output: report.output };
    }
    if (protocol.reports.length === steps.length) return undefined;
    const output = [protocol.currentOutput, protocol.outside, stderr].join("\n");
    return { host, step: byId(protocol.current), output, error: `ended with ${code}` };
  }

  #note(host: string, { stage, step }: PlacedStep, report: StepReport | undefined): void {
    this.#outcomes.set(`${host} ${stage}/${step.id}`, {
      host,
      stage,
      step: step.id,
      title: step.title,
      state: report?.state ?? "skipped",
      ms: report?.ms ?? 0,
    });
  }
}

/** Splits steps into pieces; each piece begins with the step that needs a file, if any. */
function pieces(steps: PlacedStep[]): PlacedStep[][] {
  const found: PlacedStep[][] = [];
  for (const each of steps) {
    if (found.length === 0 || each.step.upload) found.push([each]);
    else found.at(-1)?.push(each);
  }
  return found;
}
