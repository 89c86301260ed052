import type { Sat } from "../solver/sat.ts";
import type { Policy } from "./policy.ts";
import type { Solvable, Universe } from "./universe.ts";

/**
 * Weak dependencies, in the order of libsolv's `resolve_weak`: all that is wished for by now is
 * looked at together, only the best of each name may come in; first what supplements the chosen,
 * then what the chosen recommend, in the order in which they were chosen.
 */
export class Wishes {
  readonly #universe: Universe;
  readonly #sat: Sat;
  readonly #policy: Policy;
  #known: ReadonlySet<number> | undefined;

  constructor(universe: Universe, sat: Sat, policy: Policy) {
    this.#universe = universe;
    this.#sat = sat;
    this.#policy = policy;
  }

  /** What hosts do without on purpose; worked out when something is wished for at all. */
  get #declined(): ReadonlySet<number> {
    this.#known ??= declined(this.#universe);
    return this.#known;
  }

  /** One round. @returns the new level, or undefined when nothing is left to wish for */
  round(level: number): number | undefined {
    const { recommended, supplementing } = this.#collect();
    const all = new Set([...recommended, ...supplementing]);
    if (all.size === 0) return undefined;
    if (all.size === 1) return this.#sat.decide([...all][0] as number, level);
    const best = new Set(this.#policy.best([...all]));
    const before = this.#sat.trailLength;
    let current = level;
    for (const id of this.#policy.order(supplementing.filter((candidate) => best.has(candidate)))) {
      if (!this.#sat.isOpen(id)) continue;
      const reached = this.#sat.decide(id, current);
      if (reached <= current) return reached;
      current = reached;
    }
    return this.#sat.trailLength < before ? current : this.#recommended(current, before, best);
  }

  #collect(): { recommended: Set<number>; supplementing: number[] } {
    const recommended = new Set<number>();
    const supplementing: number[] = [];
    for (const solvable of this.#universe.solvables) {
      if (solvable === undefined || this.#sat.isFalse(solvable.id)) continue;
      const { id, data, repository } = solvable;
      if (this.#sat.isTrue(id)) {
        if (repository !== undefined)
          for (const text of data.recommends ?? [])
            for (const candidate of this.#open(text)) recommended.add(candidate);
      } else if (data.supplements && this.#supplements(solvable)) supplementing.push(id);
    }
    return { recommended, supplementing };
  }

  /** Whether it supplements something new, and no other version of it is there that it might stand beside. */
  #supplements({ id, name, data }: Solvable): boolean {
    return (
      !this.#declined.has(id) &&
      (data.supplements ?? []).some((text) => this.#policy.holdsNewly(text)) &&
      !this.#universe.named(name).some((other) => this.#sat.isTrue(other.id))
    );
  }

  /** Who could fulfil what nobody fulfils yet of a wish. */
  #open(text: string): number[] {
    const parts = this.#policy
      .fulfilling(this.#universe.relation(text))
      .filter((part) => !part.some((id) => this.#sat.isTrue(id)));
    return [...new Set(parts.flat())].filter((id) => this.#sat.isOpen(id) && !this.#declined.has(id));
  }

  #recommended(level: number, upTo: number, best: ReadonlySet<number>): number {
    let current = level;
    for (let i = 0; i < upTo; i++) {
      const id = this.#sat.literalAt(i);
      if (id < 0 || this.#universe.get(id).repository === undefined) continue;
      for (const text of this.#universe.get(id).data.recommends ?? []) {
        const candidates = this.#open(text).filter((candidate) => best.has(candidate));
        if (candidates.length === 0) continue;
        const reached = this.#sat.branch(this.#policy.filter(candidates, true), current);
        if (reached <= current || this.#sat.trailLength < upTo) return reached;
        current = reached;
      }
    }
    return current;
  }
}

/**
 * What hosts do without, though something that they have wishes for it: it is not wished for again.
 * (dnf's `exclude_from_weak_autodetect`; in libdnf's libdnf/goal/Goal.cpp.)
 */
function declined(universe: Universe): Set<number> {
  const found = new Set<number>();
  const hosts = new Set<number>();
  const names = new Set<string>();
  for (const solvable of universe.solvables) {
    if (solvable?.repository !== undefined || solvable === undefined) continue;
    hosts.add(solvable.id);
    names.add(solvable.name);
  }
  if (hosts.size === 0) return found;
  const providers = (text: string, anyVersion: boolean): number[] => {
    const relation = universe.relation(text);
    if (text.startsWith("(") || relation.kind !== "simple") return [];
    return universe.providers(anyVersion ? { ...relation, op: 0, version: "" } : relation);
  };
  for (const host of hosts) {
    for (const text of universe.get(host).data.recommends ?? []) {
      const ids = providers(text, true);
      if (!ids.some((id) => hosts.has(id))) for (const id of ids) found.add(id);
    }
  }
  for (const solvable of universe.solvables) {
    if (solvable?.data.supplements === undefined || names.has(solvable.name)) continue;
    if (solvable.data.supplements.some((text) => providers(text, false).some((id) => hosts.has(id))))
      found.add(solvable.id);
  }
  return found;
}
