import { setTimeout as sleep } from "node:timers/promises";
import { type AirgapError, isAirgapError, messageOf } from "../errors.ts";
import type { Emit, Event } from "../events.ts";
import { BusyTime } from "./busy.ts";
import { checkHost, HOSTS_AT_ONCE, quietly, type RunContext, runSteps } from "./execute.ts";
import { type Failure, failedRun } from "./failure.ts";
import { Flow } from "./flow.ts";
import type { Unit } from "./pending.ts";
import type { StepReport } from "./protocol.ts";
import { fullId, type PlacedStep, type Plan, placed, stepsByHost } from "./stage.ts";
import { type Counted, counted, StageTally } from "./tally.ts";
import { sendUpload } from "./upload.ts";

/** How long a lost host is waited for. */
const PATIENCE_MS = 180_000;

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
  /** Time in which at least one host had a command running: the slowest host's checks, and then the steps. Milliseconds. */
  commandsMs: number;
  totalMs: number;
}

/**
 * Applies a plan, hosts side by side; each goes on as soon as what its next stage needs is there. A host stops at a
 * failed step or when it is lost for good; the others go on with everything that does not need it.
 * @throws AirgapError `step-failed`, `interrupted`, `network`
 */
export async function runPlan(plan: Plan, context: RunContext): Promise<RunResult> {
  const started = performance.now();
  const runner = new Runner(plan, context);
  await runner.run();
  return { ...runner.result(), totalMs: performance.now() - started };
}

class Runner {
  readonly #steps: Map<string, PlacedStep[]>;
  /** What each host said of its steps when it was asked, before its first work. */
  readonly #known = new Map<string, Map<string, StepReport>>();
  readonly #context: RunContext;
  readonly #emit: Emit;
  readonly #flow: Flow;
  readonly #tally: StageTally;
  readonly #checks: Counted;
  readonly #busy = new BusyTime();
  /** Hosts that were changed since their last check. */
  readonly #dirty = new Set<string>();
  readonly #outcomes = new Map<string, Outcome>();
  readonly #failures: Failure[] = [];
  /** When a lost host is given up, by the work that it is at. */
  readonly #deadlines = new Map<Unit, number>();
  readonly #ended = Promise.withResolvers<void>();
  #working = 0;
  /** Hosts that are waited for: they take no place of those that are there. */
  #lost = 0;
  #changed = 0;
  /** Of the host whose checks took longest. */
  #checksMs = 0;

  constructor(plan: Plan, context: RunContext) {
    this.#steps = stepsByHost(plan);
    this.#flow = new Flow(plan, context.strict ?? false);
    this.#tally = new StageTally(plan, context.emit);
    this.#checks = counted("checks", this.#steps.size, context.emit);
    this.#emit = context.emit;
    this.#context = { ...context, emit: (event) => this.#timed(event) };
  }

