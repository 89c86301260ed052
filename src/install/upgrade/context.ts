import type { Cluster, ClusterHost } from "../../cluster/cluster.ts";
import { AirgapError } from "../../errors.ts";
import { minorOf, rulesOf } from "../../kubernetes/rules.ts";
import {
  compareVersions,
  isAtLeast,
  oldestOf,
  type UpgradePath,
  upgradePath,
} from "../../kubernetes/upgrade.ts";
import { type Bundle, bundleAt } from "../bundle.ts";
import { type Context, makeContext, type PlanInput } from "../context.ts";
import { imagesFor } from "../node-images.ts";
import type { ClusterState, NodeState } from "./cluster-state.ts";

/** Everything that the plan of an upgrade depends on. `cluster.kubernetes.version` is where it ends. */
export interface UpgradeInput extends PlanInput {
  /** The bundle with the package sets of every version. */
  bundle: Bundle;
  state: ClusterState;
  /** Workers that are drained and upgraded at a time. */
  workers: number;
  /** How long a drain may take, in seconds. */
  drainSeconds: number;
  /** The upgrade ends where the cluster file says: network and add-ons follow. */
  complete: boolean;
}

/** What the stages of one minor need to know: `cluster`, `bundle` and `images` are of its version. */
export interface StoneContext extends Context {
  /** The version to which this minor's stages go: `v1.29.9`. */
  stone: string;
  input: UpgradeInput;
  /** Control planes that are not there yet, the one that applies first at the head. */
  behindPlanes: ClusterHost[];
  /** Workers that are not there yet. */
  behindWorkers: ClusterHost[];
}

/** The version of a control plane's API server, by its static pod's image; undefined where none is known. */
export function planeVersion(
  input: Pick<UpgradeInput, "facts">,
  { name }: { name: string },
): string | undefined {
  const image = input.facts[name]?.components?.["kube-apiserver"];
  return /:(v\d[\w.-]*)(?:@|$)/.exec(image ?? "")?.[1]?.replace("_", "+");
}

const nodeOf = ({ state }: Pick<UpgradeInput, "state">, { name }: { name: string }): NodeState | undefined =>
  state.nodes.find((node) => node.name === name);

const isPlane = ({ roles }: ClusterHost): boolean => roles.includes("control-plane");

/** Hosts of the cluster file that are nodes of the cluster and were reached. */
const members = ({ cluster, facts, state }: UpgradeInput): ClusterHost[] =>
  cluster.hosts.filter((host) => facts[host.name] !== undefined && nodeOf({ state }, host) !== undefined);

/** Where the cluster stands: the oldest of its control planes, and of what kubeadm has written down. */
export function clusterVersion(input: UpgradeInput): string {
  const planes = members(input).filter(isPlane);
  const versions = planes.flatMap((host) => planeVersion(input, host) ?? []);
  return oldestOf([input.state.version, ...versions].filter((version) => version !== "")) ?? "";
}

/** The oldest version of anything that the plan moves: where the way begins. */
export function startOf(input: UpgradeInput): string {
  const meant = (host: ClusterHost): boolean => input.asked === undefined || input.asked.includes(host.name);
  const planes = members(input).filter((host) => isPlane(host) && meant(host));
  const kubelets = planes.flatMap((host) => nodeOf(input, host)?.version ?? []);
  return oldestOf([clusterVersion(input), ...kubelets].filter((version) => version !== "")) ?? "";
}

/** The versions at which the upgrade stops, and those that the bundle lacks. */
export function pathOf(input: UpgradeInput): UpgradePath {
  const { version: to } = input.cluster.kubernetes;
  const carried = input.bundle.lock.kubernetes ?? [];
  const path = upgradePath(startOf(input), to, carried);
  // Workers that lag go straight to where the cluster is: kubeadm of a minor between cannot read its configuration.
  const lagging = behind(input, to).length > 0 && path.stones.length === 0;
  return lagging ? { stones: [to], missing: carried.includes(to) ? [] : [to] } : path;
}

/** Whether a host has nothing left to do for a version. */
function isDone(input: UpgradeInput, host: ClusterHost, version: string): boolean {
  const node = nodeOf(input, host);
  const kubelet = node !== undefined && isAtLeast(node.version, version) && !node.marked;
  if (!isPlane(host)) return kubelet;
  return kubelet && isAtLeast(planeVersion(input, host) ?? "", version);
}

const behind = (input: UpgradeInput, version: string): ClusterHost[] =>
  members(input).filter((host) => !isDone(input, host, version));

/** The cluster file as it would be at another version, with the runtime that its nodes have there. */
function clusterAt(input: UpgradeInput, version: string): Cluster {
  const { cluster, state } = input;
  const docker = minorOf(version) <= 23 && state.nodes.some((node) => node.docker);
  return {
    ...cluster,
    ...(docker ? { runtime: "docker" as const } : {}),
    kubernetes: { ...cluster.kubernetes, version },
  };
}

/** The input of an installation at one version. @throws AirgapError `unsupported`, `spec` */
export function inputAt(input: UpgradeInput, version: string): PlanInput {
  const cluster = clusterAt(input, version);
  return {
    ...input,
    cluster,
    bundle: bundleAt(input.bundle, version),
    images: imagesFor(cluster, input.bundle.lock),
  };
}

/** The context of one step of the way. The control plane that speaks for the cluster goes first. */
export function contextAt(input: UpgradeInput, stone: string): StoneContext {
  const context = makeContext(inputAt(input, stone));
  const waiting = behind(input, stone);
  const planes = waiting
    .filter(isPlane)
    .toSorted((a, b) => Number(b.name === context.first.name) - Number(a.name === context.first.name));
  return {
    ...context,
    stone,
    input,
    behindPlanes: planes,
    behindWorkers: waiting.filter((host) => !isPlane(host)),
  };
}

/** Whether Docker's shim in kubelet ends with this step of the way, on nodes that still use it. */
export const leavesDockershim = ({ input, stone }: StoneContext): boolean =>
  !rulesOf(stone).dockershim &&
  input.state.nodes.some(({ docker, version }) => docker && minorOf(version) <= 23);

/** @throws AirgapError `usage` for a stop that is not on the way */
export function stopAt(cluster: Cluster, to: string | undefined): Cluster {
  if (to === undefined) return cluster;
  const version = to.replace(/^v?/, "v");
  if (!/^v1\.\d+\.\d+(?:[-+][\w.+-]+)?$/.test(version))
    throw new AirgapError("usage", `--to ${to} is not a version like v1.28.2`);
  if (compareVersions(version, cluster.kubernetes.version) > 0)
    throw new AirgapError(
      "usage",
      `--to ${version} is newer than kubernetes.version of the cluster file, ${cluster.kubernetes.version}`,
      { suggestions: [`set kubernetes.version: ${version} in the cluster file`] },
    );
  return { ...cluster, kubernetes: { ...cluster.kubernetes, version } };
}
