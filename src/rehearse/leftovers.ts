import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Engine, Labelled } from "../transport/engine.ts";

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

/** How long the engine is asked again for what it still makes, removes or uses. */
const PATIENCE_MS = 30_000;

interface Cleared {
  /** Containers and networks that were removed. */
  count: number;
  /** What the engine would not give up, by name. */
  stuck: string[];
}

/**
 * Removes hosts and networks of rehearsals that ended without doing so, and of this cluster those that were kept.
 */
export function clearLeftovers(engine: Engine, cluster: string, patienceMs = PATIENCE_MS): Promise<Cleared> {
  return clearWhere(
    engine,
    LABEL,
    ({ labels }) => isOver(labels) && (labels[KEPT] !== "yes" || labels[CLUSTER] === cluster),
    patienceMs,
  );
}

/** Removes all that a rehearsal made, but for images. */
export function clear(engine: Engine, id: string, patienceMs = PATIENCE_MS): Promise<Cleared> {
  return clearWhere(engine, `${LABEL}=${id}`, () => true, patienceMs);
}

/** An engine goes on with what a killed client asked for, and removes at its own time: it is asked until nothing is left. */
async function clearWhere(
  engine: Engine,
  label: string,
  isLeft: (each: Labelled) => boolean,
  patienceMs: number,
): Promise<Cleared> {
  const removed = new Set<string>();
  for (const end = Date.now() + patienceMs; ; await sleep(200)) {
    const containers = (await engine.containers(label)).filter(isLeft);
    await Promise.all(containers.map(({ id }) => engine.remove(id)));
    const networks = (await engine.networks(label)).filter(isLeft);
    for (const { id } of networks) await engine.removeNetwork(id);
    const volumes = (await engine.volumes(label)).filter(isLeft);
    for (const { id } of volumes) await engine.removeVolume(id);
    for (const { id } of [...containers, ...networks]) removed.add(id);
    const left = [...containers, ...networks, ...volumes];
    if (left.length === 0 || Date.now() > end)
      return { count: removed.size, stuck: left.map(({ name }) => name) };
  }
}
