import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Opening } from "../bundle/reader.ts";
import { type Attempt, type Rehearsal, type RehearsalFacts, writeRehearsal } from "../bundle/rehearsal.ts";
import { type Cluster, hostsOf } from "../cluster/cluster.ts";
import { readCluster } from "../cluster/read.ts";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import { someOf } from "../format.ts";
import { type InstallResult, install } from "../install/install.ts";
import { type UpgradeResult, upgrade } from "../install/upgrade/upgrade.ts";
import { StateDir } from "../plan/state-dir.ts";
import { Engine, type MachineUsage } from "../transport/engine.ts";
import { checkRehearsable, isForeign, writeClusterFile } from "./cluster-file.ts";
import { type Holdings, holdingsOf } from "./evidence.ts";
import { type HostSettings, makeKey, type RunningHost, startHost } from "./hosts.ts";
import { type Pulls, pullIdle } from "./idle-images.ts";
import { clear, clearLeftovers, labelsOf } from "./leftovers.ts";
import { Meter, StageClock } from "./meter.ts";
import { chooseNetwork, type RehearsalNetwork, rangesHere } from "./network.ts";
import { Outside } from "./outside.ts";
import { type Ended, makeRecord, type Read, readLock } from "./record.ts";
import { type ImageOptions, imagesFor, type SystemImage } from "./systems.ts";

export interface RehearseOptions extends ImageOptions {
  clusterFile: string;
  bundle: string;
  opening?: Opening | undefined;
  engine: "docker" | "podman";
  /** The state from which an upgrade is rehearsed. */
  from?: { clusterFile: string; bundle: string } | undefined;
  /** How long hosts are watched after the installation, for what add-ons try outside once they run. */
  watchMs: number;
  /** Leave the hosts. */
  keep: boolean;
  /** Folders and files of this machine in every host, as `docker run --volume` takes them. */
  mounts: string[];
  /** Where the record is written. Default `rehearsal.json` beside the cluster file. */
  output?: string | undefined;
  ignoreChecks: string[];
  patienceMs?: number;
  parallel?: number | undefined;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

export interface RehearsalResult extends RehearsalFacts {
  /** The record: what is signed and carried. */
  file: string;
  /** As `install` or `upgrade` gives it. */
  install?: InstallResult | undefined;
  upgrade?: UpgradeResult | undefined;
  /** The range of addresses of the hosts; why they are not those of the cluster file. */
  subnet: string;
  mappedBecause?: string;
  /** With --keep: how to log in. */
  kept?: { host: string; container: string; ssh: string }[];
}

/** What CoreDNS asks itself by, to see whether it is its own upstream: two random numbers. */
const LOOP = /^\d{5,}\.\d{5,}$/;

/**
 * Runs the real installation against throw-away hosts without a way out, and looks at what came of it.
 * @throws AirgapError as `install` does, with what the rehearsal saw; `environment` when there are no such hosts here
 */
export async function rehearse(options: RehearseOptions): Promise<RehearsalResult> {
  const cluster = await readCluster(options.clusterFile);
  const older = options.from ? await readCluster(options.from.clusterFile) : undefined;
  for (const each of [cluster, ...(older ? [older] : [])]) checkRehearsable(each);
  if (older && older.name !== cluster.name)
    throw new AirgapError(
      "usage",
      `--from is the cluster ${older.name}, and ${options.clusterFile} is ${cluster.name}`,
    );
  const bundle = await readLock(options.bundle, options);
  const engine = await Engine.open(options.engine);
  await clearFormer(engine, cluster, options.emit);
  const id = randomBytes(4).toString("hex");
  const run = new Run({ id, engine, options, cluster, bundle, ...(older ? { older } : {}) });
  try {
    return await run.all();
  } finally {
    await clearAfter(engine, cluster, id, options);
  }
}

/** What the rehearsal showed must not be lost because an engine that is gone cannot be cleared. */
async function clearAfter(
  engine: Engine,
  cluster: Cluster,
  id: string,
  options: RehearseOptions,
): Promise<void> {
  const { keep, emit } = options;
  try {
    if (!keep) tellStuck((await clear(engine, id)).stuck, emit);
    // The engine may have finished meanwhile what a killed rehearsal had asked for.
    await clearFormer(engine, cluster, emit);
  } catch (error) {
    emit({ type: "warning", message: `${messageOf(error)}. The next rehearsal removes what is left` });
  }
}

async function clearFormer(engine: Engine, cluster: Cluster, emit: Emit): Promise<void> {
  const { count, stuck } = await clearLeftovers(engine, cluster.name);
  tellStuck(stuck, emit);
  if (count > 0)
    emit({ type: "note", message: `Removed what earlier rehearsals left: ${count} containers and networks` });
}

function tellStuck(stuck: string[], emit: Emit): void {
  if (stuck.length > 0)
    emit({
      type: "warning",
      message: `The engine does not remove ${someOf(stuck)}; the next rehearsal tries again`,
    });
}

interface Given {
  id: string;
  engine: Engine;
  options: RehearseOptions;
  cluster: Cluster;
  older?: Cluster;
  bundle: Read;
}

class Run {
  readonly #given: Given;
  readonly #started = Date.now();
  readonly #folder: string;
  #images = new Map<string, SystemImage>();
  #hosts: RunningHost[] = [];

