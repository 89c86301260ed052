import type { Opening } from "../bundle/reader.ts";
import {
  type Cluster,
  type ClusterHost,
  hostsOf,
  namedHosts,
  nodesOf,
  registryName,
  serversOf,
} from "../cluster/cluster.ts";
import { type ConnectOptions, openerFor } from "../cluster/connect.ts";
import { readCluster } from "../cluster/read.ts";
import { AirgapError, isAirgapError } from "../errors.ts";
import type { Host } from "../host/host.ts";
import { rulesOf } from "../kubernetes/rules.ts";
import { withLibrary } from "../plan/script.ts";
import { joined, Session } from "../plan/session.ts";
import { call } from "../plan/shell.ts";
import { StateDir } from "../plan/state-dir.ts";
import { askJson, at, items, type Json, list, text } from "./ask.ts";
import { type EndpointStatus, endpointProblems, endpointStatus } from "./balancer-status.ts";
import { balancersOf } from "./balancers.ts";
import { readBundle } from "./bundle.ts";
import { byEnd, certificateProblems, certificatesOf, type HostCertificate } from "./certificates/read.ts";
import { type EtcdMember, etcdProblems, etcdStatus, memberHosts } from "./etcd/status.ts";
import { type HarborStatus, harborHosts, harborStatus } from "./harbor/status.ts";
import { DASHBOARD_ADMIN } from "./stages/dashboard.ts";
import { type DiskStatus, diskProblems, disksIn, markProblems } from "./status-differences.ts";
import { type ImageStatus, imageProblems, imageStatus } from "./status-images.ts";

export interface StatusOptions extends ConnectOptions {
  clusterFile: string;
  hosts?: string[];
  /** Compares the images of pods with this bundle. */
  bundle?: string;
  opening?: Opening | undefined;
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
  certificates: HostCertificate[];
  /** Every member of etcd that was asked. */
  etcd: EtcdMember[];
  /** Where each node's runtime looks for images: only at the site's registry, or elsewhere too. */
  origins: { host: string; onlySite: boolean; others: string[] }[];
  /** Where load balancers of the cluster file hold its addresses. */
  endpoint?: EndpointStatus;
  /** With registry.mode harbor, where its host was asked. */
  harbor?: HarborStatus;
  /** Free space where Kubernetes writes. */
  disks: DiskStatus[];
  /** With a bundle: what the cluster uses beside it. */
  images?: ImageStatus;
  /** What differs from the cluster file and the bundle: labels, taints, images. */
  differences: string[];
  /** Hosts that could not be asked, and why. */
  unreachable: { host: string; message: string }[];
  problems: string[];
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
    .filter((each): each is Json => typeof each === "object" && each !== null)
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

function origin(cluster: Cluster, host: string, output: string): ClusterStatus["origins"][number] {
  const { registry } = cluster;
  const names = [registry.host, ...serversOf(cluster).map(({ name }) => name)];
  const site = names.map((name) => `${registry.scheme}://${registryName({ ...registry, host: name })}`);
  const others = [...new Set(output.split("\n").filter(Boolean))].filter(
    (url) => !site.some((own) => url === own || url.startsWith(`${own}/`)),
  );
  return { host, onlySite: others.length === 0, others };
}

function problemsOf(status: Omit<ClusterStatus, "problems" | "healthy">, cluster: Cluster): string[] {
  const { nodes, pods, certificates, etcd, origins, disks, differences, endpoint, harbor, unreachable } =
    status;
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
    ...(endpoint ? endpointProblems(endpoint, cluster) : []),
    ...differences,
    ...diskProblems(disks),
    ...pods.notReady.map(podProblem),
    ...(harbor?.problems ?? []),
    ...certificateProblems(certificates),
    ...etcdProblems(etcd),
    ...origins.flatMap(({ host, others }) =>
      others.length === 0 ? [] : [`${host} also looks for images at ${others.join(", ")}`],
    ),
  ];
}

