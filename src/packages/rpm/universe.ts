import type { LoadedPackage } from "../solver/loader.ts";
import type { RpmData } from "./primary.ts";
import { parseRange, parseRelation, type Relation, type Simple } from "./relation.ts";
import type { RpmRepository } from "./repository.ts";
import { EQUAL, rangesOverlap } from "./version.ts";

/** Ids follow the repositories by priority, then the order of their metadata; what is installed comes first. */
export type Solvable = LoadedPackage<RpmData, RpmRepository>;

/** Hands over who provides a name, with the range in which it does (`= 1.0-1`, or empty). */
export type ProviderLookup = (name: string, visit: (solvable: Solvable, range: string) => void) => void;

/** Packages with one of these are installed beside their other versions: `installonlypkgs` of dnf 4 and of yum 3. */
export const INSTALL_ONLY = [
  "kernel",
  "kernel-PAE",
  "kernel-bigmem",
  "kernel-debug",
  "kernel-devel",
  "kernel-enterprise",
  "kernel-smp",
  "installonlypkg(kernel)",
  "installonlypkg(kernel-module)",
  "installonlypkg(vm)",
  "multiversion(kernel)",
];

/** Lists that are long are asked for often. */
const WORTH_KEEPING = 8;

/** `name-[epoch:]version-release.arch` */
export const nevra = ({ name, version, arch }: Pick<Solvable, "name" | "version" | "arch">): string =>
  `${name}-${version}.${arch}`;

/** What was loaded of the repositories: everything that the request can reach. */
export class Universe {
  /** From 1. */
  readonly solvables: (Solvable | undefined)[];
  readonly #lookUp: ProviderLookup;
  readonly #byName = new Map<string, Solvable[]>();
  readonly #matches = new Map<string, number[]>();
  readonly #rich = new Map<string, Relation>();
  readonly #old: ReadonlySet<Solvable>;
  readonly #beside = new Set<Solvable>();

  /** @param old those of which some repository has a newer version, or one with a better priority */
  constructor(solvables: Solvable[], lookUp: ProviderLookup, old: ReadonlySet<Solvable>) {
    this.solvables = [undefined, ...solvables];
    this.#lookUp = lookUp;
    this.#old = old;
    for (const name of INSTALL_ONLY) lookUp(name, (solvable) => this.#beside.add(solvable));
    for (const solvable of solvables) {
      const same = this.#byName.get(solvable.name);
      if (same) same.push(solvable);
      else this.#byName.set(solvable.name, [solvable]);
    }
  }

  get size(): number {
    return this.solvables.length - 1;
  }

  /** Whether two versions of a package can be there together. */
  standTogether(a: Solvable, b: Solvable): boolean {
    return this.#beside.has(a) && this.#beside.has(b) && (a.version !== b.version || a.arch !== b.arch);
  }

  get(id: number): Solvable {
    return this.solvables[id] as Solvable;
  }

  named(name: string): Solvable[] {
    return this.#byName.get(name) ?? [];
  }

  /** What is not RPM's is a name that nothing provides. */
  relation(text: string): Relation {
    if (!text.startsWith("(")) return parseRelation(text);
    const known = this.#rich.get(text);
    if (known !== undefined) return known;
    let relation: Relation = { kind: "simple", name: text, op: 0, version: "" };
    try {
      relation = parseRelation(text);
    } catch {
      // The text itself is the name.
    }
    this.#rich.set(text, relation);
    return relation;
  }

  /** Who provides a capability, by id. */
  providers({ name, op, version }: Simple): number[] {
    const key = op === 0 ? name : `${name} ${op} ${version}`;
    const known = this.#matches.get(key);
    if (known !== undefined) return known;
    const ids: number[] = [];
    let last = 0;
    let sorted = true;
    this.#lookUp(name, ({ id }, range) => {
      if (op !== 0 && range !== "") {
        const provided = parseRange(range);
        if (!rangesOverlap(provided.op, provided.version, op, version)) return;
      }
      if (id === last) return;
      sorted &&= id > last;
      last = id;
      ids.push(id);
    });
    const found = sorted ? ids : [...new Set(ids)].sort((a, b) => a - b);
    if (found.length >= WORTH_KEEPING) this.#matches.set(key, found);
    return found;
  }

  /** Packages of that very name whose own version is in the range: what Obsoletes means. */
  namedInRange({ name, op, version }: Simple): Solvable[] {
    return this.named(name).filter((solvable) => rangesOverlap(EQUAL, solvable.version, op, version));
  }

  /** Whether there is a newer version, or one with a better priority, even if that is not a candidate. */
  isOld(solvable: Solvable): boolean {
    return this.#old.has(solvable);
  }
}
