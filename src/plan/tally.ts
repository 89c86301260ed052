import type { Emit, HostState } from "../events.ts";
import type { Unit } from "./pending.ts";
import type { Plan } from "./stage.ts";

/** A stage and its hosts. */
interface Standing {
  /** Units that each host has in it still. */
  left: Map<string, number>;
  hosts: number;
  done: number;
  /** When the first host began; undefined as long as no host had anything to do. */
  since: number | undefined;
}

/** Tells which stages are under way, and how many hosts are through. */
export class StageTally {
  readonly #emit: Emit;
  readonly #stages: Standing[];

  constructor({ stages }: Plan, emit: Emit) {
    this.#emit = emit;
    this.#stages = stages.map(({ waves }) => {
      const left = new Map<string, number>();
      for (const { host } of waves.flat()) left.set(host, (left.get(host) ?? 0) + 1);
      return { left, hosts: left.size, done: 0, since: undefined };
    });
  }

  /** @returns whether it is the first unit of its stage */
  begin(unit: Unit): boolean {
    return this.#tell(unit, "started");
  }

  lost(unit: Unit): void {
    this.#tell(unit, "lost");
  }

  fail(unit: Unit): void {
    this.#tell(unit, "failed");
  }

  #tell({ host, stage, order }: Unit, state: HostState): boolean {
    const standing = this.#stages[order] as Standing;
    const first = standing.since === undefined;
    const { hosts, done } = standing;
    standing.since ??= performance.now();
    if (first) this.#emit({ type: "stage", name: stage.name, state: "started", hosts, done });
    this.#emit({ type: "host", host, stage: stage.name, state });
    return first;
  }

  /** A unit that is done, or that had nothing to do. */
  pass({ host, stage, order }: Unit): void {
    const standing = this.#stages[order] as Standing;
    const left = (standing.left.get(host) ?? 1) - 1;
    standing.left.set(host, left);
    if (left > 0) return;
    const { hosts, since } = standing;
    const done = ++standing.done;
    if (since === undefined) return;
    this.#emit({ type: "host", host, stage: stage.name, state: "done" });
    const ms = Math.round(performance.now() - since);
    if (done === hosts) this.#emit({ type: "stage", name: stage.name, state: "done", hosts, done, ms });
  }
}

/** Told of work that changes nothing on each of many hosts. */
export interface Counted {
  started(host: string): void;
  ended(host: string, state: "done" | "failed"): void;
}

/** Counts hosts through something that comes before an installation: connecting, facts, checks. */
export function counted(name: string, hosts: number, emit: Emit): Counted {
  const began = performance.now();
  const through = new Set<string>();
  if (hosts > 0) emit({ type: "stage", name, state: "started", hosts, done: 0, before: true });
  return {
    started: (host) => emit({ type: "host", host, stage: name, state: "started" }),
    ended: (host, state) => {
      emit({ type: "host", host, stage: name, state });
      // A host that was lost is asked again.
      if (through.has(host) || through.add(host).size < hosts) return;
      const ms = Math.round(performance.now() - began);
      emit({ type: "stage", name, state: "done", hosts, done: hosts, before: true, ms });
    },
  };
}
