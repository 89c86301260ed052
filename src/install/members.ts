import type { Cluster } from "../cluster/cluster.ts";
import { nodesOf } from "../cluster/cluster.ts";
import type { Facts } from "../host/facts.ts";
import type { Host, RunOptions } from "../host/host.ts";
import { withLibrary } from "../plan/script.ts";
import type { Connections } from "../plan/session.ts";
import { call } from "../plan/shell.ts";
import { isExternal } from "./etcd/topology.ts";
import { isBare, standingPlanes } from "./standing.ts";

/** What a cluster knows of its parts. */
export interface Members {
  /** The control plane that was asked. */
  by: string;
  /** Names of Node objects. */
  nodes: string[];
  /** Addresses at which members of etcd talk to each other. */
  etcd: string[];
  /** Names of members that have started: their nodes'. */
  etcdNames: string[];
  /** Why the cluster gave no answer, or only a part. */
  unanswered?: string;
}

const ASKING_MS = 60_000;

/** `https://10.0.0.12:2380`, `https://[fd00::12]:2380`; several with commas between. */
const addressesIn = (urls: string): string[] =>
  urls.split(",").flatMap((url) => /^https?:\/\/(?:\[([^\]]+)\]|([^:/]+)):\d+$/.exec(url)?.slice(1) ?? []);

/** Reads what `show_members` prints. */
export function parseMembers(output: string): Pick<Members, "nodes" | "etcd" | "etcdNames"> {
  const words = output.split("\n").map((line) => line.trim().split(/\s+/));
  return {
    nodes: words.flatMap(([kind, name]) => (kind === "node" && name ? [name] : [])),
    etcd: words.flatMap(([kind, urls = ""]) => (kind === "etcd" ? addressesIn(urls).filter(Boolean) : [])),
    etcdNames: words.flatMap(([kind, , name]) => (kind === "etcd" && name ? [name] : [])),
  };
}

async function ask(host: Host, external: boolean, options: RunOptions): Promise<Members> {
  const asked = call("show_members", ...(external ? [] : [host.name]));
  const { code, stdout, stderr } = await host.run(withLibrary(asked), {
    timeoutMs: ASKING_MS,
    ...options,
  });
  const said = stderr.trim().split("\n").at(-1) || `kubectl ended with ${code}`;
  return { by: host.name, ...parseMembers(stdout), ...(code === 0 ? {} : { unanswered: said }) };
}

/**
 * Asks a control plane that stands what the cluster knows, where another host of the file is bare: only then
 * does it matter before anything is planned.
 */
export async function readMembers(
  cluster: Cluster,
  facts: Record<string, Facts>,
  connections: Connections,
  signal: AbortSignal | undefined,
): Promise<Members | undefined> {
  const [hand] = standingPlanes(cluster, facts);
  const bare = nodesOf(cluster).some(({ name }) => facts[name] && isBare(facts[name]));
  return hand && bare
    ? ask(connections.get(hand.name), isExternal(cluster), signal ? { signal } : {})
    : undefined;
}
