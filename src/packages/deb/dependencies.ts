import type { Alternative } from "./relation.ts";
import type { DebSolvable, DebUniverse } from "./universe.ts";
import { compareDebianVersions } from "./version.ts";

/** A relation that must be kept: of a Depends one alternative must hold; a Conflicts or Breaks has one, which must not. */
export interface Dependency {
  kind: "depends" | "recommends" | "conflicts" | "breaks";
  /** The name of the package that has it. */
  owner: string;
  alternatives: readonly Alternative[];
}

export const isNegative = ({ kind }: Dependency): boolean => kind === "conflicts" || kind === "breaks";

/** In the order in which apt reads them. */
export function dependenciesOf(universe: DebUniverse, { name, data }: DebSolvable): Dependency[] {
  const read = (kind: Dependency["kind"], groups: readonly string[] = []): Dependency[] =>
    groups.map((group) => ({ kind, owner: name, alternatives: universe.alternatives(group) }));
  return [
    ...read("depends", data.depends),
    ...read("conflicts", data.conflicts),
    ...read("breaks", data.breaks),
    ...read("recommends", data.recommends),
  ];
}

/**
 * Every version that matches an alternative, in apt's order: versions of that very name, the newest
 * first, then those that provide it, the last read first. (apt-pkg/pkgcache.cc, `AllTargets`.)
 */
export function targetsOf(
  universe: DebUniverse,
  dependency: Dependency,
  alternative: Alternative,
): DebSolvable[] {
  const all = universe
    .fulfilling(alternative)
    .filter(({ name }) => !isNegative(dependency) || name !== dependency.owner);
  const place = ({ order }: DebSolvable): number => (order < 0 ? Number.POSITIVE_INFINITY : order);
  const named = all
    .filter(({ name }) => name === alternative.name)
    .sort((a, b) => compareDebianVersions(b.version, a.version));
  const providing = all
    .filter(({ name }) => name !== alternative.name)
    .sort((a, b) => (place(a) === place(b) ? b.row - a.row : place(b) - place(a)));
  return [...named, ...providing];
}

/** Whether a relation is kept where those are there of which `isThere` says so. */
export function isKept(
  universe: DebUniverse,
  dependency: Dependency,
  isThere: (solvable: DebSolvable) => boolean,
): boolean {
  const some = dependency.alternatives.some((alternative) =>
    universe
      .fulfilling(alternative)
      .some(
        (solvable) => (!isNegative(dependency) || solvable.name !== dependency.owner) && isThere(solvable),
      ),
  );
  return some !== isNegative(dependency);
}

/** Where a name stands in apt's table of names, which is the order in which it looks at them. (apt-pkg/pkgcache.cc, `sHash`.) */
export function hashOf(name: string): number {
  let hash = 5381;
  for (const byte of Buffer.from(name)) hash = (Math.imul(hash, 33) + (byte | 0x20)) >>> 0;
  return hash % 196613;
}
