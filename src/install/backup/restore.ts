import { createReadStream } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Cluster, type ClusterHost, hostsOf, nodesOf } from "../../cluster/cluster.ts";
import { type ConnectOptions, openerFor, readAllFacts } from "../../cluster/connect.ts";
import { readCluster } from "../../cluster/read.ts";
import { keepKeys } from "../../cluster/secrets.ts";
import { AirgapError, Exit, isAirgapError, messageOf } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import type { Facts } from "../../host/facts.ts";
import { minorOf } from "../../kubernetes/rules.ts";
import { RunLog } from "../../plan/log.ts";
import { Mask } from "../../plan/mask.ts";
import { joined, Session } from "../../plan/session.ts";
import { call } from "../../plan/shell.ts";
import { StateDir } from "../../plan/state-dir.ts";
import { memberHosts } from "../etcd/status.ts";
import { peerUrl, tokenOf } from "../etcd/topology.ts";
import { standingPlanes } from "../standing.ts";
import { Backup, type BackupAbout } from "./archive.ts";
import { type Hands, keepers, runOn } from "./hand.ts";

export interface RestoreOptions extends ConnectOptions {
  clusterFile: string;
  /** The backup. */
  file: string;
  /** Asked with what will be lost, before anything is stopped. */
  sure: (question: string) => Promise<boolean>;
  emit: Emit;
}

export interface RestoreResult {
  cluster: string;
  /** `everything`; or `keys`, where no control plane stands: install with them, then restore again. */
  restored: "everything" | "keys";
  taken: string;
  etcd: BackupAbout["etcd"];
  /** etcd's revision before, when a member answered. */
  before?: number;
  /** Members that have the snapshot's data now. */
  members: string[];
}

const FOLDER = "/var/lib/airgap/backup";
const FILE = `${FOLDER}/restore.db`;
const SERVERS = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
const RESTORE_MS = 900_000;

const refused = (message: string, ...suggestions: string[]): AirgapError =>
  new AirgapError("check-failed", `Nothing was changed: ${message}`, { suggestions });

/** What can be told from the two files alone. @throws AirgapError `check-failed` */
function checkFiles(cluster: Cluster, { about, path }: Backup): void {
  if (about.cluster !== cluster.name)
    throw refused(`${path} is of the cluster ${about.cluster}, and the cluster file is of ${cluster.name}`);
  if (about.etcd.mode !== cluster.etcd.mode)
    throw refused(
      `${path} is of a cluster with etcd: ${about.etcd.mode}, and the cluster file says ${cluster.etcd.mode}`,
      "use the cluster file of that time: it is in the backup, as cluster.yaml",
    );
  const version = cluster.kubernetes.version;
  if (minorOf(about.kubernetes) > minorOf(version))
    throw refused(
      `${path} is of Kubernetes ${about.kubernetes}, and ${version} cannot read all that it wrote`,
      `set kubernetes.version: ${about.kubernetes}`,
    );
}

/** Every member and every control plane has to take part. @throws AirgapError `check-failed`, `network` */
function checkReached(hosts: ClusterHost[], failures: Record<string, AirgapError>): void {
  const lost = hosts.flatMap(({ name }) => failures[name] ?? []);
  if (lost.length > 0) throw joined(lost);
}

function checkStanding(cluster: Cluster, facts: Record<string, Facts>, backup: Backup): void {
  const planes = hostsOf(cluster, "control-plane");
  const bare = planes.filter((plane) => !standingPlanes(cluster, facts).includes(plane));
  if (bare.length > 0)
    throw refused(
      `${bare.map(({ name }) => name).join(", ")} is no control plane yet`,
      "install first: airgap install CLUSTER --bundle BUNDLE; then restore",
    );
  const ca = backup.text("pki/ca.crt").trim();
  const other = planes.find(({ name }) => facts[name]?.kubernetesCa?.trim() !== ca);
  if (other !== undefined)
    throw refused(
      `${other.name} has another authority than the backup: what it holds would belong to other keys`,
      "airgap reset CLUSTER",
      `airgap restore CLUSTER ${backup.path} # puts the keys in place`,
      "airgap install CLUSTER --bundle BUNDLE",
      `airgap restore CLUSTER ${backup.path} # brings the objects back`,
    );
}

