import type { LoadedPackage } from "../solver/loader.ts";
import type { DebData } from "./packages-file.ts";
import { type Alternative, alternativesOf } from "./relation.ts";
import type { DebRepository } from "./repository.ts";
import { compareDebianVersions, type DebianOperator, inRange } from "./version.ts";

/** A version of a package that may be chosen. */
export type DebSolvable = LoadedPackage<DebData, DebRepository>;

/** Hands over who provides a name: `= version`, or empty for an unversioned Provides, which fulfils no versioned relation. */
export type DebProviderLookup = (name: string, visit: (solvable: DebSolvable, range: string) => void) => void;

export const debId = ({ name, version }: Pick<DebSolvable, "name" | "version">): string =>
  `${name}=${version}`;

/** What was loaded: everything that the request can reach. */
export class DebUniverse {
  readonly solvables: (DebSolvable | undefined)[];
  readonly arch: string;
  readonly #lookUp: DebProviderLookup;
  readonly #byName = new Map<string, DebSolvable[]>();
  readonly #candidates = new Map<string, DebSolvable>();
  readonly #ranks = new Map<string, number>();
  readonly #groups = new Map<string, Alternative[]>();
  readonly #fulfilling = new Map<string, DebSolvable[]>();

  constructor(solvables: DebSolvable[], lookUp: DebProviderLookup, arch: string) {
    this.solvables = [undefined, ...solvables];
    this.#lookUp = lookUp;
    this.arch = arch;
    for (const solvable of solvables) {
      const same = this.#byName.get(solvable.name);
      if (same) same.push(solvable);
      else this.#byName.set(solvable.name, [solvable]);
      const rank =
        solvable.order < 0 ? LAST + solvable.id : solvable.order * MENTIONS + solvable.data.mention;
      this.#ranks.set(solvable.name, Math.min(rank, this.rank(solvable.name)));
    }
    for (const [name, versions] of this.#byName) {
      versions.sort(byPreference);
      this.#candidates.set(name, versions[0] as DebSolvable);
    }
  }

  /** The same with some of its packages alone. */
  only(solvables: ReadonlySet<DebSolvable>): DebUniverse {
    const lookUp: DebProviderLookup = (name, visit) =>
      this.#lookUp(name, (solvable, range) => {
        if (solvables.has(solvable)) visit(solvable, range);
      });
    return new DebUniverse([...solvables], lookUp, this.arch);
  }

  get size(): number {
    return this.solvables.length - 1;
  }

  get(id: number): DebSolvable {
    return this.solvables[id] as DebSolvable;
  }

  /** All versions, the one that apt would take first. */
  named(name: string): DebSolvable[] {
    return this.#byName.get(name) ?? [];
  }

  names(): string[] {
    return [...this.#byName.keys()];
  }

  candidate(name: string): DebSolvable | undefined {
    return this.#candidates.get(name);
  }

  /** When apt first met a name: by repository, then by its place in the Packages file. What only hosts have comes last. */
  rank(name: string): number {
    return this.#ranks.get(name) ?? Number.POSITIVE_INFINITY;
  }

  /** Makes another version the one to take: what `name=version` asks for. */
  choose(solvable: DebSolvable): void {
    this.#candidates.set(solvable.name, solvable);
  }

  alternatives(group: string): Alternative[] {
    let found = this.#groups.get(group);
    if (found === undefined) {
      found = alternativesOf(group);
      this.#groups.set(group, found);
    }
    return found;
  }

  /** Every version that fulfils one alternative, the best one first. */
  fulfilling(alternative: Alternative): DebSolvable[] {
    const key = this.#key(alternative);
    if (key === undefined) return [];
    const cacheKey = `${key} ${alternative.operator} ${alternative.version}`;
    let found = this.#fulfilling.get(cacheKey);
    if (found === undefined) {
      const all = new Set<DebSolvable>();
      this.#lookUp(key, (solvable, range) => {
        if (fits(range, alternative.operator, alternative.version)) all.add(solvable);
      });
      const best = new Map<string, DebSolvable>();
      for (const solvable of [...all].sort(byPreference))
        if (!best.has(solvable.name)) best.set(solvable.name, solvable);
      const standing = ({ name }: DebSolvable): DebSolvable => best.get(name) as DebSolvable;
      found = [...all].sort(
        (a, b) => compareProviders(this, standing(a), standing(b), alternative.name) || byPreference(a, b),
      );
      this.#fulfilling.set(cacheKey, found);
    }
    return found;
  }

  /** What fulfils a group such as Depends has, in the order of its alternatives. */
  group(text: string): DebSolvable[] {
    return [...new Set(this.alternatives(text).flatMap((alternative) => this.fulfilling(alternative)))];
  }

  /** Under which name the providers of an alternative are kept; undefined for another architecture's. */
  #key({ name, qualifier }: Alternative): string | undefined {
    if (qualifier === "" || qualifier === "native" || qualifier === this.arch) return name;
    return qualifier === "any" ? `${name}:any` : undefined;
  }
}

function fits(range: string, operator: DebianOperator, version: string): boolean {
  if (operator === "") return true;
  return range !== "" && inRange(range.slice(2), operator, version);
}

/** More names than a Packages file speaks of, and more than all of them together do. */
const MENTIONS = 2 ** 32;
const LAST = 2 ** 50;

const INSTALLED_PIN = 100;
const DOWNGRADING_PIN = 1000;

/** Pin first, then version; of the same version the repository that the spec names first. What is installed gives way to newer ones only. */
function byPreference(a: DebSolvable, b: DebSolvable): number {
  if (a.repository === undefined) return -againstInstalled(b, a);
  if (b.repository === undefined) return againstInstalled(a, b);
  return (
    b.repository.priority - a.repository.priority ||
    compareDebianVersions(b.version, a.version) ||
    a.order - b.order
  );
}

/** Negative when `offered` is preferred. */
export function againstInstalled(offered: DebSolvable, installed: DebSolvable): number {
  const pin = offered.repository?.priority ?? 0;
  if (pin > DOWNGRADING_PIN) return -1;
  return pin >= INSTALLED_PIN && compareDebianVersions(offered.version, installed.version) > 0 ? -1 : 1;
}

/** Whom apt takes of several that provide the same (its apt-pkg/depcache.cc, CompareProviders). */
export function compareProviders(
  universe: DebUniverse,
  a: DebSolvable,
  b: DebSolvable,
  target: string,
): number {
  const first = (test: (solvable: DebSolvable) => boolean): number => Number(test(b)) - Number(test(a));
  if (a.name === b.name) return 0;
  return (
    first(({ repository }) => repository === undefined) ||
    first(({ name }) => name === target) ||
    first(({ data }) => data.essential === true) ||
    a.data.priority - b.data.priority ||
    universe.rank(b.name) - universe.rank(a.name)
  );
}