  /** @throws AirgapError `step-failed`, `interrupted`, `network` */
  async run(): Promise<void> {
    this.#fill();
    await this.#ended.promise;
    this.#context.signal?.throwIfAborted();
    if (this.#failures.length === 0) return;
    const places = new Map([...this.#steps.keys()].map((host, i) => [host, i]));
    const inOrder = (a: { host: string }, b: { host: string }): number =>
      (places.get(a.host) ?? 0) - (places.get(b.host) ?? 0);
    const held = this.#flow.held.toSorted(inOrder);
    throw failedRun(this.#failures.toSorted(inOrder), held, this.#context);
  }

  result(): Omit<RunResult, "totalMs"> {
    return {
      outcomes: [...this.#steps].flatMap(([host, steps]) =>
        steps.flatMap((each) => this.#outcomes.get(`${host} ${fullId(each)}`) ?? []),
      ),
      changed: this.#changed,
      commandsMs: this.#checksMs + this.#busy.ms,
    };
  }

  #timed(event: Event): void {
    if (event.type === "step" && event.state === "checking") this.#busy.begin(event.host);
    else if (event.type === "step" && event.state !== "applying") this.#busy.end(event.host);
    this.#emit(event);
  }

  /** Begins as much as may be under way at a time. */
  #fill(): void {
    const { parallel = HOSTS_AT_ONCE, signal } = this.#context;
    while (this.#working < parallel && !signal?.aborted) {
      const unit = this.#flow.take();
      if (unit === undefined) break;
      if (this.#known.has(unit.host) && !this.#needed(unit)) this.#pass(unit);
      else this.#begin(unit);
    }
    if (this.#working === 0 && (this.#lost === 0 || signal?.aborted)) this.#ended.resolve();
  }

  #begin(unit: Unit): void {
    this.#working++;
    this.#work(unit)
      .catch((error: unknown) => this.#ended.reject(error))
      .finally(() => {
        this.#working--;
        this.#fill();
      });
  }

  #pass(unit: Unit): void {
    this.#tally.pass(unit);
    this.#flow.finish(unit);
  }

  #fail(unit: Unit, failure: Failure): void {
    this.#tally.fail(unit);
    this.#failures.push(failure);
  }

  /** Skips a host whose steps are all done and that was not changed since its last check. */
  #needed({ host, stage: { name, wholeCluster }, steps }: Unit): boolean {
    if (this.#dirty.has(host) || (this.#dirty.size > 0 && wholeCluster)) return true;
    const known = this.#known.get(host);
    return placed(name, steps).some((each) => known?.get(fullId(each))?.state !== "already");
  }

  async #work(unit: Unit): Promise<void> {
    const { log, signal } = this.#context;
    const { host, stage, steps } = unit;
    try {
      if (!this.#known.has(host)) await this.#check(host);
      if (!this.#needed(unit)) return this.#pass(unit);
      if (this.#tally.begin(unit)) log.line(`stage ${stage.name}`);
      const failure = await this.#once(host, placed(stage.name, steps));
      if (failure) this.#fail(unit, failure);
      else this.#pass(unit);
    } catch (error) {
      if (signal?.aborted) return;
      if (isAirgapError(error, "network")) this.#lose(unit, error);
      else if (isAirgapError(error, "step-failed")) this.#fail(unit, failed(unit, error));
      else throw error;
    } finally {
      this.#busy.end(host);
    }
  }

  /** Asks a host which of its steps are done already, all at once. */
  async #check(host: string): Promise<void> {
    const steps = this.#steps.get(host) ?? [];
    const reports = await checkHost(host, steps, this.#context, this.#checks);
    this.#known.set(host, reports);
    for (const each of steps) this.#note(host, each, reports.get(fullId(each)));
    const took = [...reports.values()].reduce((sum, { ms }) => sum + ms, 0);
    this.#checksMs = Math.max(this.#checksMs, took);
  }

  /** Waits for a lost host, and then asks it again what is done: nothing is assumed. */
  #lose(unit: Unit, error: AirgapError): void {
    const deadline = this.#deadlines.get(unit) ?? Date.now() + (this.#context.patienceMs ?? PATIENCE_MS);
    this.#deadlines.set(unit, deadline);
    this.#lost++;
    this.#tally.lost(unit);
    this.#reconnect(unit.host, deadline, error)
      .then((gone) => {
        if (gone === undefined) this.#flow.again(unit);
        else this.#fail(unit, failed(unit, gone));
      })
      .catch((cause: unknown) => {
        if (!this.#context.signal?.aborted) this.#ended.reject(cause);
      })
      .finally(() => {
        this.#lost--;
        this.#fill();
      });
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

  async #once(host: string, steps: PlacedStep[]): Promise<Failure | undefined> {
    for (const piece of pieces(steps)) {
      const stopped = (await this.#sendFirst(host, piece)) ?? (await this.#apply(host, piece));
      if (stopped) return stopped;
    }
    return undefined;
  }

  /** Sends the file that the first step of a piece needs, unless the host has it. */
  async #sendFirst(host: string, [first]: PlacedStep[]): Promise<Failure | undefined> {
    if (!first?.step.upload) return undefined;
    const { protocol } = await runSteps(quietly(this.#context), host, [first], "check");
    if (protocol.reports[0]?.state === "already") return undefined;
    return sendUpload(this.#context, host, first, first.step.upload);
  }

  async #apply(host: string, steps: PlacedStep[]): Promise<Failure | undefined> {
    const { protocol, code, stderr } = await runSteps(this.#context, host, steps, "apply");
    const stage = steps[0]?.stage ?? "";
    const byId = (id: string | undefined): PlacedStep | undefined =>
      steps.find((each) => fullId(each) === id);
    for (const report of protocol.reports) {
      const step = byId(report.id);
      if (report.state !== "already") this.#dirty.add(host);
      if (report.state === "done") this.#changed++;
      if (step) this.#note(host, step, report);
      if (report.state === "failed") return { host, stage, step, output: report.output };
    }
    if (protocol.reports.length === steps.length) return undefined;
    const output = [protocol.currentOutput, protocol.outside, stderr].join("\n");
    return { host, stage, step: byId(protocol.current), output, error: `ended with ${code}` };
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

const failed = ({ host, stage }: Unit, error: unknown): Failure => ({
  host,
  stage: stage.name,
  step: undefined,
  output: "",
  error,
});

/** Splits steps into pieces; each piece begins with the step that needs a file, if any. */
function pieces(steps: PlacedStep[]): PlacedStep[][] {
  const found: PlacedStep[][] = [];
  for (const each of steps) {
    if (found.length === 0 || each.step.upload) found.push([each]);
    else found.at(-1)?.push(each);
  }
  return found;
}
