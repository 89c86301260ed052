import { setTimeout as sleep } from "node:timers/promises";
import { serversOf } from "../../cluster/cluster.ts";
import { AirgapError, isAirgapError, messageOf } from "../../errors.ts";
import type { PreviewedStep } from "../../plan/preview.ts";
import type { Outcome } from "../../plan/run.ts";
import { hostsIn, narrow, type Plan } from "../../plan/stage.ts";
import { turnsOf } from "../../plan/turns.ts";
import { writeScripts } from "../../plan/write-scripts.ts";
import { bundleFileName } from "../bundle.ts";
import { type InstallOptions, tell } from "../install.ts";
import { imagesFor } from "../node-images.ts";
import type { Finding } from "../preflight/finding.ts";
import { refuse } from "../preflight/preflight.ts";
import { type PreparedInstall, prepare } from "../prepare.ts";
import { type Connected, dryRun, run } from "../run.ts";
import { scriptOrder } from "../stages/index.ts";
import { BUNDLES } from "../stages/serve.ts";
import { standingPlanes } from "../standing.ts";
import { bringHomeKept, type KeptFile } from "./bring-home.ts";
import { type ClusterState, readClusterState } from "./cluster-state.ts";
import { pathOf, startOf, stopAt, type UpgradeInput } from "./context.ts";
import { silentPlanes } from "./host-checks.ts";
import { stateFromFacts, upgradeFindings } from "./preflight.ts";
import { planUpgrade, type UpgradePart, wholePlan } from "./stages.ts";

export interface UpgradeOptions extends Omit<InstallOptions, "only" | "skip" | "parallel"> {
  /** A stop nearer than the cluster file's version. */
  to?: string;
  /** Workers that are drained and upgraded at a time. */
  workers: number;
  /** Seconds. */
  drainTimeout: number;
}

export interface UpgradeResult {
  cluster: string;
  /** The version from which, and those through which the upgrade goes; the last is where it ends. */
  from: string;
  through: string[];
  /** Steps that were applied; 0 when all were already done. */
  changed: number;
  steps: (Outcome | PreviewedStep)[];
  findings: Finding[];
  /** Copies of what the control planes held before each version. */
  kept: KeptFile[];
  /** Milliseconds. */
  time?: { total: number; commands: number; connecting: number };
  log?: string;
  kubeconfig?: string;
  /** With --script: the files, in the order in which to run them. */
  scripts?: string[];
  beside?: { script: string; name: string; from: string }[];
}

/**
 * Takes a cluster from the version that runs to that of the cluster file, one minor at a time. Safe to run again:
 * it goes on where it stopped.
 * @throws AirgapError `check-failed` before anything was changed, `step-failed` or `interrupted` after
 */
export async function upgrade(options: UpgradeOptions): Promise<UpgradeResult> {
  const started = performance.now();
  const prepared = await prepare(options);
  const { session, cluster } = prepared;
  try {
    const state = await stateOf(prepared, options);
    const input = inputOf(prepared, state, options);
    const findings = upgradeFindings(input);
    tell(findings, input.ignored, options.emit);
    refuse(findings, input.ignored);
    const connecting = performance.now() - started;
    const about = {
      cluster: cluster.name,
      from: startOf(input),
      through: pathOf(input).stones,
      findings,
    };
    const parts = planUpgrade(input).map((part) => ({ ...part, plan: narrow(part.plan, options) }));
    if (options.script !== undefined)
      return { ...about, ...asScripts(prepared, wholePlan(parts), options.script) };
    if (session === undefined) throw new Error("there is no connection");
    const connected: Connected = { ...prepared, session };
    if (options.dryRun)
      return { ...about, kept: [], ...(await dryRun(connected, wholePlan(parts), options)) };
    return { ...about, ...(await runParts(connected, parts, options, connecting)) };
  } finally {
    await session?.close();
  }
}

const ASK_AGAIN_MS = 5000;

/**
 * Asks any control plane that stands. An API server that an interrupted run has just restarted is waited for,
 * as long as hosts are.
 * @throws AirgapError `check-failed` when none answers, with what to do on each
 */
