import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Cluster, type ClusterHost, hostsOf, namedHosts } from "../cluster/cluster.ts";
import { type ConnectOptions, openerFor, readAllFacts, sshSecrets } from "../cluster/connect.ts";
import { readCluster } from "../cluster/read.ts";
import { type Existing, loadSecrets, type Secrets, secretTexts } from "../cluster/secrets.ts";
import { isAirgapError, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import type { Facts } from "../host/facts.ts";
import { findSelf } from "../host/shipped.ts";
import { checkAll } from "../plan/execute.ts";
import { RunLog } from "../plan/log.ts";
import { Mask } from "../plan/mask.ts";
import { openJournal } from "../plan/open-journal.ts";
import { type PreviewedStep, preview } from "../plan/preview.ts";
import { type Outcome, runPlan } from "../plan/run.ts";
import { type Opener, Session } from "../plan/session.ts";
import { hostsIn, narrow, type Plan } from "../plan/stage.ts";
import { StateDir } from "../plan/state-dir.ts";
import { turnsOf } from "../plan/turns.ts";
import { type Beside, writeScripts } from "../plan/write-scripts.ts";
import type { Journal } from "../state/journal.ts";
import { type Bundle, readBundle } from "./bundle.ts";
import { architecture, makeContext, type PlanInput } from "./context.ts";
import { silentEndpoint } from "./endpoint.ts";
import { askForFacts, readGatheredFacts } from "./gathered-facts.ts";
import { hintsFor } from "./hints.ts";
import { rebuildKubeconfig } from "./kubeconfig.ts";
import { readMembers } from "./members.ts";
import { imagesFor } from "./node-images.ts";
import { planInstall } from "./plan.ts";
import type { Finding } from "./preflight/finding.ts";
import { parseIgnored, preflight, refuse } from "./preflight/preflight.ts";
import { type StageName, scriptOrder } from "./stages/index.ts";
import { standingPlanes } from "./standing.ts";
import { withLocalTool } from "./tool.ts";
import { readUserManifests } from "./user-manifests.ts";

export interface InstallOptions extends ConnectOptions {
  clusterFile: string;
  bundle: string;
  dryRun: boolean;
  /** Write scripts into this folder and run nothing. */
  script?: string;
  only?: StageName[];
  skip?: StageName[];
  hosts?: string[];
  ignoreChecks: string[];
  /** How long to wait for an unreachable host. Default 3 minutes. */
  patienceMs?: number;
  emit: Emit;
}

export interface InstallResult {
  cluster: string;
  /** Steps that were applied; 0 when all were already done. */
  changed: number;
  steps: (Outcome | PreviewedStep)[];
  findings: Finding[];
  /** Milliseconds; `commands` is the time of the commands on the hosts. */
  time?: { total: number; commands: number; connecting: number };
  log?: string;
  kubeconfig?: string;
  /** With --script: the files, in the order in which to run them. */
  scripts?: string[];
  /** With --script: files that must lie next to the scripts. */
  beside?: Beside[];
}

/** Everything that a plan is made from. */
export interface PreparedInstall {
  cluster: Cluster;
  bundle: Bundle;
  home: StateDir;
  /** Absent when facts were gathered by hand and there is no connection. */
  session: Session<ClusterHost> | undefined;
  facts: Record<string, Facts>;
  secrets: Secrets;
  input: PlanInput;
  mask: Mask;
  findings: Finding[];
}

/** Archives of airgap itself: in a checkout's build folder, or the unpacked archive that runs. */
function localTools(): string[] {
  const folder = join(findSelf().root, "build");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^airgap-.*-linux-[a-z0-9]+\.tar\.gz$/.test(name))
    .map((name) => join(folder, name));
}

/** What the hosts have already: the cluster's authority on a control plane, the certificate on the serving host. */
export function existingOf(cluster: Cluster, facts: Record<string, Facts>): Existing {
  const plane = standingPlanes(cluster, facts).find(({ name }) => facts[name]?.kubernetesCa);
  const ca = plane && facts[plane.name]?.kubernetesCa;
  const server = facts[cluster.repository.host];
  const tls =
    server?.owner === cluster.name && server.siteCa && server.siteCertificate
      ? { ca: server.siteCa, cert: server.siteCertificate }
      : undefined;
  return { ...(ca ? { ca } : {}), ...(tls ? { tls } : {}) };
}

type Reached = Pick<PlanInput, "facts" | "unreachable" | "members" | "endpointSilentFor"> &
  Pick<PreparedInstall, "session">;
type Connecting = ConnectOptions & Pick<InstallOptions, "script">;

