import type { Loaded } from "../packages/loader.ts";
import type { RpmData } from "./primary.ts";
import { parseRelation, type Relation, type Simple } from "./relation.ts";
import type { RpmRepository } from "./repository.ts";
import { compareEvr, EQUAL, type Op, rangesOverlap } from "./version.ts";

/** Ids follow the repositories in order, then the order of their metadata; what is installed comes first. */
export type Solvable = Loaded<RpmData, RpmRepository>;

export interface Provide {
  solvable: Solvable;
  op: Op;
  version: string;
}

/** What a repository with that priority has at most. */
export interface Best {
  priority: number;
  version: string;
}

/** `name-[epoch:]version-release.arch` */
export const nevra = ({ name, version, arch }: Pick<Solvable, "name" | "version" | "arch">): string => `${name}-${version}.${arch}`;

/** What was loaded of the repositories: everything that the request can reach. */
export class Universe {
  /** From 1. */
  readonly solvables: (Solvable | undefined)[];
  readonly #provides: Map<string, Provide[]>;
  readonly #byName = new Map<string, Solvable[]>();
  readonly #matches = new Map<string, number[]>();
  readonly #relations = new Map<string, Relation>();
  /** The best version of a name and architecture among all repositories, loaded or not. */
  readonly #best: Map<string, Best>;

  constructor(solvables: Solvable[], provides: Map<string, Provide[]>, best: Map<string, Best>) {
    this.solvables = [undefined, ...solvables];
    this.#provides = provides;
    this.#best = best;
    for (const solvable of solvables) {
      const same = this.#byName.get(solvable.name);
      if (same) same.push(solvable);
      else this.#byName.set(solvable.name, [solvable]);
    }
  }

  get size(): number {
    return this.solvables.length - 1;
  }

  get(id: number): Solvable {
    return this.solvables[id] as Solvable;
  }

  named(name: string): Solvable[] {
    return this.#byName.get(name) ?? [];
  }

  /** A relation read once. What is not RPM's is a name that nothing provides. */
  relation(text: string): Relation {
    let relation = this.#relations.get(text);
    if (relation === undefined) {
      try {
        relation = parseRelation(text);
      } catch {
        relation = { kind: "simple", name: text, op: 0, version: "" };
      }
      this.#relations.set(text, relation);
    }
    return relation;
  }

  /** Who provides a capability, by id. */
  providers({ name, op, version }: Simple): number[] {
    const key = op === 0 ? name : `${name} ${op} ${version}`;
    let found = this.#matches.get(key);
    if (found === undefined) {
      const ids = new Set<number>();
      for (const provide of this.#provides.get(name) ?? []) if (rangesOverlap(provide.op, provide.version, op, version)) ids.add(provide.solvable.id);
      found = [...ids].sort((a, b) => a - b);
      this.#matches.set(key, found);
    }
    return found;
  }

  /** Packages of that very name whose own version is in the range: what Obsoletes means. */
  namedInRange({ name, op, version }: Simple): Solvable[] {
    return this.named(name).filter((solvable) => rangesOverlap(EQUAL, solvable.version, op, version));
  }

  /** Whether some repository has a newer version, or the same name with a better priority. */
  isOld(solvable: Solvable): boolean {
    if (solvable.repository === undefined) return false;
    const best = this.#best.get(`${solvable.name} ${solvable.arch}`);
    if (best === undefined) return false;
    if (best.priority !== solvable.repository.priority) return best.priority < solvable.repository.priority;
    return compareEvr(best.version, solvable.version) > 0;
  }
}
