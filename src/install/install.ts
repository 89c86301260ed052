import type { Emit } from "../events.ts";
import { someOf } from "../format.ts";
import { narrow, type Plan } from "../plan/stage.ts";
import { turnsOf } from "../plan/turns.ts";
import { writeScripts } from "../plan/write-scripts.ts";
import { planInstall } from "./plan.ts";
import type { Finding } from "./preflight/finding.ts";
import { byCause, refuse } from "./preflight/preflight.ts";
import { type PreparedInstall, type PrepareOptions, prepare } from "./prepare.ts";
import { type Carried, dryRun, type Running, run } from "./run.ts";
import { type StageName, scriptOrder } from "./stages/index.ts";

export interface InstallOptions extends PrepareOptions, Running {
  emit: Emit;
  dryRun: boolean;
  only?: StageName[];
  skip?: StageName[];
}

export interface InstallResult extends Carried {
  cluster: string;
  findings: Finding[];
}

/** Tells a person of findings that do not stop the run. */
export function tell(findings: Finding[], ignored: readonly string[], emit: Emit): void {
  for (const { finding, hosts } of byCause(findings)) {
    const { severity, check, message } = finding;
    const text = `${hosts.length > 0 ? `${someOf(hosts)}: ` : ""}${message}`;
    if (severity === "notice") emit({ type: "note", message: text });
    else if (severity === "warning" || ignored.includes(check))
      emit({ type: "warning", message: `${text} (${check})` });
  }
}

/**
 * Turns bare hosts into a cluster. Safe to re-run: only what differs is changed.
 * @throws AirgapError `check-failed` before anything was changed, `step-failed` or `interrupted` after
 */
export async function install(options: InstallOptions): Promise<InstallResult> {
  const started = performance.now();
  const prepared = await prepare(options);
  const { session, findings, input, cluster } = prepared;
  const connecting = performance.now() - started;
  try {
    tell(findings, input.ignored, options.emit);
    refuse(findings, input.ignored);
    const plan = narrow(planInstall(input), options);
    const result = await carryOut(prepared, plan, options);
    return {
      ...result,
      cluster: cluster.name,
      findings,
      ...(result.time ? { time: { ...result.time, connecting } } : {}),
    };
  } finally {
    await session?.close();
  }
}

/** Runs the plan, previews it, or writes it as scripts. */
async function carryOut(prepared: PreparedInstall, plan: Plan, options: InstallOptions): Promise<Carried> {
  const { session, cluster } = prepared;
  if (options.script !== undefined) {
    const order = scriptOrder(cluster.hosts, cluster.repository.host);
    return { changed: 0, steps: [], ...writeScripts(options.script, turnsOf(plan, order)) };
  }
  if (session === undefined) throw new Error("there is no connection");
  return options.dryRun
    ? dryRun({ ...prepared, session }, plan, options)
    : run({ ...prepared, session }, plan, options);
}