/** Without control planes there is nothing to restore into; they are made again with the authorities of the backup. */
function restoreKeys(home: StateDir, backup: Backup): void {
  const pair = (name: string): { cert: string; key: string } => ({
    cert: backup.text(`pki/${name}.crt`),
    key: backup.text(`pki/${name}.key`),
  });
  keepKeys(home, {
    ca: pair("ca"),
    etcdCa: pair("etcd/ca"),
    frontProxyCa: pair("front-proxy-ca"),
    serviceAccount: { publicKey: backup.text("pki/sa.pub"), privateKey: backup.text("pki/sa.key") },
  });
}

const cancelled = (): AirgapError =>
  new AirgapError("usage", "Cancelled: nothing was changed", {
    suggestions: ["use --yes to skip this question"],
  });

/**
 * Puts the snapshot of a backup into every member of etcd. Everything that can stand against it is looked at first.
 * Where no control plane stands, only the keys are put beside the cluster file, for `install`.
 * @throws AirgapError `check-failed` before anything was changed; with exit 4 when it stopped part-way: it can run again
 */
export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  const { emit, signal } = options;
  const cluster = await readCluster(options.clusterFile);
  const hosts = keepers(cluster);
  const backup = Backup.open(options.file);
  const home = StateDir.open(cluster);
  const log = new RunLog(home, new Mask([]));
  const { about } = backup;
  let session: Session<ClusterHost> | undefined;
  try {
    checkFiles(cluster, backup);
    const all = [...new Set([...hosts, ...nodesOf(cluster)])];
    const reached = await Session.reach(all, openerFor(home, options));
    session = reached.session;
    checkReached(hosts, reached.failures);
    const facts = await readAllFacts(hosts, session, signal);
    const base = { cluster: cluster.name, taken: about.taken, etcd: about.etcd };
    if (standingPlanes(cluster, facts).length === 0) {
      if (
        !(await options.sure(
          `No control plane of ${cluster.name} stands. This puts the authorities of the backup beside the cluster file, so that install makes it again with the same keys. Continue?`,
        ))
      )
        throw cancelled();
      restoreKeys(home, backup);
      return { ...base, restored: "keys", members: [] };
    }
    checkStanding(cluster, facts, backup);
    const hands = { session, log, signal };
    const members = memberHosts(cluster);
    await Promise.all(members.map(({ name }) => restorer(hands, name)));
    const before = await revision(hands, members);
    if (!(await options.sure(lossOf(about, before)))) throw cancelled();
    await carryOut(cluster, backup, members, hands, emit);
    tellUnreached(reached.failures, emit);
    return {
      ...base,
      restored: "everything",
      ...(before === undefined ? {} : { before }),
      members: members.map(({ name }) => name),
    };
  } finally {
    await session?.close();
    backup.close();
    log.close();
  }
}

function tellUnreached(failures: Record<string, AirgapError>, emit: Emit): void {
  for (const name of Object.keys(failures))
    emit({
      type: "warning",
      message: `${name} was not reached: it may still work by what it knew before`,
      suggestion: "on it: systemctl restart kubelet",
    });
}

async function restorer(hands: Hands, host: string): Promise<void> {
  try {
    await runOn(hands, host, call("find_restorer"));
  } catch (error) {
    if (!isAirgapError(error, "step-failed")) throw error;
    throw refused(
      messageOf(error),
      `put etcdutl of etcd's release archive on ${host}, as /usr/local/bin/etcdutl`,
    );
  }
}

async function revision(hands: Hands, members: ClusterHost[]): Promise<number | undefined> {
  const found = await Promise.all(
    members.map(async ({ name }) => {
      const { stdout } = await runOn(hands, name, call("show_revision", name));
      return Number(/^revision (\d+)$/m.exec(stdout)?.[1] ?? 0);
    }),
  );
  const most = Math.max(...found);
  return most > 0 ? most : undefined;
}

function lossOf({ taken, etcd }: BackupAbout, before: number | undefined): string {
  const hours = (Date.now() - Date.parse(taken)) / 3_600_000;
  const age = hours < 48 ? `${hours.toFixed(1)} hours` : `${Math.floor(hours / 24)} days`;
  const now = before === undefined ? "etcd does not answer now" : `etcd is at revision ${before} now`;
  return `The backup is of ${taken}, ${age} ago, at revision ${etcd.revision}; ${now}. Everything that was changed since then is lost, and the API does not answer for some minutes. Continue?`;
}