async function stateOf(prepared: PreparedInstall, options: UpgradeOptions): Promise<ClusterState> {
  const { cluster, facts, session } = prepared;
  const { signal, emit, patienceMs = 60_000 } = options;
  if (session === undefined) return stateFromFacts({ cluster, facts });
  const end = Date.now() + patienceMs;
  for (let attempt = 1; ; attempt++) {
    const found = await askPlanes(prepared, session, signal);
    if ("nodes" in found) return found;
    const reasons = silentPlanes(cluster, facts, found.said);
    if (
      found.said === undefined ||
      Date.now() + ASK_AGAIN_MS > end ||
      !reasons.some(({ passing }) => passing)
    ) {
      refuse(
        reasons.map(({ finding }) => finding),
        [],
      );
      throw new AirgapError("check-failed", "No control plane of the cluster answers");
    }
    emit({ type: "retry", what: "the API server", reason: found.said, attempt, waitMs: ASK_AGAIN_MS });
    await sleep(ASK_AGAIN_MS, undefined, signal ? { signal } : {});
  }
}

/** What the first control plane that answers says; otherwise what the last said that did not. */
async function askPlanes(
  { cluster, facts }: PreparedInstall,
  session: Connected["session"],
  signal: AbortSignal | undefined,
): Promise<ClusterState | { said: string | undefined }> {
  let said: string | undefined;
  for (const { name } of standingPlanes(cluster, facts).filter((plane) => session.has(plane.name))) {
    try {
      return await readClusterState(session.get(name), cluster.etcd.mode === "stacked", signal);
    } catch (error) {
      if (!isAirgapError(error, "refused", "protocol")) throw error;
      said = messageOf(error);
    }
  }
  return { said };
}

function inputOf(prepared: PreparedInstall, state: ClusterState, options: UpgradeOptions): UpgradeInput {
  const { facts, whole, input } = prepared;
  const cluster = stopAt(prepared.cluster, options.to);
  const own = `${BUNDLES}/${bundleFileName(whole)}`;
  const servedToo = Object.fromEntries(
    serversOf(cluster).map(({ name }) => [
      name,
      (facts[name]?.serves ?? []).filter((path) => path !== own).slice(0, 1),
    ]),
  );
  return {
    ...input,
    cluster,
    bundle: whole,
    images: imagesFor(cluster, whole.lock),
    servedToo,
    state,
    workers: options.workers,
    drainSeconds: options.drainTimeout,
    complete: cluster.kubernetes.version === prepared.cluster.kubernetes.version,
  };
}

/** What hosts keep stays on them: nobody can bring it home between two scripts. */
function asScripts(
  { cluster }: PreparedInstall,
  plan: Plan,
  folder: string,
): Pick<UpgradeResult, "changed" | "steps" | "kept" | "scripts" | "beside"> {
  const order = scriptOrder(cluster.hosts, cluster.repository.host);
  return { changed: 0, steps: [], kept: [], ...writeScripts(folder, turnsOf(plan, order)) };
}

type Ran = Pick<UpgradeResult, "changed" | "steps" | "kept" | "time" | "log" | "kubeconfig">;

/** Runs part after part; what the hosts keep is brought home before anything of the next part changes. */
async function runParts(
  prepared: Connected,
  parts: UpgradePart[],
  options: UpgradeOptions,
  connecting: number,
): Promise<Ran> {
  const result: Ran = { changed: 0, steps: [], kept: [] };
  const time = { total: 0, commands: 0, connecting };
  for (const { keeps, plan } of parts) {
    const { changed, steps, time: spent, log, kubeconfig } = await run(prepared, plan, options, "upgrade");
    result.changed += changed;
    result.steps.push(...steps);
    time.total += spent?.total ?? 0;
    time.commands += spent?.commands ?? 0;
    if (log) result.log = log;
    if (kubeconfig) result.kubeconfig = kubeconfig;
    if (keeps) result.kept.push(...(await keptAt(prepared, plan, keeps, options)));
  }
  return { ...result, time };
}

async function keptAt(
  { session, home }: Connected,
  plan: Plan,
  version: string,
  { signal, emit }: UpgradeOptions,
): Promise<KeptFile[]> {
  const keepers = hostsIn({ stages: plan.stages.filter(({ name }) => name === `${version}-keep`) });
  const hands = { session, signal };
  const kept = (await Promise.all(keepers.map((name) => bringHomeKept(hands, name, version, home)))).flat();
  if (kept.length > 0)
    emit({
      type: "note",
      message: `What was there before ${version} is in ${home.path("upgrade", version)}`,
    });
  return kept;
}
