import { type Cluster, type ClusterHost, hostsOf, namedHosts } from "../cluster/cluster.ts";
import { isAirgapError, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import { checkAll } from "../plan/execute.ts";
import { RunLog } from "../plan/log.ts";
import { openJournal } from "../plan/open-journal.ts";
import { type PreviewedStep, preview } from "../plan/preview.ts";
import { type Outcome, runPlan } from "../plan/run.ts";
import type { Session } from "../plan/session.ts";
import { hostsIn, type Plan } from "../plan/stage.ts";
import type { Beside } from "../plan/write-scripts.ts";
import type { Journal } from "../state/journal.ts";
import { hintsFor } from "./hints.ts";
import { rebuildKubeconfig } from "./kubeconfig.ts";
import type { PreparedInstall } from "./prepare.ts";
import { standingPlanes } from "./standing.ts";

/** What running a plan needs of a command's options. */
export interface Running {
  clusterFile: string;
  hosts?: string[];
  /** How long to wait for an unreachable host. Default 3 minutes. */
  patienceMs?: number;
  /** Hosts that are worked on at a time. Default 50. */
  parallel?: number | undefined;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

/** The part of a result that comes from the hosts. */
export interface Carried {
  /** Steps that were applied; 0 when all were already done. */
  changed: number;
  steps: (Outcome | PreviewedStep)[];
  /** Milliseconds; `commands` is the time of the commands on the hosts. */
  time?: { total: number; commands: number; connecting: number };
  log?: string;
  kubeconfig?: string;
  /** With --script: the files, in the order in which to run them. */
  scripts?: string[];
  /** With --script: files that must lie next to the scripts. */
  beside?: Beside[];
}

export type Connected = PreparedInstall & { session: Session<ClusterHost> };

/** Hosts that are worked on: those that are meant, and those that do something for them. */
const names = (cluster: Cluster, plan: Plan, { hosts }: Pick<Running, "hosts">): string[] => [
  ...new Set([...namedHosts(cluster, hosts).map(({ name }) => name), ...hostsIn(plan)]),
];

/** What a plan would change, by the hosts' own checks. */
export async function dryRun(
  { session, home, mask, cluster }: Connected,
  plan: Plan,
  options: Running,
): Promise<Carried> {
  const log = new RunLog(home, mask);
  const context = {
    connections: session,
    log,
    mask,
    emit: options.emit,
    record: () => {},
    parallel: options.parallel,
    signal: options.signal,
  };
  try {
    const hosts = names(cluster, plan, options).filter((name) => session.has(name));
    const steps = preview(plan, hosts, await checkAll(plan, hosts, context), mask);
    return { changed: 0, steps };
  } finally {
    log.close();
  }
}

/** Applies a plan, with a log and the journal beside the cluster file. @param what the command, for the journal */
export async function run(
  prepared: Connected,
  plan: Plan,
  options: Running,
  what: "install" | "upgrade" = "install",
): Promise<Carried> {
  const { session, home, mask, cluster, facts } = prepared;
  const log = new RunLog(home, mask);
  const journal = await openJournal(home, options.emit);
  try {
    await journal?.begin(what, log.path);
    await tellForgotten(cluster, options, journal);
    for (const host of cluster.hosts.filter(({ name }) => session.has(name)))
      await journal?.remember({
        name: host.name,
        settings: JSON.stringify(host),
        facts: JSON.stringify(facts[host.name]),
      });
    const result = await runPlan(plan, {
      connections: session,
      log,
      mask,
      emit: options.emit,
      record: (host, report) => journal?.step(host, report.id, report.state, report.ms),
      hints: hintsFor,
      patienceMs: options.patienceMs,
      parallel: options.parallel,
      // Nothing of a version may begin before the one before it is everywhere.
      strict: what === "upgrade",
      signal: options.signal,
    });
    await journal?.end("done");
    const { changed, outcomes, totalMs, commandsMs } = result;
    log.line(
      `done: ${changed} changed, ${Math.round(totalMs)} ms; commands on the hosts took ${Math.round(commandsMs)} ms`,
    );
    const kubeconfig = await bringHome(prepared, changed);
    return {
      changed,
      steps: outcomes,
      time: { total: totalMs, commands: commandsMs, connecting: 0 },
      log: log.path,
      ...(kubeconfig ? { kubeconfig } : {}),
    };
  } catch (error) {
    log.line(messageOf(error));
    await journal?.end("failed").catch(() => {});
    throw error;
  } finally {
    await journal?.close();
    log.close();
  }
}

/** Warns about hosts that are gone from the cluster file; nothing is deleted for that reason. */
async function tellForgotten(
  cluster: Cluster,
  { clusterFile, emit }: Running,
  journal: Journal | undefined,
): Promise<void> {
  const names = new Set(cluster.hosts.map(({ name }) => name));
  const forgotten = ((await journal?.hosts()) ?? [])
    .map(({ name }) => name)
    .filter((name) => !names.has(name));
  if (forgotten.length === 0) return;
  emit({
    type: "warning",
    message: `${forgotten.join(", ")} is no longer in the cluster file; airgap leaves the host unchanged`,
    suggestion: `airgap reset ${clusterFile} --hosts ${forgotten.join(",")}`,
  });
}

/** Keeps the administrator's kubeconfig beside the cluster file. An existing one stays if nothing has changed. */
async function bringHome(
  { session, home, cluster, secrets, facts }: Connected,
  changed: number,
): Promise<string | undefined> {
  const planes = [...standingPlanes(cluster, facts), ...hostsOf(cluster, "control-plane")];
  const first = planes.find(({ name }) => session.has(name));
  if (first === undefined) return undefined;
  const path = home.path("kubeconfig");
  const checked = (text: string): string => rebuildKubeconfig(text, first.name, cluster, secrets.ca);
  const present = changed === 0 ? home.read("kubeconfig") : undefined;
  if (present !== undefined && isCurrent(present, checked)) return path;
  const { code, stdout } = await session.get(first.name).run("cat /etc/kubernetes/admin.conf");
  if (code !== 0) return undefined;
  home.write("kubeconfig", checked(stdout));
  return path;
}

function isCurrent(text: string, checked: (text: string) => string): boolean {
  try {
    return checked(text) === text;
  } catch (error) {
    if (isAirgapError(error)) return false;
    throw error;
  }
}