async function send(hands: Hands, backup: Backup, host: string): Promise<void> {
  await runOn(hands, host, call("close", FOLDER));
  const { offset, size } = backup.snapshot;
  const stream = createReadStream(backup.path, {
    start: offset,
    end: offset + size - 1,
    highWaterMark: 1 << 20,
  });
  const { code, stderr } = await hands.session.get(host).pipe(`umask 077; cat >${FILE}`, stream, {
    timeoutMs: RESTORE_MS,
    ...(hands.signal ? { signal: hands.signal } : {}),
  });
  if (code !== 0) throw new AirgapError("step-failed", `${host}: cannot take the snapshot: ${stderr.trim()}`);
}

const onAll = (hosts: ClusterHost[], work: (host: ClusterHost) => Promise<unknown>): Promise<unknown[]> =>
  Promise.all(hosts.map(work));

async function carryOut(
  cluster: Cluster,
  backup: Backup,
  members: ClusterHost[],
  hands: Hands & { log: RunLog },
  emit: Emit,
): Promise<void> {
  const phase = (name: string): void => emit({ type: "phase", name });
  const { session } = hands;
  const planes = hostsOf(cluster, "control-plane");
  const nodes = nodesOf(cluster).filter(({ name }) => session.has(name));
  phase("send");
  await onAll(members, ({ name }) => send(hands, backup, name));
  try {
    phase("stop");
    const stacked = cluster.etcd.mode === "stacked";
    const pods = [...SERVERS, ...(stacked ? ["etcd"] : [])];
    await onAll(planes, ({ name }) => runOn(hands, name, call("stop_static_pods", ...pods), 300_000));
    if (!stacked) await onAll(members, ({ name }) => runOn(hands, name, call("stop_etcd")));
    phase("restore");
    const initial = members.map((host) => `${host.name}=${peerUrl(host)}`).join(",");
    const token = `${tokenOf(cluster)}-${Date.now().toString(36)}`;
    await onAll(members, (host) =>
      runOn(
        hands,
        host.name,
        call("restore_member", FILE, host.name, peerUrl(host), initial, token),
        RESTORE_MS,
      ),
    );
    phase("start");
    if (!stacked) {
      await onAll(members, ({ name }) => runOn(hands, name, call("start_member")));
      await onAll(members, ({ name }) => runOn(hands, name, call("wait_for_etcd", 180), 240_000));
    }
    await onAll(planes, ({ name }) => runOn(hands, name, call("start_static_pods")));
    phase("verify");
    await onAll(planes, ({ name }) => runOn(hands, name, call("wait_for", 300, "api_answers"), 360_000));
    await onAll(nodes, ({ name }) => runOn(hands, name, call("restart_service", "kubelet")));
    await verify(hands, members, backup.about);
    await onAll(members, ({ name }) =>
      runOn(hands, name, [call("remove_file", FILE), call("forget_restorer")].join("\n")),
    );
  } catch (cause) {
    if (!isAirgapError(cause)) throw cause;
    throw partWay(cause, hands.log);
  }
}

/** Every member is at the snapshot's revision or a later one. Kubelets, by which it is asked, have just been started. */
async function verify(hands: Hands, members: ClusterHost[], { etcd }: BackupAbout): Promise<void> {
  for (const member of members) {
    let now: number | undefined;
    for (let tries = 0; now === undefined && tries < 24; tries++) {
      if (tries > 0) await sleep(5000, undefined, hands.signal ? { signal: hands.signal } : {});
      now = await revision(hands, [member]);
    }
    if (now === undefined || now < etcd.revision)
      throw new AirgapError(
        "step-failed",
        `${member.name}: etcd is at revision ${now ?? "unknown"} after the snapshot of ${etcd.revision} was restored`,
      );
  }
}

function partWay(cause: AirgapError, log: RunLog): AirgapError {
  return new AirgapError(cause.code, `The restore stopped part-way: ${cause.message}`, {
    cause,
    exit: Exit.interrupted,
    suggestions: [
      "Fix the cause, then run the same command: it begins again, from the same backup.",
      `To go back: docs/backup.md. What was there before is on each member, in /var/lib/airgap/etcd-before-restore/. Log: ${log.path}`,
    ],
  });
}
