import { X509Certificate } from "node:crypto";
import {
  type Cluster,
  type ClusterHost,
  hostsOf,
  namedHosts,
  nodesOf,
  registryName,
} from "../cluster/cluster.ts";
import { type ConnectOptions, openerFor } from "../cluster/connect.ts";
import { readCluster } from "../cluster/read.ts";
import { AirgapError, isAirgapError } from "../errors.ts";
import type { Host } from "../host/host.ts";
import { rulesOf } from "../kubernetes/rules.ts";
import { isRecord } from "../oci/descriptor.ts";
import { withLibrary } from "../plan/script.ts";
import { joined, Session } from "../plan/session.ts";
import { call } from "../plan/shell.ts";
import { StateDir } from "../plan/state-dir.ts";
import { DASHBOARD_ADMIN } from "./stages/dashboard.ts";

export interface StatusOptions extends ConnectOptions {
  clusterFile: string;
  hosts?: string[];
}

export interface NodeStatus {
  name: string;
  /** `control-plane`, `worker` */
  roles: string[];
  ready: boolean;
  address: string;
  version: string;
  /** `containerd://1.6.20` */
  runtime: string;
  /** Why it is not ready, and its pressures: `DiskPressure`. */
  conditions: string[];
}

export interface UnreadyPod {
  namespace: string;
  name: string;
  state: string;
  /** Absent while it has none. */
  node?: string;
  /** What the cluster says of why: `0/2 nodes are available: …`. */
  reason?: string;
}

export interface ClusterStatus {
  cluster: string;
  version: string;
  /** Everything is as it should be. */
  healthy: boolean;
  nodes: NodeStatus[];
  pods: { total: number; notReady: UnreadyPod[] };
  /** The one that ends first comes first. */
  certificates: { host: string; name: string; days: number }[];
  /** Where each node's runtime looks for images: only at the site's registry, or elsewhere too. */
  origins: { host: string; onlySite: boolean; others: string[] }[];
  /** Hosts that could not be asked, and why. */
  unreachable: { host: string; message: string }[];
  problems: string[];
}

const SOON = 30;
const DAY = 86_400_000;

type Json = Record<string, unknown>;
const at = (value: unknown, ...path: (string | number)[]): unknown =>
  path.reduce<unknown>(
    (inner, key) => (Array.isArray(inner) ? inner[key as number] : isRecord(inner) ? inner[key] : undefined),
    value,
  );
const text = (value: unknown): string => (typeof value === "string" ? value : "");
const list = (value: unknown, ...path: (string | number)[]): Json[] => {
  const found = at(value, ...path);
  return Array.isArray(found) ? found.filter(isRecord) : [];
};
const items = (value: unknown): Json[] => list(value, "items");

async function json(host: Host, command: string, signal?: AbortSignal): Promise<unknown> {
  const { code, stdout, stderr } = await host.run(withLibrary(command), {
    timeoutMs: 60_000,
    ...(signal ? { signal } : {}),
  });
  if (code !== 0) {
    throw new AirgapError(
      "refused",
      `${host.name}: the cluster does not answer: ${stderr.trim() || `kubectl ended with ${code}`}`,
      {
        suggestions: [
          "if it was never installed: airgap install CLUSTER --bundle BUNDLE",
          `on ${host.name}: journalctl -u kubelet -n 50`,
        ],
      },
    );
  }
  try {
    return JSON.parse(stdout) as unknown;
  } catch (cause) {
    throw new AirgapError("protocol", `${host.name}: the output of kubectl is not JSON`, { cause });
  }
}

const print = async (host: Host, name: string): Promise<string> =>
  (await host.run(withLibrary(call(name)))).stdout;

function nodeStatus(node: Json): NodeStatus {
  const conditions = list(node, "status", "conditions");
  const ready = conditions.find(({ type }) => type === "Ready");
  const pressing = conditions
    .filter(({ type, status }) => type !== "Ready" && status === "True")
    .map(({ type }) => text(type));
  const labels = Object.keys(at(node, "metadata", "labels") ?? {});
  const roles = labels.flatMap((label) => /^node-role\.kubernetes\.io\/(.+)$/.exec(label)?.[1] ?? []);
  const addresses = list(node, "status", "addresses");
  return {
    name: text(at(node, "metadata", "name")),
    roles: roles.length > 0 ? roles : ["worker"],
    ready: ready?.["status"] === "True",
    address: text(addresses.find(({ type }) => type === "InternalIP")?.["address"]),
    version: text(at(node, "status", "nodeInfo", "kubeletVersion")),
    runtime: text(at(node, "status", "nodeInfo", "containerRuntimeVersion")),
    conditions: [...(ready?.["status"] === "True" ? [] : [text(ready?.["message"])]), ...pressing],
  };
}

