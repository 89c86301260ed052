import { parse } from "yaml";
import { isAirgapError } from "../../errors.ts";
import type { Host } from "../../host/host.ts";
import { API_REMOVALS, type ApiRemoval } from "../../kubernetes/upgrade.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { withLibrary } from "../../plan/script.ts";
import { call } from "../../plan/shell.ts";
import { askJson, at, items, type Json, text } from "../ask.ts";

/** A node, as the cluster's API tells of it. */
export interface NodeState {
  name: string;
  /** kubelet's version: `v1.28.2`. */
  version: string;
  ready: boolean;
  plane: boolean;
  /** Its containers run in Docker. */
  docker: boolean;
  /** An upgrade has drained it and has not let it take pods again. */
  marked: boolean;
}

/** What a running cluster says of itself, read once before an upgrade is planned. */
export interface ClusterState {
  /** The control plane that was asked. */
  by: string;
  nodes: NodeState[];
  /** `kubernetesVersion` of kubeadm's ConfigMap. */
  version: string;
  /** The image repository of kubeadm's ConfigMap. */
  imageRepository?: string;
  /** Flags of the control plane by component (`apiServer`), with their values. */
  arguments: Record<string, Record<string, string>>;
  /** Further names and addresses of the API server's certificate, in kubeadm's ConfigMap. */
  certSANs: string[];
  /** kubelet's cgroup driver in the cluster's configuration; absent when it does not name one. */
  cgroupDriver?: string;
  /** Plugins that CoreDNS' configuration names, and its image. */
  coredns: { plugins: string[]; image: string };
  /** Pods that nothing makes again when a drain deletes them, with their nodes. */
  unmanaged: { name: string; node: string }[];
  /** Disruption budgets that allow no eviction now, `shop/web`. */
  blocking: string[];
  /** Members of etcd that do not answer, by their client address. */
  deadMembers: string[];
  /** Objects that were last applied in an API version that some minor drops, or whose kind is dropped. */
  outdated: { api: string; kind: string; name: string }[];
}

function nodeState(node: Json): NodeState {
  const conditions = at(node, "status", "conditions");
  const ready = Array.isArray(conditions)
    ? conditions.some((each) => at(each, "type") === "Ready" && at(each, "status") === "True")
    : false;
  const labels = Object.keys(at(node, "metadata", "labels") ?? {});
  return {
    name: text(at(node, "metadata", "name")),
    version: text(at(node, "status", "nodeInfo", "kubeletVersion")),
    ready,
    plane: labels.some((label) => /^node-role\.kubernetes\.io\/(?:control-plane|master)$/.test(label)),
    docker: text(at(node, "status", "nodeInfo", "containerRuntimeVersion")).startsWith("docker:"),
    marked: at(node, "metadata", "annotations", "airgap/cordoned") !== undefined,
  };
}