interface Reached {
  session: Session<ClusterHost>;
  /** Control planes that were reached; at least one. */
  planes: ClusterHost[];
  /** Nodes of those that are asked. */
  asked: ClusterHost[];
  /** Load balancers of those that are asked. */
  balancers: ClusterHost[];
  unreachable: ClusterStatus["unreachable"];
}

/** Members of etcd that are not nodes as well. */
const membersApart = (cluster: Cluster): ClusterHost[] =>
  memberHosts(cluster).filter((host) => !nodesOf(cluster).includes(host));

/**
 * Opens the hosts that are asked: all nodes, load balancers and members of etcd, or those named; and the control planes, any
 * of which speaks for the cluster.
 */
async function reach(cluster: Cluster, options: StatusOptions): Promise<Reached> {
  const all = hostsOf(cluster, "control-plane");
  const named = { ...cluster, hosts: namedHosts(cluster, options.hosts) };
  const nodes = nodesOf(named);
  const balancers = balancersOf(cluster).filter((host) => named.hosts.includes(host));
  const registries = harborHosts(cluster).filter((host) => named.hosts.includes(host));
  const open = openerFor(StateDir.open(cluster), options);
  const meant = [...new Set([...nodes, ...membersApart(named), ...balancers, ...registries])];
  const { session, failures } = await Session.reach([...new Set([...all, ...meant])], open, options);
  const planes = all.filter(({ name }) => session.has(name));
  if (planes.length === 0) {
    await session.close();
    throw joined(all.flatMap(({ name }) => failures[name] ?? []));
  }
  return {
    session,
    planes,
    asked: nodes.filter(({ name }) => session.has(name)),
    balancers: balancers.filter(({ name }) => session.has(name)),
    unreachable: meant.flatMap(({ name }) =>
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
      return { control, answer: await askJson(control, command, signal) };
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
  const { bundle, opening, signal } = options;
  const lock = bundle === undefined ? undefined : (await readBundle(bundle, signal, opening)).lock;
  const reached = await reach(cluster, options);
  const { session, asked, balancers, unreachable } = reached;
  const named = (name: string): boolean => options.hosts === undefined || options.hosts.includes(name);
  try {
    const nodesAsked = call("kubectl", "get", "nodes", "-o", "json");
    const { control, answer: nodes } = await askAny(reached, nodesAsked, options.signal);
    const [pods, images, endpoint, certificates, etcd, origins, harbor, disks] = await Promise.all([
      askJson(control, call("kubectl", "get", "pods", "--all-namespaces", "-o", "json"), options.signal),
      lock && imageStatus(cluster, control, lock, options.signal),
      endpointStatus(cluster, balancers, session, options.signal),
      Promise.all(
        cluster.hosts
          .filter(({ name }) => session.has(name) && named(name))
          .map(({ name }) => certificatesOf(session.get(name))),
      ),
      etcdStatus(cluster, session, options.signal),
      Promise.all(
        asked.map(async ({ name }) =>
          origin(cluster, name, await print(session.get(name), "show_image_origins")),
        ),
      ),
      harborStatus(cluster, session, options.signal),
      Promise.all(asked.map(async ({ name }) => disksIn(name, await print(session.get(name), "show_disks")))),
    ]);
    const meant = { ...cluster, hosts: namedHosts(cluster, options.hosts) };
    const found = {
      cluster: cluster.name,
      version: cluster.kubernetes.version,
      nodes: items(nodes)
        .map(nodeStatus)
        .filter(({ name }) => named(name)),
      pods: podStates(items(pods)),
      certificates: byEnd(certificates.flat()),
      etcd,
      origins,
      ...(endpoint ? { endpoint } : {}),
      ...(harbor ? { harbor } : {}),
      disks: disks.flat(),
      ...(images ? { images } : {}),
      differences: [...markProblems(meant, items(nodes)), ...(images ? imageProblems(images) : [])],
      unreachable,
    };
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
