import { type Cluster, nodesOf } from "../cluster/cluster.ts";
import { at, type Json, list, text } from "./ask.ts";

/** Free space of a host where Kubernetes writes. */
export interface DiskStatus {
  host: string;
  mount: string;
  freeKiB: number;
  sizeKiB: number;
}

/** Reads what `show_disks` prints: `MOUNT SIZE FREE`, in KiB. */
export const disksIn = (host: string, output: string): DiskStatus[] =>
  output.split("\n").flatMap((line) => {
    const [, mount = "", size, free] = /^(\/\S*) (\d+) (\d+)$/.exec(line.trim()) ?? [];
    return mount === "" ? [] : [{ host, mount, sizeKiB: Number(size), freeKiB: Number(free) }];
  });

/** kubelet removes images when less than 15 % are free, and pods when less than 10 %: its defaults. */
const LOW = 0.05;
const LITTLE_KIB = 2 << 20;

/** Disks that are nearly full. */
export const diskProblems = (disks: readonly DiskStatus[]): string[] =>
  disks
    .filter(({ freeKiB, sizeKiB }) => freeKiB < LITTLE_KIB && freeKiB < sizeKiB * LOW)
    .map(({ host, mount, freeKiB }) => `${host}: ${mount} has only ${Math.round(freeKiB / 1024)} MiB left`);

const spelled = (taint: string): string => taint.replace(/^([^=:]+):/, "$1=:");

/** Labels and taints of the cluster file that the nodes do not have. */
export function markProblems(cluster: Cluster, nodes: Json[]): string[] {
  return nodesOf(cluster).flatMap(({ name, labels, taints }) => {
    const node = nodes.find((each) => text(at(each, "metadata", "name")) === name);
    if (node === undefined) return [];
    const own = (at(node, "metadata", "labels") ?? {}) as Record<string, unknown>;
    const lacking = Object.entries(labels)
      .filter(([key, value]) => own[key] !== value)
      .map(([key, value]) => `the label ${key}=${value}`);
    const there = new Set(
      list(node, "spec", "taints").map(
        (taint) => `${text(taint["key"])}=${text(taint["value"])}:${text(taint["effect"])}`,
      ),
    );
    const untainted = taints
      .filter((taint) => !there.has(spelled(taint)))
      .map((taint) => `the taint ${taint}`);
    const missing = [...lacking, ...untainted];
    return missing.length === 0 ? [] : [`${name} lacks ${missing.join(", ")} of the cluster file`];
  });
}
