import { type Cluster, type ClusterHost, hostsOf } from "../cluster/cluster.ts";
import { type ConnectOptions, openerFor, sshSecrets } from "../cluster/connect.ts";
import { readCluster } from "../cluster/read.ts";
import { AirgapError, isAirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import { rulesOf } from "../kubernetes/rules.ts";
import type { RunContext } from "../plan/execute.ts";
import { RunLog } from "../plan/log.ts";
import { Mask } from "../plan/mask.ts";
import { openJournal } from "../plan/open-journal.ts";
import { withLibrary } from "../plan/script.ts";
import { type Connections, joined, type Opener, Session } from "../plan/session.ts";
import { call } from "../plan/shell.ts";
import { StateDir } from "../plan/state-dir.ts";
import { type UndoResult, undoHost } from "../plan/undo.ts";
import { nearest } from "../schema/nearest.ts";
import { type EmptiedEtcd, emptyEtcd, leaveEtcd, stayingMembers } from "./etcd/leave.ts";
import { isExternal } from "./etcd/topology.ts";
import { resetOrder } from "./stages/index.ts";

export interface ResetOptions extends ConnectOptions {
  clusterFile: string;
  /** Only these hosts; they may be missing from the cluster file. */
  hosts?: string[];
  /** These hosts are lost: nobody connects to them, and the cluster forgets them. */
  gone?: boolean;
  /** Packages that were installed go too. */
  packages: boolean;
  /** The data of the Harbor that was installed go too: images, database, keys. */
  harborData?: boolean;
  /** Asked before anything is undone. */
  sure: (hosts: string[]) => Promise<boolean>;
  emit: Emit;
}

export interface ResetResult {
  cluster: string;
  hosts: UndoResult[];
  /** What was removed from an etcd that is not on the control planes. */
  etcd?: EmptiedEtcd;
  log: string;
}

/** The selected hosts: of the cluster file, and those that only the journal knows. */
function chosen(cluster: Cluster, known: ClusterHost[], wanted: string[] | undefined): ClusterHost[] {
  if (wanted === undefined) return cluster.hosts;
  const all = new Map([...known, ...cluster.hosts].map((host) => [host.name, host]));
  return wanted.map((name) => {
    const host = all.get(name);
    if (host) return host;
    const near = nearest(name, [...all.keys()]);
    throw new AirgapError(
      "usage",
      `${name} is not in the cluster file and not known from earlier runs`,
      near ? { suggestions: [`did you mean ${near}?`] } : {},
    );
  });
}

/**
 * Resets hosts to bare: each host undoes the changes that it has recorded. A node that leaves a
 * cluster that stays is drained and deleted first.
 * @throws AirgapError
 */
export async function reset(options: ResetOptions): Promise<ResetResult> {
  const { emit, signal } = options;
  const cluster = await readCluster(options.clusterFile);
  const home = StateDir.open(cluster);
  const journal = await openJournal(home, emit);
  const mask = new Mask(sshSecrets(cluster.hosts));
  const log = new RunLog(home, mask);
  let session: Session<ClusterHost> | undefined;
  try {
    const known = ((await journal?.hosts()) ?? []).map(({ settings }) => JSON.parse(settings) as ClusterHost);
    const hosts = chosen(cluster, known, options.hosts);
    if (!(await options.sure(hosts.map(({ name }) => name))))
      throw new AirgapError("usage", "Cancelled: nothing was changed", {
        suggestions: ["use --yes to skip this question"],
      });
    const others = hostsOf(cluster, "control-plane").filter(
      (host) => !hosts.some(({ name }) => name === host.name),
    );
    const members = stayingMembers(cluster, hosts);
    const open = openerFor(home, options);
    if (options.gone) {
      session = await reachStaying([...new Set([...others, ...members])], open);
      await journal?.begin("reset", log.path);
      const work = { connections: session, log, mask, emit, ...(signal ? { signal } : {}) };
      const reachedOf = (all: ClusterHost[]): ClusterHost[] => all.filter(({ name }) => session?.has(name));
      await leaveEtcd(hosts, reachedOf(members), work);
      const results = await forget(cluster, hosts, reachedOf(others), work);
      for (const { host } of results) await journal?.forget(host);
      await journal?.end("done");
      return { cluster: cluster.name, hosts: results, log: log.path };
    }
    const reached = await Session.reach([...new Set([...hosts, ...others, ...members])], open);
    session = reached.session;
    refuseUnreached(hosts, reached.failures, options.clusterFile);
    const staying = others.find(({ name }) => session?.has(name));
    if (staying === undefined && others.length > 0) throw joined(Object.values(reached.failures));
    await journal?.begin("reset", log.path);
    const work = { connections: session, log, mask, emit, ...(signal ? { signal } : {}) };
    const hands = members.filter(({ name }) => session?.has(name));
    if (staying) for (const host of hosts) await leave(host, staying, cluster, work);
    await leaveEtcd(hosts, hands, work);
    await decideOnHarbor(cluster, hosts, options, session);
    const results: ResetResult["hosts"] = [];
    for (const group of resetOrder(hosts))
      results.push(...(await Promise.all(group.map(({ name }) => undoHost(name, options.packages, work)))));
    for (const { host, failed } of results) if (failed.length === 0) await journal?.forget(host);
    await journal?.end("done");
    refuseHalf(results, log);
    const etcd = await emptyEtcd(cluster, hosts, hands, work);
    return { cluster: cluster.name, hosts: results, ...(etcd ? { etcd } : {}), log: log.path };
  } finally {
    await session?.close();
    await journal?.close();
    log.close();
  }
}

type Work = Omit<RunContext, "record">;

/** A host that is to be taken back must answer; one that never will is forgotten. */
function refuseUnreached(hosts: ClusterHost[], failures: Record<string, AirgapError>, file: string): void {
  const lost = hosts.filter(({ name }) => failures[name]);
  if (lost.length === 0) return;
  const cause = joined(lost.map(({ name }) => failures[name]));
  if (!isAirgapError(cause)) throw cause;
  throw new AirgapError(cause.code, cause.message, {
    suggestions: [
      ...cause.suggestions,
      `when lost for good: airgap reset ${file} --hosts ${lost.map(({ name }) => name).join(",")} --gone`,
    ],
    cause,
  });
}

async function reachStaying(others: ClusterHost[], open: Opener<ClusterHost>): Promise<Session<ClusterHost>> {
  if (others.length > 0) return (await Session.reach(others, open)).session;
  throw new AirgapError("usage", "--gone: no control plane would be left that could forget the others", {
    suggestions: ["name the hosts that are lost: --hosts NAME,… --gone"],
  });
}

/** A cluster that goes on forgets hosts that are lost, by whichever of its control planes can. */
async function forget(
  cluster: Cluster,
  gone: ClusterHost[],
  hands: ClusterHost[],
  work: Work,
): Promise<UndoResult[]> {
  const results: UndoResult[] = [];
  for (const host of gone) {
    work.emit({ type: "phase", name: "forget", detail: host.name });
    if (isNode(host)) await forgetBy(cluster, hands, host, work);
    results.push({ host: host.name, undone: 0, failed: [] });
  }
  return results;
}

/** Harbor's data are what people have pushed: they stay unless somebody says otherwise. */
async function decideOnHarbor(
  { registry }: Cluster,
  hosts: ClusterHost[],
  { harborData, emit }: ResetOptions,
  connections: Connections,
): Promise<void> {
  const [host] = hosts.filter(({ roles }) => registry.harbor !== undefined && roles.includes("registry"));
  if (host === undefined) return;
  if (harborData)
    await connections.get(host.name).run(withLibrary(call("keep_no_harbor_data")), { timeoutMs: 60_000 });
  else
    emit({
      type: "note",
      message: `${host.name}: Harbor's data stay in ${registry.harbor?.data}; --harbor-data removes them`,
    });
}

/** What `forget_node` ends with for a host that the cluster does not know. */
const UNKNOWN = 44;

const isNode = ({ roles }: ClusterHost): boolean =>
  roles.some((role) => role === "worker" || role === "control-plane");

async function forgetBy(
  cluster: Cluster,
  hands: ClusterHost[],
  { name, address }: ClusterHost,
  { connections, log, emit, signal }: Work,
): Promise<void> {
  const said: string[] = [];
  for (const hand of hands) {
    const { code, stdout, stderr } = await connections
      .get(hand.name)
      .run(withLibrary(call("forget_node", name, address, isExternal(cluster) ? "" : hand.name)), {
        timeoutMs: 240_000,
        ...(signal ? { signal } : {}),
      });
    log.output(hand.name, stdout + stderr);
    if (code === UNKNOWN) emit({ type: "note", message: `${name}: the cluster does not know it` });
    if (code === 0 || code === UNKNOWN) return;
    said.push(`${hand.name}: ${stderr.trim() || `it ended with ${code}`}`);
  }
  throw new AirgapError("step-failed", `the cluster could not forget ${name}:\n  ${said.join("\n  ")}`, {
    suggestions: [`on ${hands[0]?.name}: crictl ps -a, and journalctl -u kubelet -n 50`],
  });
}

/** Pods go elsewhere, then the cluster forgets the node. */
async function leave(
  host: ClusterHost,
  staying: ClusterHost,
  cluster: Cluster,
  { connections, log, emit, signal }: Work,
): Promise<void> {
  if (!isNode(host)) return;
  const flags = [...rulesOf(cluster.kubernetes.version).drainFlags, "--force", "--timeout=120s"];
  emit({ type: "phase", name: "drain", detail: host.name });
  const { code, stdout, stderr } = await connections
    .get(staying.name)
    .run(withLibrary(call("remove_node", host.name, ...flags)), {
      timeoutMs: 240_000,
      ...(signal ? { signal } : {}),
    });
  log.output(staying.name, stdout + stderr);
  if (code !== 0)
    throw new AirgapError(
      "step-failed",
      `${staying.name}: ${host.name} cannot be removed from the cluster: ${stderr.trim()}`,
    );
}

function refuseHalf(results: ResetResult["hosts"], log: RunLog): void {
  const bad = results.filter(({ failed }) => failed.length > 0);
  if (bad.length === 0) return;
  const lines = bad.flatMap(({ host, failed }) => failed.map((each) => `  ${host}: ${each}`));
  throw new AirgapError("step-failed", `Not everything could be undone:\n${lines.join("\n")}`, {
    suggestions: [
      `The whole output is in ${log.path}`,
      "Fix the cause, then run the same command; it continues with what is left.",
    ],
    data: { hosts: results },
  });
}
