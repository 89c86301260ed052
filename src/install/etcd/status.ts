import { type Cluster, type ClusterHost, hostsOf } from "../../cluster/cluster.ts";
import type { Host } from "../../host/host.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { withLibrary } from "../../plan/script.ts";
import type { Session } from "../../plan/session.ts";
import { call } from "../../plan/shell.ts";
import { askGiven } from "./given.ts";

/** A member of etcd: of a host, or, when somebody else keeps it, of an endpoint. */
export interface EtcdMember {
  host: string;
  healthy: boolean;
  /** `3.6.5` */
  version?: string;
  leader?: boolean;
  /** It gets the data, and does not vote yet. */
  learner?: boolean;
  /** Bytes of its file, and those of them that are used. */
  size?: number;
  used?: number;
  /** `NOSPACE`, `CORRUPT`: of any member, as this one knows it. */
  alarms: string[];
  /** Why it is not healthy. */
  problem?: string;
}

const ASKING_MS = 30_000;

const number = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);

function statusIn(text: string): Omit<EtcdMember, "host" | "healthy" | "alarms"> {
  try {
    const [entry] = JSON.parse(text) as unknown[];
    const status = isRecord(entry) && isRecord(entry["Status"]) ? entry["Status"] : {};
    const header = isRecord(status["header"]) ? status["header"] : {};
    const [size, used] = [number(status["dbSize"]), number(status["dbSizeInUse"])];
    const leader = number(status["leader"]);
    return {
      ...(typeof status["version"] === "string" ? { version: status["version"] } : {}),
      // Both numbers lose the same last digits in JSON.
      ...(leader === undefined ? {} : { leader: leader !== 0 && leader === number(header["member_id"]) }),
      learner: status["isLearner"] === true,
      ...(size === undefined ? {} : { size }),
      ...(used === undefined ? {} : { used }),
    };
  } catch {
    return {};
  }
}

/** Reads what `show_etcd_status` prints. */
export function parseEtcdStatus(host: string, output: string): EtcdMember {
  const parts = new Map(
    output.split(/^=== /m).map((part): [string, string] => {
      const [name = "", ...lines] = part.split("\n");
      return [name, lines.join("\n").trim()];
    }),
  );
  const said = parts.get("health") ?? "";
  const healthy = /is healthy/.test(said);
  const alarms = [...(parts.get("alarms") ?? "").matchAll(/alarm:\s*([A-Z]+)/g)].map(([, name = ""]) => name);
  return {
    host,
    healthy,
    ...statusIn(parts.get("status") ?? ""),
    alarms: [...new Set(alarms)],
    ...(healthy ? {} : { problem: said.split("\n").at(-1) || "it gave no answer" }),
  };
}

async function ask(host: Host, signal: AbortSignal | undefined): Promise<EtcdMember> {
  const { stdout } = await host.run(withLibrary(call("show_etcd_status", host.name)), {
    timeoutMs: ASKING_MS,
    ...(signal ? { signal } : {}),
  });
  return parseEtcdStatus(host.name, stdout);
}

/** Hosts that have a member, in the order of the file. */
export const memberHosts = (cluster: Cluster): ClusterHost[] =>
  cluster.etcd.mode === "external"
    ? hostsOf(cluster, "etcd")
    : cluster.etcd.mode === "stacked"
      ? hostsOf(cluster, "control-plane")
      : [];

/** What each member says of itself that was reached. */
export async function etcdStatus(
  cluster: Cluster,
  session: Session<ClusterHost>,
  signal: AbortSignal | undefined,
): Promise<EtcdMember[]> {
  if (cluster.etcd.mode === "given") {
    const { endpoints } = await askGiven(cluster, cluster.etcd, signal);
    return endpoints.map(({ url, ...rest }) => ({ host: url, alarms: [], ...rest }));
  }
  const reached = memberHosts(cluster).filter(({ name }) => session.has(name));
  return Promise.all(reached.map(({ name }) => ask(session.get(name), signal)));
}

export const etcdProblems = (members: EtcdMember[]): string[] => [
  ...members.flatMap(({ host, healthy, problem }) => (healthy ? [] : [`etcd on ${host}: ${problem}`])),
  ...[...new Set(members.flatMap(({ alarms }) => alarms))].map((name) =>
    name === "NOSPACE"
      ? "etcd has no space left and takes no writes (alarm NOSPACE): docs/etcd.md"
      : `etcd has the alarm ${name}: docs/etcd.md`,
  ),
];
