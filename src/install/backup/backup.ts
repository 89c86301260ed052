import { createHash } from "node:crypto";
import { createWriteStream, existsSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { hostsOf } from "../../cluster/cluster.ts";
import { type ConnectOptions, openerFor } from "../../cluster/connect.ts";
import { readCluster } from "../../cluster/read.ts";
import { AirgapError, messageOf } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { RunLog } from "../../plan/log.ts";
import { Mask } from "../../plan/mask.ts";
import { Session } from "../../plan/session.ts";
import { call } from "../../plan/shell.ts";
import { StateDir } from "../../plan/state-dir.ts";
import { memberHosts } from "../etcd/status.ts";
import { Backup, type BackupAbout, backupBytes, entriesOf } from "./archive.ts";
import { fetched, firstOf, type Hands, keepers, runOn } from "./hand.ts";

export interface BackupOptions extends ConnectOptions {
  clusterFile: string;
  /** The file that it becomes. */
  output: string;
  emit: Emit;
}

export interface BackupResult {
  cluster: string;
  file: string;
  /** Bytes. */
  size: number;
  /** `sha256:…` of the whole file. */
  digest: string;
  taken: string;
  kubernetes: string;
  etcd: BackupAbout["etcd"];
  /** Whose member wrote the snapshot. */
  by: string;
}

const FOLDER = "/var/lib/airgap/backup";
const SNAPSHOT_FILE = `${FOLDER}/snapshot.db`;
const SNAPSHOT_MS = 900_000;

interface Snapshot {
  host: string;
  revision: number;
  version: string;
  size: number;
}

async function takeSnapshot(hands: Hands, host: string): Promise<Snapshot> {
  const { stdout } = await runOn(hands, host, call("take_snapshot", host, SNAPSHOT_FILE), SNAPSHOT_MS);
  const [, revision, version, size] = /^snapshot (\d+) ([\w.-]+) (\d+)$/m.exec(stdout) ?? [];
  if (revision && version && size) return { host, revision: Number(revision), version, size: Number(size) };
  throw new AirgapError("protocol", `${host}: the snapshot was taken, and it does not say which revision`);
}

/** Keys and settings of a control plane, by name. */
async function controlPlaneFiles(hands: Hands, host: string): Promise<Map<string, Buffer>> {
  const { stdout } = await runOn(hands, host, call("print_control_plane", `${FOLDER}/control-plane`));
  const tar = Buffer.from(stdout.trim(), "base64");
  const entries = entriesOf((offset, size) => tar.subarray(offset, offset + size), tar.length, host);
  if (!entries.has("pki/ca.key"))
    throw new AirgapError("refused", `${host} has no keys of a control plane in /etc/kubernetes/pki`);
  return new Map([...entries].map(([name, { offset, size }]) => [name, tar.subarray(offset, offset + size)]));
}

/**
 * Writes etcd's snapshot, the control plane's keys and settings and the cluster file into one file that only its owner can
 * read, and reads it again.
 * @throws AirgapError `usage` when the file is there already
 */
export async function backup(options: BackupOptions): Promise<BackupResult> {
  const { clusterFile, output, emit, signal } = options;
  const cluster = await readCluster(clusterFile);
  const hosts = keepers(cluster);
  if (existsSync(output))
    throw new AirgapError("usage", `${output} is there already`, { suggestions: ["choose another name"] });
  const home = StateDir.open(cluster);
  const log = new RunLog(home, new Mask([]));
  const { session } = await Session.reach(hosts, openerFor(home, options));
  const hands: Hands = { session, log, signal };
  const reached = hosts.filter(({ name }) => session.has(name));
  try {
    emit({ type: "phase", name: "snapshot" });
    const taken = new Date().toISOString();
    const members = memberHosts(cluster).filter((host) => reached.includes(host));
    const snapshot = await firstOf(members, ({ name }) => takeSnapshot(hands, name));
    emit({ type: "phase", name: "keys" });
    const planes = hostsOf(cluster, "control-plane").filter((host) => reached.includes(host));
    const files = await firstOf(planes, ({ name }) => controlPlaneFiles(hands, name));
    files.set("cluster.yaml", readFileSync(clusterFile));
    const about: BackupAbout = {
      apiVersion: "airgap/v1",
      kind: "Backup",
      cluster: cluster.name,
      taken,
      kubernetes: cluster.kubernetes.version,
      etcd: {
        mode: cluster.etcd.mode === "external" ? "external" : "stacked",
        version: snapshot.version,
        revision: snapshot.revision,
      },
    };
    emit({ type: "phase", name: "write", detail: output });
    const bytes = fetched(hands, snapshot.host, SNAPSHOT_FILE, snapshot.size);
    const digest = await write(output, backupBytes(about, files, { size: snapshot.size, bytes }), signal);
    await runOn(hands, snapshot.host, call("remove_file", SNAPSHOT_FILE));
    return {
      cluster: cluster.name,
      file: output,
      size: statSync(output).size,
      digest,
      taken,
      kubernetes: about.kubernetes,
      etcd: about.etcd,
      by: snapshot.host,
    };
  } finally {
    await session.close();
    log.close();
  }
}

/** Writes beside, reads all of it again, and only then gives it its name. */
async function write(
  output: string,
  bytes: AsyncIterable<Buffer>,
  signal: AbortSignal | undefined,
): Promise<string> {
  const part = `${output}.part`;
  const hash = createHash("sha256");
  rmSync(part, { force: true });
  try {
    const hashed = async function* () {
      for await (const chunk of bytes) {
        hash.update(chunk);
        yield chunk;
      }
    };
    await pipeline(
      Readable.from(hashed(), { objectMode: false }),
      createWriteStream(part, { mode: 0o600, flags: "wx" }),
      {
        ...(signal ? { signal } : {}),
      },
    );
    Backup.open(part).close();
    renameSync(part, output);
    return `sha256:${hash.digest("hex")}`;
  } catch (cause) {
    rmSync(part, { force: true });
    if (cause instanceof AirgapError) throw cause;
    signal?.throwIfAborted();
    throw new AirgapError("disk", `Cannot write ${output}: ${messageOf(cause)}`, { cause });
  }
}
