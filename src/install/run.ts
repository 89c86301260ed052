import { createReadStream } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import type { Emit, StepState } from "../events.ts";
import type { Host } from "../host/host.ts";
import { Frames, type StepReport } from "./frames.ts";
import { hintsFor } from "./hints.ts";
import type { RunLog } from "./log.ts";
import type { Mask } from "./mask.ts";
import { fullId, type Mode, type PlacedStep, renderSteps } from "./script.ts";
import { sh } from "./sh.ts";
import { type Plan, type PlannedStage, type StageName, stepsOn, type Wave, type Work } from "./stage.ts";
import type { Upload } from "./step.ts";

/** How a plan reaches its hosts. */
export interface Connections {
  get(name: string): Host;
  /** A new connection in place of a broken one. */
  again(name: string): Promise<Host>;
}

export interface RunContext {
  connections: Connections;
  log: RunLog;
  mask: Mask;
  emit: Emit;
  /** Told of every step, for the journal. */
  record: (host: string, report: StepReport) => void;
  signal?: AbortSignal;
  /** How long a host that is gone is waited for. Default 3 minutes. */
  patienceMs?: number;
}

/** A step of a plan as it was found, or made. */
export interface Outcome {
  host: string;
  stage: StageName;
  step: string;
  title: string;
  state: StepReport["state"] | "skipped";
  ms: number;
}

export interface RunResult {
  outcomes: Outcome[];
  /** Steps that changed something. */
  changed: number;
  /** Of the hosts' commands: of each wave its slowest host. Milliseconds. */
  commandsMs: number;
  totalMs: number;
}

/** Begins the lines by which a script is followed. */
export const MARK = "@@airgap";
const STEP_MS = 600_000;
/** Stages that look at the whole cluster: a change anywhere is a reason for them to look again. */
const WHOLE: readonly StageName[] = ["verify"];

interface Failure {
  host: string;
  step: PlacedStep | undefined;
  output: string;
  error?: unknown;
}

/** Runs steps on a host and gives what became of each; those after a failed one are missing. */
async function runScript(
  context: RunContext,
  name: string,
  steps: PlacedStep[],
  mode: Mode,
): Promise<{ frames: Frames; code: number | null; stderr: string }> {
  const { connections, emit, log, record } = context;
  const titles = new Map(steps.map((placed) => [fullId(placed), placed.step.title]));
  const frames = new Frames(MARK, {
    state: (id, state, report) => {
      emit(stepEvent(name, id, state, titles.get(id) ?? "", report));
      if (report === undefined) return;
      record(name, report);
      if (mode === "check" && report.state === "already") return;
      log.line(`${name} ${id} ${report.state} ${Math.round(report.ms)} ms: ${titles.get(id) ?? ""}`);
      log.output(name, report.output);
    },
  });
  const timeoutMs = steps.reduce((sum, { step }) => sum + (step.timeoutMs ?? STEP_MS), 60_000);
  try {
    const { code, stderr } = await connections.get(name).run(renderSteps(steps, mode, MARK), {
      timeoutMs,
      onStdout: (text) => frames.push(text),
      ...(context.signal ? { signal: context.signal } : {}),
    });
    return { frames, code, stderr };
  } finally {
    frames.end();
  }
}

function stepEvent(
  host: string,
  id: string,
  state: StepState,
  title: string,
  report?: StepReport,
): Parameters<Emit>[0] {
  return { type: "step", host, step: id, state, detail: title, ...(report ? { ms: report.ms } : {}) };
}

/**
 * Asks every host what of its steps is so already: one round trip a host, nothing changed.
 * @returns by host, by step
 */
export async function survey(
  plan: Plan,
  hosts: string[],
  context: RunContext,
): Promise<Map<string, Map<string, StepReport>>> {
  const quiet = { ...context, emit: () => {}, record: () => {} };
  const found = await Promise.all(
    hosts.map(async (name) => {
      const steps = stepsOn(plan, name);
      if (steps.length === 0) return [name, new Map<string, StepReport>()] as const;
      const { frames, stderr } = await runScript(quiet, name, steps, "check");
      if (frames.reports.length < steps.length) throw broken(name, frames, stderr);
      return [name, new Map(frames.reports.map((report) => [report.id, report]))] as const;
    }),
  );
  return new Map(found);
}