function podStates(pods: Json[]): ClusterStatus["pods"] {
  const notReady = pods.flatMap((pod) => {
    const phase = text(at(pod, "status", "phase"));
    const conditions = list(pod, "status", "conditions");
    const ready = conditions.some(({ type, status }) => type === "Ready" && status === "True");
    if (phase === "Succeeded" || (phase === "Running" && ready)) return [];
    return [unready(pod, phase)];
  });
  return { total: pods.length, notReady };
}

function unready(pod: Json, phase: string): UnreadyPod {
  const statuses = ["initContainerStatuses", "containerStatuses"].flatMap((key) => list(pod, "status", key));
  const stuck = statuses
    .flatMap((status) => [at(status, "state", "waiting"), at(status, "state", "terminated")])
    .filter(isRecord)
    .find(({ reason }) => text(reason) !== "" && reason !== "PodInitializing" && reason !== "Completed");
  const unmet = list(pod, "status", "conditions").filter(({ status }) => status === "False");
  const said = [stuck, ...unmet, at(pod, "status")].map((each) => text(at(each, "message"))).find(Boolean);
  const node = text(at(pod, "spec", "nodeName"));
  return {
    namespace: text(at(pod, "metadata", "namespace")),
    name: text(at(pod, "metadata", "name")),
    state: text(stuck?.["reason"]) || text(at(pod, "status", "reason")) || phase,
    ...(node ? { node } : {}),
    ...(said ? { reason: said } : {}),
  };
}

const podProblem = ({ namespace, name, state, node, reason }: UnreadyPod): string =>
  `${namespace}/${name}${node ? ` on ${node}` : ""}: ${state}${reason ? ` (${reason})` : ""}`;

function readCertificates(host: string, output: string, now: number): ClusterStatus["certificates"] {
  return output
    .split(/^=== /m)
    .slice(1)
    .flatMap((part) => {
      const [name = "", ...lines] = part.split("\n");
      try {
        const { validTo } = new X509Certificate(lines.join("\n"));
        return [{ host, name, days: Math.floor((Date.parse(validTo) - now) / DAY) }];
      } catch {
        return [];
      }
    });
}

function origin(cluster: Cluster, host: string, output: string): ClusterStatus["origins"][number] {
  const site = `${cluster.registry.scheme}://${registryName(cluster.registry)}`;
  const others = [...new Set(output.split("\n").filter(Boolean))].filter(
    (url) => url !== site && !url.startsWith(`${site}/`),
  );
  return { host, onlySite: others.length === 0, others };
}

function problemsOf(status: Omit<ClusterStatus, "problems" | "healthy">, cluster: Cluster): string[] {
  const { nodes, pods, certificates, origins, unreachable } = status;
  const known = new Set(nodes.map(({ name }) => name));
  return [
    ...unreachable.map(({ message }) => message),
    ...nodesOf(cluster).flatMap(({ name }) => (known.has(name) ? [] : [`${name} is not in the cluster`])),
    ...nodes.flatMap(({ name, ready, conditions }) =>
      ready && conditions.length === 0 ? [] : [`${name}: ${conditions.join(", ") || "not ready"}`],
    ),
    ...nodes.flatMap(({ name, version }) =>
      version === cluster.kubernetes.version
        ? []
        : [`${name} is at ${version}, not ${cluster.kubernetes.version}`],
    ),
    ...pods.notReady.map(podProblem),
    ...certificates
      .filter(({ days }) => days < SOON)
      .map(({ host, name, days }) => `${host}: ${name} expires in ${days} days`),
    ...origins.flatMap(({ host, others }) =>
      others.length === 0 ? [] : [`${host} also looks for images at ${others.join(", ")}`],
    ),
  ];
}

interface Reached {
  session: Session<ClusterHost>;
  /** Control planes that were reached; at least one. */
  planes: ClusterHost[];
  /** Of those that are asked. */
  asked: ClusterHost[];
  unreachable: ClusterStatus["unreachable"];
}

