import { type Cluster, hostsOf } from "../../cluster/cluster.ts";
import type { RunOptions } from "../../host/host.ts";
import { withLibrary } from "../../plan/script.ts";
import type { Connections } from "../../plan/session.ts";
import { call } from "../../plan/shell.ts";

/** What the registry host says of a Harbor, before anything is planned. */
export interface HarborHost {
  /** Of `docker compose`, or of docker-compose: `2.40.1`, `1.29.2`. */
  compose?: string;
  /** Containers with the fixed names of Harbor's that another folder's Harbor, or something else, made. */
  foreign: string[];
  /** Versions of PostgreSQL whose databases are in the data folder. */
  postgres: number[];
  /** There is a database that airgap has not made: its password is not known. */
  foreignDatabase: boolean;
  /** A folder where Harbor goes, which airgap did not make. */
  foreignFolder?: string;
  /** Free space of the data folder and of Docker's; KiB, with mount point and type of file system. */
  data?: FreeSpace;
  docker?: FreeSpace;
}

export interface FreeSpace {
  kib: number;
  mount: string;
  type: string;
}

const ASKING_MS = 60_000;

function freeIn(words: string[] | undefined): FreeSpace | undefined {
  const [kib = "", type = "", mount = ""] = words ?? [];
  return /^\d+$/.test(kib) && mount !== "" ? { kib: Number(kib), mount, type } : undefined;
}

/** Reads what `show_harbor` prints: a word and its values, one a line. */
export function parseHarborHost(output: string): HarborHost {
  const lines = output.split("\n").map((line) => line.trim().split(/\s+/));
  const all = (name: string): string[][] =>
    lines.flatMap(([first, ...rest]) => (first === name ? [rest] : []));
  const compose = /^v?(\d+(?:\.\d+)+)/.exec(all("compose")[0]?.[0] ?? "")?.[1];
  const folder = all("foreign-folder")[0]?.[0];
  const [data, docker] = [freeIn(all("data")[0]), freeIn(all("docker")[0])];
  return {
    foreign: all("container").flatMap(([name]) => name ?? []),
    postgres: all("postgres").flatMap(([version]) => (/^\d+$/.test(version ?? "") ? [Number(version)] : [])),
    foreignDatabase: all("foreign-database").length > 0,
    ...(compose ? { compose } : {}),
    ...(folder ? { foreignFolder: folder } : {}),
    ...(data ? { data } : {}),
    ...(docker ? { docker } : {}),
  };
}

/** Asks the registry host, where Harbor is installed there and the host was reached. */
export async function readHarborHost(
  cluster: Cluster,
  session: Connections & { has(name: string): boolean },
  signal: AbortSignal | undefined,
): Promise<HarborHost | undefined> {
  const [host] = hostsOf(cluster, "registry");
  const { harbor } = cluster.registry;
  if (harbor === undefined || host === undefined || !session.has(host.name)) return undefined;
  const options: RunOptions = { timeoutMs: ASKING_MS, ...(signal ? { signal } : {}) };
  const { stdout } = await session.get(host.name).run(withLibrary(call("show_harbor", harbor.data)), options);
  return parseHarborHost(stdout);
}