/** Connects to every host and reads its facts; those that were gathered by hand for scripts are taken as they are. */
async function connect(cluster: Cluster, home: StateDir, options: Connecting): Promise<Reached> {
  const { signal, script } = options;
  const gathered = Object.fromEntries(
    cluster.hosts.flatMap(({ name }) => {
      const facts = script === undefined ? undefined : readGatheredFacts(script, name);
      return facts ? [[name, facts]] : [];
    }),
  );
  const missing = cluster.hosts.filter(({ name }) => gathered[name] === undefined);
  if (missing.length === 0) return { session: undefined, facts: gathered };
  const open = openerFor(home, options);
  if (script !== undefined) return byScript(missing, open, gathered, script, signal);
  const { session, failures } = await Session.reach(missing, open);
  try {
    const reached = missing.filter(({ name }) => session.has(name));
    const facts = await readAllFacts(reached, session, signal);
    const [members, silent] = await Promise.all([
      readMembers(cluster, facts, session, signal),
      silentEndpoint(cluster, facts, session, signal),
    ]);
    return {
      ...{ session, facts, unreachable: failures },
      ...(members ? { members } : {}),
      ...(silent ? { endpointSilentFor: silent } : {}),
    };
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** Scripts are written for whole clusters: a host that is not reached is asked about by hand. */
async function byScript(
  missing: ClusterHost[],
  open: Opener<ClusterHost>,
  gathered: Record<string, Facts>,
  script: string,
  signal: AbortSignal | undefined,
): Promise<Reached> {
  const session = await Session.start(missing, open).catch((cause: unknown) => {
    if (!isAirgapError(cause, "network", "unauthorized")) throw cause;
    const names = missing.map(({ name }) => name);
    throw askForFacts(script, names, cause);
  });
  try {
    return { session, facts: { ...gathered, ...(await readAllFacts(missing, session, signal)) } };
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** Reads cluster, bundle and facts, makes secrets, and checks all of it. The caller closes the session. */
export async function prepare(options: Omit<InstallOptions, "dryRun">): Promise<PreparedInstall> {
  const cluster = await readCluster(options.clusterFile);
  namedHosts(cluster, options.hosts);
  const ignored = parseIgnored(options.ignoreChecks);
  const carried = await readBundle(options.bundle, options.signal);
  const images = imagesFor(cluster, carried.lock);
  const userManifests = readUserManifests(cluster, carried.lock);
  const home = StateDir.open(cluster);
  const { session, ...known } = await connect(cluster, home, options);
  const { facts } = known;
  try {
    const server = facts[cluster.repository.host];
    const bundle = server ? withLocalTool(carried, localTools(), architecture(server).node) : carried;
    const secrets = await loadSecrets(cluster, home, existingOf(cluster, facts));
    const mask = new Mask([...secretTexts(secrets), ...sshSecrets(cluster.hosts)]);
    const input: PlanInput = {
      ...known,
      ...{ cluster, bundle, secrets, images, userManifests, ignored },
      ...(options.hosts ? { asked: options.hosts } : {}),
    };
    const findings = preflight(makeContext(input));
    return { cluster, bundle, home, session, facts, secrets, input, mask, findings };
  } catch (error) {
    await session?.close();
    throw error;
  }
}

function tell(findings: Finding[], ignored: readonly string[], emit: Emit): void {
  for (const { severity, host, check, message } of findings) {
    const text = `${host ? `${host}: ` : ""}${message}`;
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

type Part = Omit<InstallResult, "cluster" | "findings">;
type Connected = PreparedInstall & { session: Session<ClusterHost> };

/** Runs the plan, previews it, or writes it as scripts. */
async function carryOut(prepared: PreparedInstall, plan: Plan, options: InstallOptions): Promise<Part> {
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

/** Hosts that are worked on: those that are meant, and those that do something for them. */
const names = (cluster: Cluster, plan: Plan, { hosts }: Pick<InstallOptions, "hosts">): string[] => [
  ...new Set([...namedHosts(cluster, hosts).map(({ name }) => name), ...hostsIn(plan)]),
];

async function dryRun(
  { session, home, mask, cluster }: Connected,
  plan: Plan,
  options: InstallOptions,
): Promise<Part> {
  const log = new RunLog(home, mask);
  const context = {
    connections: session,
    log,
    mask,
    emit: options.emit,
    record: () => {},
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

async function run(prepared: Connected, plan: Plan, options: InstallOptions): Promise<Part> {
  const { session, home, mask, cluster, facts } = prepared;
  const log = new RunLog(home, mask);
  const journal = await openJournal(home, options.emit);
  try {
    await journal?.begin("install", log.path);
    await tellForgotten(cluster, options, journal);
    for (const host of cluster.hosts.filter(({ name }) => session.has(name)))
      await journal?.remember({
        name: host.name,
        settings: JSON.stringify(host),
        facts: JSON.stringify(facts[host.name]),
      });
    const hosts = names(cluster, plan, options).filter((name) => session.has(name));
    const result = await runPlan(plan, hosts, {
      connections: session,
      log,
      mask,
      emit: options.emit,
      record: (host, report) => journal?.step(host, report.id, report.state, report.ms),
      hints: hintsFor,
      patienceMs: options.patienceMs,
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
  { clusterFile, emit }: InstallOptions,
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