/** A document of a ConfigMap; nothing when it is not a mapping. */
function documentOf(source: string): Json {
  try {
    const value: unknown = parse(source, { maxAliasCount: 100 });
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

/** Flags as a mapping, or as v1beta4's list of name and value. */
export function argumentsOf(value: unknown): Record<string, string> {
  if (Array.isArray(value))
    return Object.fromEntries(value.map((each) => [text(at(each, "name")), String(at(each, "value") ?? "")]));
  return isRecord(value)
    ? Object.fromEntries(Object.entries(value).map(([name, each]) => [name, String(each)]))
    : {};
}

/** The texts of a list. */
export const textsOf = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((each): each is string => typeof each === "string") : [];

type Configuration = Pick<
  ClusterState,
  "version" | "imageRepository" | "arguments" | "certSANs" | "cgroupDriver" | "coredns"
>;

/** What kubeadm, kubelet and CoreDNS are configured with, from the ConfigMaps and Deployments of kube-system. */
export function configurationOf(maps: Json[], deployments: Json[]): Configuration {
  const find = (name: RegExp, key: string): string =>
    text(
      at(
        maps.find((map) => name.test(text(at(map, "metadata", "name")))),
        "data",
        key,
      ),
    );
  const cluster = documentOf(find(/^kubeadm-config$/, "ClusterConfiguration"));
  const driver = text(documentOf(find(/^kubelet-config(?:-1\.\d+)?$/, "kubelet"))["cgroupDriver"]);
  const repository = text(cluster["imageRepository"]);
  const dns = deployments.find((each) => text(at(each, "metadata", "name")) === "coredns");
  return {
    version: text(cluster["kubernetesVersion"]),
    ...(repository ? { imageRepository: repository } : {}),
    arguments: Object.fromEntries(
      ["apiServer", "controllerManager", "scheduler"].map((component) => [
        component,
        argumentsOf(at(cluster, component, "extraArgs")),
      ]),
    ),
    certSANs: textsOf(at(cluster, "apiServer", "certSANs")),
    ...(driver ? { cgroupDriver: driver } : {}),
    coredns: {
      plugins: pluginsIn(find(/^coredns$/, "Corefile")),
      image: text(at(dns, "spec", "template", "spec", "containers", 0, "image")),
    },
  };
}

/** The plugins that a Corefile's server blocks name: lines at the first depth of braces. */
export function pluginsIn(corefile: string): string[] {
  let depth = 0;
  const found = new Set<string>();
  for (const line of corefile.split("\n")) {
    const plain = line.replace(/#.*/, "").trim();
    const name = /^[a-z_][a-z0-9_]*/.exec(plain)?.[0];
    if (depth === 1 && name) found.add(name);
    depth += (plain.match(/\{/g)?.length ?? 0) - (plain.match(/\}/g)?.length ?? 0);
  }
  return [...found];
}

const named = (object: Json): string => {
  const namespace = text(at(object, "metadata", "namespace"));
  return `${namespace ? `${namespace}/` : ""}${text(at(object, "metadata", "name"))}`;
};

/** Budgets whose pods are all well and that still allow none to be evicted: waiting would not help. */
export const blockingBudgets = (budgets: Json[]): string[] =>
  budgets
    .filter(
      (each) =>
        Number(at(each, "status", "expectedPods") ?? 0) > 0 &&
        Number(at(each, "status", "currentHealthy") ?? 0) >=
          Number(at(each, "status", "expectedPods") ?? 0) &&
        Number(at(each, "status", "disruptionsAllowed") ?? 0) === 0,
    )
    .map(named);

/** Pods without an owner; the mirrors of static pods belong to their node. */
export const unmanagedPods = (pods: Json[]): ClusterState["unmanaged"] =>
  pods
    .filter((pod) => {
      const owners = at(pod, "metadata", "ownerReferences");
      const phase = text(at(pod, "status", "phase"));
      const mirror = at(pod, "metadata", "annotations", "kubernetes.io/config.mirror") !== undefined;
      return !mirror && !Array.isArray(owners) && phase !== "Succeeded" && phase !== "Failed";
    })
    .map((pod) => ({ name: named(pod), node: text(at(pod, "spec", "nodeName")) }))
    .filter(({ node }) => node !== "");

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/** An object that falls under one of these removals. */
export function outdatedIn(objects: Json[], removals: readonly ApiRemoval[]): ClusterState["outdated"] {
  return objects.flatMap((object) => {
    const applied = documentOf(text(at(object, "metadata", "annotations", LAST_APPLIED)));
    const kind = text(object["kind"]);
    const removal = removals.find(
      ({ api, kinds, instead }) =>
        Object.hasOwn(kinds, kind) && (instead === undefined || api === text(applied["apiVersion"])),
    );
    return removal ? [{ api: removal.api, kind, name: named(object) }] : [];
  });
}

/** `ingresses.networking.k8s.io`: every resource that some removal is about, by the group that has it last. */
const RESOURCES = [
  ...new Set(
    API_REMOVALS.flatMap(({ api, kinds, instead }) =>
      Object.values(kinds).map((resource) => `${resource}.${(instead ?? api).split("/")[0]}`),
    ),
  ),
];

/** Reads what `etcdctl endpoint health` prints of members that do not answer. */
export const deadMembersIn = (output: string): string[] =>
  output.split("\n").flatMap((line) => /^(https?:\/\/\S+) is unhealthy/.exec(line.trim())?.[1] ?? []);

/**
 * Asks a control plane what the cluster is like.
 * @throws AirgapError `refused` when the API server does not answer
 */
export async function readClusterState(
  host: Host,
  stacked: boolean,
  signal: AbortSignal | undefined,
): Promise<ClusterState> {
  const get = async (...words: string[]): Promise<Json[]> =>
    items(await askJson(host, call("kubectl", "get", ...words, "-o", "json"), signal));
  const system = (kind: string): Promise<Json[]> => get(kind, "--namespace", "kube-system");
  const nodes = await get("nodes");
  const [maps, deployments, pods, budgets, objects, etcd] = await Promise.all([
    system("configmaps"),
    system("deployments"),
    get("pods", "--all-namespaces"),
    get("poddisruptionbudgets", "--all-namespaces"),
    Promise.all(RESOURCES.map((resource) => orNone(get(resource, "--all-namespaces")))),
    stacked
      ? host.run(withLibrary(call("show_etcd_health", host.name)), {
          timeoutMs: 120_000,
          ...(signal ? { signal } : {}),
        })
      : undefined,
  ]);
  return {
    by: host.name,
    nodes: nodes.map(nodeState),
    ...configurationOf(maps, deployments),
    unmanaged: unmanagedPods(pods),
    blocking: blockingBudgets(budgets),
    deadMembers: deadMembersIn(etcd?.stdout ?? ""),
    outdated: outdatedIn(objects.flat(), API_REMOVALS),
  };
}

/** A resource that this version does not serve has no objects. */
async function orNone(asked: Promise<Json[]>): Promise<Json[]> {
  try {
    return await asked;
  } catch (error) {
    if (isAirgapError(error, "refused")) return [];
    throw error;
  }
}
