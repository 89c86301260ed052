import { type Cluster, type ClusterHost, hostsOf } from "../../cluster/cluster.ts";
import { AirgapError } from "../../errors.ts";
import type { RunContext } from "../../plan/execute.ts";
import { withLibrary } from "../../plan/script.ts";
import { call } from "../../plan/shell.ts";
import { emptyGiven } from "./given.ts";
import { peerUrl, registryPrefix } from "./topology.ts";

type Work = Omit<RunContext, "record" | "mask">;

/** What a reset removed from an external etcd. */
export interface EmptiedEtcd {
  /** `members`: they are gone with all data; `prefix`: the etcd stays, without the keys of this cluster. */
  emptied: "members" | "prefix";
  /** Hosts whose members are gone. */
  hosts?: string[];
  /** Below which key nothing is left, and how many keys that were. */
  prefix?: string;
  keys?: number;
}

const MEMBER_MS = 120_000;
/** What `remove_etcd_member` ends with for a member that etcd does not know. */
const UNKNOWN = 44;

const isMemberHost = ({ roles }: ClusterHost): boolean => roles.includes("etcd");

/** Members that stay when these hosts leave, any of which speaks for etcd. */
export const stayingMembers = (cluster: Cluster, leaving: readonly ClusterHost[]): ClusterHost[] =>
  cluster.etcd.mode === "external"
    ? hostsOf(cluster, "etcd").filter((host) => !leaving.some(({ name }) => name === host.name))
    : [];

/** Runs a call on the first of several hosts on which it does not fail. @throws AirgapError `step-failed` with what each said */
async function byAny(
  hands: ClusterHost[],
  what: string,
  script: string,
  { connections, log, signal }: Work,
  fine: readonly (number | null)[] = [0],
): Promise<{ code: number | null; stdout: string }> {
  const said: string[] = [];
  for (const { name } of hands) {
    const { code, stdout, stderr } = await connections.get(name).run(withLibrary(script), {
      timeoutMs: MEMBER_MS,
      ...(signal ? { signal } : {}),
    });
    log.output(name, stdout + stderr);
    if (fine.includes(code)) return { code, stdout };
    said.push(`${name}: ${stderr.trim() || `it ended with ${code}`}`);
  }
  throw new AirgapError(
    "step-failed",
    `${what}:\n  ${said.join("\n  ") || "no member of etcd is left to ask"}`,
    {
      suggestions: [`on ${hands[0]?.name ?? "a member"}: journalctl -u etcd -n 50`],
    },
  );
}

/**
 * The members that stay forget those that leave, one by one, before they are emptied: a member that is gone and not
 * forgotten still counts for the majority.
 * @param hands members that stay and were reached
 */
export async function leaveEtcd(leaving: ClusterHost[], hands: ClusterHost[], work: Work): Promise<void> {
  if (hands.length === 0) return;
  for (const host of leaving.filter(isMemberHost)) {
    work.emit({ type: "phase", name: "etcd", detail: `${host.name} leaves` });
    const { code } = await byAny(
      hands,
      `etcd cannot do without ${host.name}`,
      call("remove_etcd_member", host.name, peerUrl(host)),
      work,
      [0, UNKNOWN],
    );
    if (code === UNKNOWN) work.emit({ type: "note", message: `${host.name}: etcd does not know it` });
  }
}

/**
 * What is left of a cluster in its external etcd after its last control plane was reset: members are emptied with their
 * hosts, an etcd that stays loses the cluster's keys.
 * @returns undefined where control planes stay, or where etcd is on them
 */
export async function emptyEtcd(
  cluster: Cluster,
  leaving: ClusterHost[],
  hands: ClusterHost[],
  work: Work,
): Promise<EmptiedEtcd | undefined> {
  const gone = new Set(leaving.map(({ name }) => name));
  if (
    cluster.etcd.mode === "stacked" ||
    hostsOf(cluster, "control-plane").some(({ name }) => !gone.has(name))
  )
    return undefined;
  const prefix = registryPrefix(cluster);
  if (cluster.etcd.mode === "given")
    return { emptied: "prefix", prefix, keys: await emptySettings(cluster, work) };
  if (stayingMembers(cluster, leaving).length === 0)
    return { emptied: "members", hosts: leaving.filter(isMemberHost).map(({ name }) => name) };
  const { stdout } = await byAny(
    hands,
    `the keys below ${prefix} cannot be deleted`,
    call("clear_etcd", prefix),
    work,
  );
  return { emptied: "prefix", prefix, keys: Number(/^\d+/.exec(stdout)?.[0] ?? 0) };
}

async function emptySettings(cluster: Cluster, { signal }: Work): Promise<number> {
  if (cluster.etcd.mode !== "given") return 0;
  const prefix = registryPrefix(cluster);
  try {
    return await emptyGiven(cluster, cluster.etcd, signal);
  } catch (cause) {
    signal?.throwIfAborted();
    throw new AirgapError(
      "step-failed",
      `The hosts are reset, but the keys below ${prefix} are still in etcd: it does not answer this machine`,
      {
        cause,
        suggestions: [
          `delete them from a machine that reaches it: etcdctl --endpoints ${cluster.etcd.endpoints.join(",")} --cacert ${cluster.etcd.caFile} --cert ${cluster.etcd.certFile} --key ${cluster.etcd.keyFile} del --prefix ${prefix}`,
        ],
      },
    );
  }
}
