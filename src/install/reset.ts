import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import { nearest } from "../schema/nearest.ts";
import { type Cluster, type ClusterHost, readCluster } from "./cluster.ts";
import { minorOf } from "./context.ts";
import { Frames, type StepReport } from "./frames.ts";
import { Home } from "./home.ts";
import { keptJournal } from "./kept-journal.ts";
import { RunLog } from "./log.ts";
import { Mask } from "./mask.ts";
import { MARK } from "./run.ts";
import { renderUndo } from "./script.ts";
import { type Opener, opener, Session, sshSecrets } from "./session.ts";
import { sh } from "./sh.ts";
import type { Confirm } from "./words.ts";

export interface ResetOptions {
  clusterFile: string;
  /** Only these; also ones that the cluster file has forgotten. */
  hosts?: string[];
  /** Packages that were installed go too. */
  packages: boolean;
  confirm?: Confirm;
  /** Asked before anything is taken back. */
  sure: (hosts: string[]) => Promise<boolean>;
  open?: Opener;
  emit: Emit;
  signal?: AbortSignal;
}

export interface ResetResult {
  cluster: string;
  hosts: { host: string; undone: number; failed: string[] }[];
  log: string;
}

/** Hosts that are meant: of the cluster file, and those that only the journal knows. */
function chosen(cluster: Cluster, known: ClusterHost[], wanted: string[] | undefined): ClusterHost[] {
  if (wanted === undefined) return cluster.hosts;
  const all = new Map([...known, ...cluster.hosts].map((host) => [host.name, host]));
  return wanted.map((name) => {
    const host = all.get(name);
    if (host) return host;
    const near = nearest(name, [...all.keys()]);
    throw new AirgapError(
      "usage",
      `${name} is neither in the cluster file nor known from earlier runs`,
      near ? { suggestions: [`did you mean ${near}?`] } : {},
    );
  });
}

/** Workers first, then control planes, then those that all others depend on. */
const rank = ({ roles }: ClusterHost): number =>
  roles.includes("control-plane") ? 1 : roles.includes("worker") ? 0 : 2;

/**
 * Back to bare: each host takes back what it remembers of having been changed. A node that leaves a
 * cluster which goes on is drained and deleted first.
 * @throws AirgapError
 */
export async function reset(options: ResetOptions): Promise<ResetResult> {
  const { emit, signal, confirm } = options;
  const cluster = await readCluster(options.clusterFile);
  const home = Home.open(cluster);
  const journal = await keptJournal(home, emit);
  const mask = new Mask(sshSecrets(cluster.hosts));
  const log = new RunLog(home, mask);
  let session: Session | undefined;
  try {
    const known = ((await journal?.hosts()) ?? []).map(({ settings }) => JSON.parse(settings) as ClusterHost);
    const hosts = chosen(cluster, known, options.hosts);
    if (!(await options.sure(hosts.map(({ name }) => name))))
      throw new AirgapError("usage", "Nothing was taken back", {
        suggestions: ["--yes takes it for granted"],
      });
    const staying = cluster.hosts.find(
      (host) => host.roles.includes("control-plane") && !hosts.some(({ name }) => name === host.name),
    );
    const open =
      options.open ?? opener({ home, emit, ...(confirm ? { confirm } : {}), ...(signal ? { signal } : {}) });
    session = await Session.start([...hosts, ...(staying ? [staying] : [])], open);
    await journal?.begin("reset", log.path);
    const work = { session, log, mask, emit, ...(signal ? { signal } : {}) };
    if (staying) for (const host of hosts) await leave(host, staying, cluster, work);
    const results: ResetResult["hosts"] = [];
    for (const level of [0, 1, 2]) {
      const now = hosts.filter((host) => rank(host) === level);
      results.push(...(await Promise.all(now.map((host) => takeBack(host, options.packages, work)))));
    }
    for (const { host, failed } of results) if (failed.length === 0) await journal?.forget(host);
    await journal?.end("done");
    refuseHalf(results, log);
    return { cluster: cluster.name, hosts: results, log: log.path };
  } finally {
    await session?.close();
    await journal?.close();
    log.close();
  }
}

interface Work {
  session: Session;
  log: RunLog;
  mask: Mask;
  emit: Emit;
  signal?: AbortSignal;
}

/** Pods go elsewhere, then the cluster forgets the node. */
async function leave(
  host: ClusterHost,
  staying: ClusterHost,
  cluster: Cluster,
  { session, log, emit, signal }: Work,
): Promise<void> {
  if (!host.roles.some((role) => role === "worker" || role === "control-plane")) return;
  const data = minorOf(cluster.kubernetes.version) >= 20 ? "--delete-emptydir-data" : "--delete-local-data";
  emit({ type: "phase", name: "drain", detail: host.name });
  const { code, stdout, stderr } = await session.get(staying.name).run(
    sh`
      export KUBECONFIG=/etc/kubernetes/admin.conf
      kubectl get node ${host.name} -o name >/dev/null 2>&1 || exit 0
      kubectl drain ${host.name} --ignore-daemonsets ${data} --force --timeout=120s || echo "not all of its pods went"
      kubectl delete node ${host.name}`,
    { timeoutMs: 240_000, ...(signal ? { signal } : {}) },
  );
  log.output(staying.name, stdout + stderr);
  if (code !== 0)
    throw new AirgapError(
      "step-failed",
      `${staying.name}: ${host.name} could not be taken out of the cluster: ${stderr.trim()}`,
    );
}

async function takeBack(
  host: ClusterHost,
  packages: boolean,
  { session, log, mask, emit, signal }: Work,
): Promise<ResetResult["hosts"][number]> {
  const told: StepReport[] = [];
  const frames = new Frames(MARK, {
    state: (id, state, report) => {
      if (report === undefined) return;
      told.push(report);
      emit({ type: "step", host: host.name, step: id, state, detail: "taken back", ms: report.ms });
      log.line(`${host.name} ${id} taken back: ${report.state}`);
      log.output(host.name, report.output);
    },
  });
  try {
    const { code, stderr } = await session.get(host.name).run(renderUndo(MARK, packages), {
      timeoutMs: 1_800_000,
      onStdout: (text) => frames.push(text),
      ...(signal ? { signal } : {}),
    });
    frames.end();
    const failed = told
      .filter(({ state }) => state === "failed")
      .map(({ id, output }) => `${id}: ${mask.hide(output).trim().split("\n").at(-1) ?? ""}`);
    return {
      host: host.name,
      undone: told.length - failed.length,
      failed: code === 0 || failed.length > 0 ? failed : [stderr.trim() || `its script ended with ${code}`],
    };
  } catch (error) {
    if (!isAirgapError(error, "network")) throw error;
    return { host: host.name, undone: told.length, failed: [messageOf(error)] };
  }
}

function refuseHalf(results: ResetResult["hosts"], log: RunLog): void {
  const bad = results.filter(({ failed }) => failed.length > 0);
  if (bad.length === 0) return;
  const lines = bad.flatMap(({ host, failed }) => failed.map((each) => `  ${host}: ${each}`));
  throw new AirgapError("step-failed", `Not everything could be taken back:\n${lines.join("\n")}`, {
    suggestions: [
      `the whole output is in ${log.path}`,
      "run the same command again: it goes on with what is left",
    ],
    data: { hosts: results },
  });
}