  constructor(given: Given) {
    this.#given = given;
    this.#folder = StateDir.open(given.cluster).path("rehearsal");
  }

  async all(): Promise<RehearsalResult> {
    const { engine, options, cluster, older, id } = this.#given;
    const { emit, signal } = options;
    rmSync(this.#folder, { recursive: true, force: true });
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const labels = labelsOf(id, cluster.name, options.keep);
    const prefix = `airgap-${cluster.name}-${id}`;
    const first = options.from ? await readLock(options.from.bundle, options) : this.#given.bundle;
    this.#images = await imagesFor({ ...cluster, hosts: this.#allHosts }, first.lock, engine, {
      ...options,
      bundle: (options.from ?? options).bundle,
      ...{ folder: join(this.#folder, "base"), prefix, labels },
    });
    rmSync(join(this.#folder, "base"), { recursive: true, force: true });
    const about = await engine.about();
    const network = chooseNetwork(
      [cluster, ...(older ? [older] : [])],
      [...(await engine.subnets()), ...rangesHere()],
    );
    if (network.mappedBecause)
      emit({
        type: "warning",
        message: `The addresses of the cluster file cannot be had here: ${network.mappedBecause}. The hosts are in ${network.subnet}`,
      });
    await engine.makeNetwork(prefix, { ...network, labels });
    signal?.throwIfAborted();
    emit({ type: "phase", name: "hosts", detail: `${cluster.hosts.length} throw-away hosts` });
    const outside = await this.#startAll(network, prefix, labels);
    const seen = await this.#lookAll();
    const meter = new Meter(engine, this.#hosts);
    let [ended, usage]: [Ended | undefined, ReadonlyMap<string, MachineUsage>] = [undefined, new Map()];
    let pulls: Pulls | undefined;
    try {
      ended = await this.#install(network);
      if (ended.error === undefined) pulls = await this.#pullIdle(`${about.os}/${about.architecture}`);
      if (ended.error === undefined && options.watchMs > 0) {
        emit({
          type: "phase",
          name: "watch",
          detail: `${options.watchMs / 1000} s, for what is tried outside`,
        });
        await sleep(options.watchMs, undefined, signal ? { signal } : {});
      }
    } finally {
      usage = await meter.end();
    }
    const after = await this.#lookAll();
    const { attempts, uncounted } = await outside.attempts(this.#hosts);
    const record = await makeRecord({
      ...{ engine, options, cluster, older, bundle: this.#given.bundle, started: this.#started },
      ...{ hosts: this.#hosts, images: this.#images, network, about, ended, usage },
      ...{ seen: { before: seen, after }, pulls, attempts: this.#outsiders(attempts), uncounted },
    });
    const file = options.output ?? join(dirname(resolve(options.clusterFile)), "rehearsal.json");
    writeRehearsal(file, record);
    const result = this.#result(record, { file, network, ended });
    if (ended.error !== undefined) throw this.#failed(ended.error, result);
    if (!record.passed)
      throw new AirgapError("check-failed", `The rehearsal did not pass: ${record.failure}`, {
        exit: 1,
        data: { rehearsal: record, file },
      });
    return result;
  }

  /** Those of the new cluster file, and those that only the old one has. */
  get #allHosts(): Cluster["hosts"] {
    const { cluster, older } = this.#given;
    const byName = [...(older?.hosts ?? []), ...cluster.hosts].map((host) => [host.name, host] as const);
    return [...new Map(byName).values()];
  }

  /** The place outside first, since hosts send everything there from the start; then all hosts, some at a time. */
  async #startAll(
    network: RehearsalNetwork,
    prefix: string,
    labels: Record<string, string>,
  ): Promise<Outside> {
    const { engine, options, cluster, older } = this.#given;
    const { identityFile, publicKey } = await makeKey(this.#folder);
    const serving = this.#images.get(cluster.repository.host) ?? [...this.#images.values()][0];
    const outside = await Outside.start(engine, {
      ...{ name: `${prefix}.outside`, image: serving?.image ?? "", network: prefix, labels },
      address: network.outside,
    });
    const [plane] = hostsOf(older ?? cluster, "control-plane");
    const settings = this.#allHosts.map((host): HostSettings => {
      const foreign = isForeign(cluster) && host.name === plane?.name ? cluster.endpoint?.address : undefined;
      return {
        name: host.name,
        address: network.addresses.get(host.address) ?? host.address,
        image: this.#images.get(host.name)?.image ?? "",
        ...(foreign ? { also: network.addresses.get(foreign) ?? foreign } : {}),
      };
    });
    const { podSubnet, serviceSubnet } = cluster.kubernetes;
    const inside = [network.subnet, podSubnet, serviceSubnet];
    const common = {
      ...{ prefix, network: prefix, outside: network.outside, inside, publicKey, labels },
      ...{ mounts: options.mounts, signal: options.signal },
    };
    for (let at = 0; at < settings.length; at += 8) {
      const some = settings.slice(at, at + 8);
      // One that fails must not leave others that are being made while everything is cleared.
      const started = await Promise.allSettled(some.map((host) => startHost(engine, host, common)));
      for (const each of started) {
        if (each.status === "rejected") throw each.reason;
        this.#hosts.push(each.value);
      }
    }
    this.#identityFile = identityFile;
    return outside;
  }

  #identityFile = "";

  async #lookAll(): Promise<ReadonlyMap<string, Holdings>> {
    const { engine } = this.#given;
    const found = await Promise.all(
      this.#hosts.map(async (host) => [host.name, await holdingsOf(engine, host)] as const),
    );
    return new Map(found);
  }

  async #pullIdle(platform: string): Promise<Pulls | undefined> {
    const { engine, cluster, bundle, options } = this.#given;
    const { emit, signal } = options;
    const held = await this.#lookAll();
    const { lock, platforms } = bundle;
    return pullIdle(engine, { cluster, lock, platforms, hosts: this.#hosts, held, platform, emit, signal });
  }

  /** The installation as it will be on the far side, or of the old state and the way from there. */
  async #install(network: RehearsalNetwork): Promise<Ended> {
    const { options } = this.#given;
    const hostKeys = new Map(this.#hosts.map(({ name, hostKey }) => [name, hostKey]));
    const write = (file: string): string =>
      writeClusterFile(file, this.#folder, { network, identityFile: this.#identityFile, hostKeys });
    const clocks: StageClock[] = [];
    const common = (prefix: string) => {
      const clock = new StageClock(prefix);
      clocks.push(clock);
      return {
        ...{
          opening: options.opening,
          ignoreChecks: options.ignoreChecks,
          dryRun: false,
          signal: options.signal,
        },
        ...(options.patienceMs === undefined ? {} : { patienceMs: options.patienceMs }),
        emit: clock.through(options.emit),
      };
    };
    const ended: Ended = { stages: [] };
    try {
      const { from, parallel } = options;
      const first = from ?? options;
      ended.install = await install({
        ...{ clusterFile: write(first.clusterFile), bundle: first.bundle, parallel },
        ...common(from ? "before: " : ""),
      });
      if (from)
        ended.upgrade = await upgrade({
          ...{ clusterFile: write(options.clusterFile), bundle: options.bundle },
          ...{ workers: 1, drainTimeout: 600, ...common("upgrade: ") },
        });
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!isAirgapError(error)) throw error;
      ended.error = error;
    }
    ended.stages = clocks.flatMap((clock) => clock.end());
    return ended;
  }

  /** Without the names that are the cluster's own: a host that asks for itself asks for nobody outside. */
  #outsiders(attempts: Attempt[]): Attempt[] {
    const { cluster } = this.#given;
    const own = [
      ...[...this.#hosts.map(({ name }) => name), cluster.registry.host],
      ...[cluster.kubernetes.dnsDomain, "in-addr.arpa"],
    ];
    const isOwn = (name: string): boolean =>
      !name.includes(".") ||
      LOOP.test(name) ||
      own.some((each) => name === each || name.endsWith(`.${each}`));
    return attempts.filter(({ kind, to }) => kind === "address" || !isOwn(to));
  }

  #result(
    record: Rehearsal,
    { file, network, ended }: { file: string; network: RehearsalNetwork; ended: Ended },
  ): RehearsalResult {
    const { apiVersion: _, kind: __, ...rest } = record;
    return {
      ...rest,
      ...{ file, subnet: network.subnet, install: ended.install, upgrade: ended.upgrade },
      ...(network.mappedBecause ? { mappedBecause: network.mappedBecause } : {}),
      ...(this.#given.options.keep
        ? {
            kept: this.#hosts.map(({ name, id, address }) => ({
              host: name,
              container: id.slice(0, 12),
              ssh: `ssh -i ${this.#identityFile} root@${address}`,
            })),
          }
        : {}),
    };
  }

  /** The installation's own error, with what the rehearsal saw besides. */
  #failed(error: AirgapError, { failure, outside, file, kept }: RehearsalResult): AirgapError {
    const asked = outside.map(({ host, to, what }) => `${host} tried ${to} (${what})`);
    const lines = [
      `The rehearsal failed: ${failure}`,
      ...(asked.length > 0 ? [`Meanwhile ${someOf(asked)}`] : []),
      `Written: ${file}`,
    ];
    return new AirgapError(error.code, lines.join("\n"), {
      cause: error.cause,
      exit: error.exit,
      suggestions: [
        ...error.suggestions.filter((each) => !each.includes("it resumes here")),
        "Fix the cause, and rehearse again.",
        ...(kept ?? []).map(({ ssh }) => ssh),
      ],
      ...(error.ref ? { ref: error.ref } : {}),
      data: { ...error.data, file, outside },
    });
  }
}