/** Opens the hosts that are asked: all nodes, or those named; and the control planes, any of which speaks for the cluster. */
async function reach(cluster: Cluster, options: StatusOptions): Promise<Reached> {
  const all = hostsOf(cluster, "control-plane");
  const asked = nodesOf({ ...cluster, hosts: namedHosts(cluster, options.hosts) });
  const open = openerFor(StateDir.open(cluster), options);
  const { session, failures } = await Session.reach([...new Set([...all, ...asked])], open);
  const planes = all.filter(({ name }) => session.has(name));
  if (planes.length === 0) {
    await session.close();
    throw joined(all.flatMap(({ name }) => failures[name] ?? []));
  }
  return {
    session,
    planes,
    asked: asked.filter(({ name }) => session.has(name)),
    unreachable: asked.flatMap(({ name }) =>
      failures[name] ? [{ host: name, message: failures[name].message }] : [],
    ),
  };
}

/** The first control plane whose API answers, with its answer. @throws AirgapError what the last one said */
async function askAny(
  { session, planes }: Reached,
  command: string,
  signal: AbortSignal | undefined,
): Promise<{ control: Host; answer: unknown }> {
  let last: unknown;
  for (const { name } of planes) {
    const control = session.get(name);
    try {
      return { control, answer: await json(control, command, signal) };
    } catch (error) {
      if (!isAirgapError(error)) throw error;
      last = error;
    }
  }
  throw last;
}

/** The state of a cluster: nodes, pods, certificates, and where its images come from. Changes nothing. */
export async function status(options: StatusOptions): Promise<ClusterStatus> {
  const cluster = await readCluster(options.clusterFile);
  const reached = await reach(cluster, options);
  const { session, asked, unreachable } = reached;
  try {
    const nodesAsked = call("kubectl", "get", "nodes", "-o", "json");
    const { control, answer: nodes } = await askAny(reached, nodesAsked, options.signal);
    const planes = asked.filter(({ roles }) => roles.includes("control-plane"));
    const [pods, certificates, origins] = await Promise.all([
      json(control, call("kubectl", "get", "pods", "--all-namespaces", "-o", "json"), options.signal),
      Promise.all(
        planes.map(async ({ name }) =>
          readCertificates(name, await print(session.get(name), "show_certificates"), Date.now()),
        ),
      ),
      Promise.all(
        asked.map(async ({ name }) =>
          origin(cluster, name, await print(session.get(name), "show_image_origins")),
        ),
      ),
    ]);
    const found = {
      cluster: cluster.name,
      version: cluster.kubernetes.version,
      nodes: items(nodes)
        .map(nodeStatus)
        .filter(({ name }) => options.hosts === undefined || options.hosts.includes(name)),
      pods: podStates(items(pods)),
      certificates: certificates.flat().sort((a, b) => a.days - b.days),
      origins,
      unreachable,
    };
    const meant = { ...cluster, hosts: namedHosts(cluster, options.hosts) };
    const problems = problemsOf(found, meant);
    return { ...found, healthy: problems.length === 0, problems };
  } finally {
    await session.close();
  }
}

/** The values of `--token`, each with its account. */
const ACCOUNTS: Record<string, string> = { dashboard: DASHBOARD_ADMIN };

/**
 * A token for a login at an add-on. From 1.24 on it is made for one day; before, the account has one.
 * @throws AirgapError `usage`, `not-found`
 */
export async function token(options: StatusOptions & { name: string }): Promise<string> {
  const account = ACCOUNTS[options.name];
  if (account === undefined)
    throw new AirgapError("usage", `There are no tokens for '${options.name}'`, {
      suggestions: Object.keys(ACCOUNTS).map((name) => `--token ${name}`),
    });
  const cluster = await readCluster(options.clusterFile);
  const { session, planes } = await reach(cluster, { ...options, hosts: [] });
  try {
    const host = session.get(planes[0]?.name ?? "");
    const how = rulesOf(cluster.kubernetes.version).tokensByRequest ? "request" : "secret";
    const { code, stdout, stderr } = await host.run(withLibrary(call("account_token", account, how)), {
      timeoutMs: 60_000,
      ...(options.signal ? { signal: options.signal } : {}),
    });
    if (code === 44)
      throw new AirgapError("not-found", `The cluster has no ${options.name}`, {
        suggestions: [`add it to the cluster file and install again: addons: [${options.name}]`],
      });
    if (code !== 0 || stdout.trim() === "")
      throw new AirgapError("refused", `${host.name}: the cluster gave no token: ${stderr.trim()}`);
    return stdout.trim();
  } finally {
    await session.close();
  }
}
