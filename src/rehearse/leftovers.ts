import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Engine } from "../transport/engine.ts";

const LABEL = "airgap.rehearsal";
const OWNER = "airgap.rehearsal.owner";
const CLUSTER = "airgap.rehearsal.cluster";
const KEPT = "airgap.rehearsal.kept";
/** On images that were made for rehearsals. */
export const IMAGE_LABEL = "airgap.rehearsal.image";

/** What tells a process from a later one with its number: when it started. proc_pid_stat(5) */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

const ownerNow = (): string => `${hostname()} ${process.pid} ${startOf(process.pid) ?? "?"}`;

/** Labels of everything that a rehearsal makes: whose it is, so that a later run may clear what was left. */
export const labelsOf = (id: string, cluster: string, keep: boolean): Record<string, string> => ({
  [LABEL]: id,
  [OWNER]: ownerNow(),
  [CLUSTER]: cluster,
  // Containers have the labels of their image too, and an image those of the container that it was made in.
  [KEPT]: keep ? "yes" : "no",
});

/** Whether the process that made it is gone. Of another machine's process nobody can say it. */
function isOver(labels: Record<string, string>): boolean {
  const [machine, pid, start] = (labels[OWNER] ?? "").split(" ");
  return machine === hostname() && startOf(Number(pid)) !== start;
}

/**
 * Removes hosts and networks of rehearsals that ended without doing so, and of this cluster those that were kept.
 * @returns how many containers and networks
 */
export async function clearLeftovers(engine: Engine, cluster: string): Promise<number> {
  const isLeft = ({ labels }: { labels: Record<string, string> }): boolean =>
    isOver(labels) && (labels[KEPT] !== "yes" || labels[CLUSTER] === cluster);
  const containers = (await engine.containers(LABEL)).filter(isLeft);
  await Promise.all(containers.map(({ id }) => engine.remove(id)));
  const networks = (await engine.networks(LABEL)).filter(isLeft);
  for (const { id } of networks) await engine.removeNetwork(id);
  for (const { id } of (await engine.volumes(LABEL)).filter(isLeft)) await engine.removeVolume(id);
  return containers.length + networks.length;
}

/** Removes all that a rehearsal made, but for images. */
export async function clear(engine: Engine, id: string): Promise<void> {
  const containers = await engine.containers(`${LABEL}=${id}`);
  await Promise.all(containers.map((each) => engine.remove(each.id)));
  for (const each of await engine.networks(`${LABEL}=${id}`)) await engine.removeNetwork(each.id);
  for (const each of await engine.volumes(`${LABEL}=${id}`)) await engine.removeVolume(each.id);
}
