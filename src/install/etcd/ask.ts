import { type Cluster, type ClusterHost, hostsOf } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import type { Host, RunOptions } from "../../host/host.ts";
import { withLibrary } from "../../plan/script.ts";
import type { Connections } from "../../plan/session.ts";
import { call } from "../../plan/shell.ts";
import type { EtcdFound, ListedMember } from "./found.ts";
import { askGiven } from "./given.ts";
import { DATA, isMember, registryPrefix } from "./topology.ts";

const ASKING_MS = 60_000;

/** Reads what `show_etcd` prints. */
export function parseEtcd(output: string): Pick<EtcdFound, "members" | "keys"> {
  const words = output.split("\n").map((line) => line.trim().split(/\s+/));
  const members = words.flatMap(([kind, id, , name, urls = "", vote]): ListedMember[] =>
    kind === "member" && id && /^[0-9a-f]+$/.test(id)
      ? [
          {
            id,
            ...(name && name !== "-" ? { name } : {}),
            peerUrls: urls.split(","),
            learner: vote === "learner",
          },
        ]
      : [],
  );
  const keys = words.find(([kind]) => kind === "keys")?.[1];
  return { members, ...(keys && /^\d+$/.test(keys) ? { keys: Number(keys) } : {}) };
}

async function askMember(
  cluster: Cluster,
  host: Host,
  options: RunOptions,
): Promise<Omit<EtcdFound, "sync">> {
  const { code, stdout, stderr } = await host.run(withLibrary(call("show_etcd", registryPrefix(cluster))), {
    timeoutMs: ASKING_MS,
    ...options,
  });
  const said = stderr.trim().split("\n").at(-1) || `etcdctl ended with ${code}`;
  return { by: host.name, ...parseEtcd(stdout), ...(code === 0 ? {} : { unanswered: said }) };
}

async function measure(
  host: Host,
  options: RunOptions,
): Promise<[string, { mean: number; slowest: number }][]> {
  const { stdout } = await host.run(withLibrary(call("measure_sync", DATA)), {
    timeoutMs: ASKING_MS,
    ...options,
  });
  const [, mean, slowest] = /^sync ([\d.]+) ([\d.]+)$/m.exec(stdout) ?? [];
  return mean && slowest ? [[host.name, { mean: Number(mean), slowest: Number(slowest) }]] : [];
}

/**
 * Asks the external etcd of a cluster, where there is one: its members by one that answers, and how fast the disks of
 * hosts are that are to become members. Changes nothing that stays.
 */
export async function askEtcd(
  cluster: Cluster,
  facts: Record<string, Facts>,
  connections: Connections,
  signal: AbortSignal | undefined,
): Promise<EtcdFound | undefined> {
  const options = signal ? { signal } : {};
  if (cluster.etcd.mode === "stacked") return undefined;
  if (cluster.etcd.mode === "given")
    return { members: [], sync: {}, given: await askGiven(cluster, cluster.etcd, signal) };
  const reached = hostsOf(cluster, "etcd").filter(({ name }) => facts[name]);
  const stand = (host: ClusterHost): boolean => isMember(cluster, host, facts[host.name]);
  const [answer, measured] = await Promise.all([
    askAny(cluster, reached.filter(stand), connections, options),
    Promise.all(
      reached.filter((host) => !stand(host)).map(({ name }) => measure(connections.get(name), options)),
    ),
  ]);
  return { ...answer, sync: Object.fromEntries(measured.flat()) };
}

async function askAny(
  cluster: Cluster,
  hosts: ClusterHost[],
  connections: Connections,
  options: RunOptions,
): Promise<Omit<EtcdFound, "sync">> {
  let last: Omit<EtcdFound, "sync"> = { members: [] };
  for (const { name } of hosts) {
    last = await askMember(cluster, connections.get(name), options);
    if (last.unanswered === undefined) return last;
  }
  return last;
}