function broken(name: string, frames: Frames, stderr: string): AirgapError {
  const said = [stderr.trim(), frames.currentOutput.trim(), frames.outside.trim()]
    .filter(Boolean)
    .join("; ")
    .slice(-500);
  return new AirgapError(
    "step-failed",
    `${name}: its script ended early${frames.current ? ` in ${frames.current}` : ""}${said ? `: ${said}` : ""}`,
  );
}

/**
 * Makes a plan so: stage after stage, hosts side by side. A host on which a step fails stops there,
 * the others finish their stage.
 * @throws AirgapError `step-failed`, `interrupted`, `network`
 */
export async function runPlan(plan: Plan, hosts: string[], context: RunContext): Promise<RunResult> {
  const started = performance.now();
  const known = await survey(plan, hosts, context);
  const runner = new Runner(plan, known, context);
  for (const stage of plan.stages) await runner.stage(stage);
  return { ...runner.result(), totalMs: performance.now() - started };
}

class Runner {
  readonly #known: Map<string, Map<string, StepReport>>;
  readonly #context: RunContext;
  readonly #dirty = new Set<string>();
  readonly #outcomes = new Map<string, Outcome>();
  #changed = 0;
  #commandsMs: number;

  constructor(plan: Plan, known: Map<string, Map<string, StepReport>>, context: RunContext) {
    this.#known = known;
    this.#context = context;
    const sums = [...known.values()].map((reports) =>
      [...reports.values()].reduce((sum, { ms }) => sum + ms, 0),
    );
    this.#commandsMs = Math.max(0, ...sums);
    for (const host of known.keys()) {
      for (const placed of stepsOn(plan, host))
        this.#note(host, placed, known.get(host)?.get(fullId(placed)));
    }
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

  /** A host whose steps are all so, and that nothing was changed on since it was asked, is left alone. */
  #needed({ name }: PlannedStage, { host, steps }: Work): boolean {
    if (this.#dirty.has(host) || (this.#dirty.size > 0 && WHOLE.includes(name))) return true;
    const known = this.#known.get(host);
    return steps.some((step) => known?.get(fullId({ stage: name, step }))?.state !== "already");
  }

  async #wave(stage: PlannedStage, wave: Wave): Promise<void> {
    const working = wave.filter((work) => this.#needed(stage, work));
    const before = new Map(working.map(({ host }) => [host, 0]));
    const failures = (
      await Promise.all(
        working.map(async ({ host, steps }) => {
          const placed = steps.map((step) => ({ stage: stage.name, step }));
          const add = (ms: number): void => void before.set(host, (before.get(host) ?? 0) + ms);
          return this.#host(host, placed, add);
        }),
      )
    ).flat();
    this.#commandsMs += Math.max(0, ...before.values());
    this.#context.signal?.throwIfAborted();
    if (failures.length > 0) throw failed(stage.name, failures, this.#context);
  }

  /** Works on one host, over a connection that may break: what was done is asked anew then, never assumed. */
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
    for (const part of parts(steps)) {
      const [first] = part;
      if (first?.step.upload) {
        const { frames } = await runScript(
          { ...this.#context, emit: () => {}, record: () => {} },
          host,
          [first],
          "check",
        );
        const stopped =
          frames.reports[0]?.state === "already"
            ? undefined
            : await this.#upload(host, first, first.step.upload);
        if (stopped) return [stopped];
      }
      const { frames, code, stderr } = await runScript(this.#context, host, part, "apply");
      for (const report of frames.reports) {
        add(report.ms);
        const placed = part.find((each) => fullId(each) === report.id);
        if (report.state !== "already") this.#dirty.add(host);
        if (report.state === "done") this.#changed++;
        if (placed) this.#note(host, placed, report);
        if (report.state === "failed") return [{ host, step: placed, output: report.output }];
      }
      if (frames.reports.length < part.length)
        return [
          {
            host,
            step: part.find((each) => fullId(each) === frames.current),
            output: [frames.currentOutput, frames.outside, stderr].join("\n"),
            error: `ended with ${code}`,
          },
        ];
    }
    return [];
  }

  /** Sends what is missing of a file, on from where an earlier try ended. */
  async #upload(
    host: string,
    placed: PlacedStep,
    { from, offset, size, to }: Upload,
  ): Promise<Failure | undefined> {
    const { connections, emit, log, signal } = this.#context;
    const part = `${to}.part`;
    const connection = connections.get(host);
    const { stdout } = await connection.run(sh`
      mkdir -p "$(dirname ${to})"
      stat -c %s ${part} 2>/dev/null || echo 0`);
    const there = Number(stdout.trim()) || 0;
    const start = there > size ? 0 : there;
    if (start === size) return undefined;
    const startedAt = performance.now();
    emit({
      type: "step",
      host,
      step: fullId(placed),
      state: "applying",
      detail: start > 0 ? `sending on from byte ${start}` : placed.step.title,
    });
    emit({ type: "plan", items: 1, bytes: size - start });
    const stream = createReadStream(from, {
      start: offset + start,
      end: offset + size - 1,
      highWaterMark: 1 << 20,
    });
    stream.on("data", (chunk) =>
      emit({ type: "progress", item: `${host}: ${placed.step.title}`, bytes: chunk.length }),
    );
    const { code, stderr } = await connection.pour(
      start === 0 ? sh`cat >${part}` : sh`cat >>${part}`,
      stream,
      {
        timeoutMs: placed.step.timeoutMs ?? STEP_MS,
        ...(signal ? { signal } : {}),
      },
    );
    emit({ type: "plan", items: 0, bytes: 0 });
    log.line(
      `${host} ${fullId(placed)} sent ${size - start} bytes in ${Math.round(performance.now() - startedAt)} ms`,
    );
    if (code === 0) return undefined;
    return { host, step: placed, output: stderr, error: `${from} could not be sent, cat ended with ${code}` };
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

/** Steps in pieces that each begin with something to send, if anything. */
function parts(steps: PlacedStep[]): PlacedStep[][] {
  const pieces: PlacedStep[][] = [];
  for (const placed of steps) {
    if (pieces.length === 0 || placed.step.upload) pieces.push([placed]);
    else pieces.at(-1)?.push(placed);
  }
  return pieces;
}

const LINES_SHOWN = 12;

/** Names host, step, output, cause where it is known, and the way on. */
function failed(stage: StageName, failures: Failure[], { mask, log }: RunContext): AirgapError {
  const told = failures.map(({ host, step, output, error }) => {
    const what = step ? `${host}: ${stage}/${step.step.id} (${step.step.title})` : `${host}: ${stage}`;
    const lines = mask.hide(output).trim().split("\n").slice(-LINES_SHOWN);
    const causes = hintsFor(output).map(({ cause }) => `  likely cause: ${cause}`);
    return [
      `${what} failed${error ? `: ${mask.hide(messageOf(error))}` : ""}`,
      ...lines.filter(Boolean).map((line) => `  | ${line}`),
      ...causes,
    ].join("\n");
  });
  const ways = failures.flatMap(({ output }) => hintsFor(output).flatMap(({ way }) => way));
  const onlyLost = failures.every(({ error }) => isAirgapError(error, "network"));
  return new AirgapError(onlyLost ? "interrupted" : "step-failed", told.join("\n"), {
    suggestions: [
      ...new Set(ways),
      `the whole output is in ${log.path}`,
      "when it is put right, run the same command again: it goes on where it stopped",
    ],
    data: {
      failures: failures.map(({ host, step, output }) => ({
        host,
        stage,
        step: step?.step.id,
        output: mask.hide(output),
      })),
    },
  });
}
