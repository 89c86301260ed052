import pLimit from "p-limit";
import { AirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import type { Hint } from "./failure.ts";
import type { RunLog } from "./log.ts";
import type { Mask } from "./mask.ts";
import { MARK, StepProtocol, type StepReport } from "./protocol.ts";
import { type Mode, renderSteps } from "./script.ts";
import type { Connections } from "./session.ts";
import { fullId, type PlacedStep, type Plan, stepsByHost } from "./stage.ts";
import { type Counted, counted } from "./tally.ts";

/** What a run needs. */
export interface RunContext {
  connections: Connections;
  log: RunLog;
  mask: Mask;
  emit: Emit;
  /** Called for every step, for the journal. */
  record: (host: string, report: StepReport) => void;
  /** Finds known causes in the output of a failed command. */
  hints?: ((output: string) => Hint[]) | undefined;
  signal?: AbortSignal | undefined;
  /** How long to wait for a host that is unreachable or rebooting. Default 3 minutes. */
  patienceMs?: number | undefined;
  /** Every stage waits for all stages before it, on every host, whatever it needs. */
  strict?: boolean | undefined;
  /** Hosts that are worked on at a time. Default `HOSTS_AT_ONCE`. */
  parallel?: number | undefined;
}

/** Hosts that are worked on at a time: each is a few processes and descriptors of ours. */
export const HOSTS_AT_ONCE = 50;

/** Time limit of a step that sets none. */
export const STEP_MS = 600_000;

/** What a script reported before it ended. */
export interface Execution {
  protocol: StepProtocol;
  code: number | null;
  stderr: string;
}

/**
 * Runs steps on a host. Steps after a failed one have no report.
 * @throws AirgapError `network` when the connection broke
 */
export async function runSteps(
  context: RunContext,
  host: string,
  steps: PlacedStep[],
  mode: Mode,
): Promise<Execution> {
  const { connections, emit, log, record, signal } = context;
  const titles = new Map(steps.map((each) => [fullId(each), each.step.title]));
  const protocol = new StepProtocol(MARK, {
    state: (id, state, report) => {
      const detail = titles.get(id) ?? "";
      emit({ type: "step", host, step: id, state, detail, ...(report ? { ms: report.ms } : {}) });
      if (report === undefined) return;
      record(host, report);
      if (mode === "check" && report.state === "already") return;
      log.line(`${host} ${id} ${report.state} ${Math.round(report.ms)} ms: ${detail}`);
      log.output(host, report.output);
    },
  });
  const timeoutMs = steps.reduce((sum, { step }) => sum + (step.timeoutMs ?? STEP_MS), 60_000);
  try {
    const { code, stderr } = await connections.get(host).run(renderSteps(steps, mode, MARK), {
      timeoutMs,
      onStdout: (text) => protocol.push(text),
      ...(signal ? { signal } : {}),
    });
    return { protocol, code, stderr };
  } finally {
    protocol.end();
  }
}

/** The same without events. */
export const quietly = (context: RunContext): RunContext => ({
  ...context,
  emit: () => {},
  record: () => {},
});

/**
 * Asks every host which of its steps are already done: one round trip per host. Changes nothing.
 * @returns reports by host and step
 * @throws AirgapError `step-failed` when a host's script ended early, `network`
 */
export async function checkAll(
  plan: Plan,
  hosts: string[],
  context: RunContext,
): Promise<Map<string, Map<string, StepReport>>> {
  const all = stepsByHost(plan);
  const limit = pLimit(context.parallel ?? HOSTS_AT_ONCE);
  const told = counted("checks", hosts.filter((name) => all.has(name)).length, context.emit);
  const check = async (name: string) =>
    [name, await checkHost(name, all.get(name) ?? [], context, told)] as const;
  return new Map(await Promise.all(hosts.map((name) => limit(() => check(name)))));
}

/**
 * Asks one host which of its steps are already done. Changes nothing.
 * @returns reports by step
 * @throws AirgapError `step-failed` when its script ended early, `network`
 */
export async function checkHost(
  name: string,
  steps: PlacedStep[],
  context: RunContext,
  told: Counted,
): Promise<Map<string, StepReport>> {
  if (steps.length === 0) return new Map();
  let whole = false;
  told.started(name);
  try {
    const { protocol, stderr } = await runSteps(quietly(context), name, steps, "check");
    whole = protocol.reports.length === steps.length;
    if (!whole) throw endedEarly(name, protocol, stderr);
    return new Map(protocol.reports.map((report) => [report.id, report]));
  } finally {
    told.ended(name, whole ? "done" : "failed");
  }
}

function endedEarly(name: string, protocol: StepProtocol, stderr: string): AirgapError {
  const said = [stderr.trim(), protocol.currentOutput.trim(), protocol.outside.trim()]
    .filter(Boolean)
    .join("; ")
    .slice(-500);
  const where = protocol.current ? ` in ${protocol.current}` : "";
  return new AirgapError("step-failed", `${name}: its script ended early${where}${said ? `: ${said}` : ""}`);
}
