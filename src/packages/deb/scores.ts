import { dependenciesOf, isNegative } from "./dependencies.ts";
import type { States } from "./states.ts";
import type { DebSolvable, DebUniverse } from "./universe.ts";

const ESSENTIAL = 100;
/** By Priority, required first; without one, or where no repository has the version, it is that of `extra`. */
const PRIORITY = [-2, 3, 2, 1, -1, -2];
const OFFERED = 1;
const ASKED = 10_000;
const ESSENTIAL_TOO = 5_000;

const isOffered = (solvable: DebSolvable | undefined): boolean =>
  solvable !== undefined && solvable.order >= 0;

/**
 * How much every name weighs when apt has to give one of two up: by what it is, by how many need it,
 * and by what those weigh. (apt-pkg/algorithms.cc, `MakeScores`.)
 * @param asked names that were asked for
 */
export function scoresOf(
  universe: DebUniverse,
  states: States,
  names: readonly string[],
  asked: ReadonlySet<string>,
): Map<string, number> {
  const scores = new Map<string, number>();
  const add = (name: string, points: number): void => void scores.set(name, (scores.get(name) ?? 0) + points);
  const present = names.map((name) => states.of(name)).filter(({ install }) => install !== undefined);
  const isIn = (solvable: DebSolvable): boolean => states.isIn(solvable);
  for (const state of present) {
    const install = state.install as DebSolvable;
    if (install.data.essential) add(state.name, ESSENTIAL);
    add(state.name, isOffered(install) ? (PRIORITY[install.data.priority] as number) : -2);
    if (state.current !== undefined && isOffered(state.candidate)) add(state.name, OFFERED);
    for (const dependency of dependenciesOf(universe, install)) {
      const points = isNegative(dependency) ? -1 : 1;
      for (const alternative of dependency.alternatives) {
        const there = universe.fulfilling(alternative).filter(isIn);
        const reached = new Set(there.map(({ name }) => name));
        if (alternative.operator === "") reached.add(alternative.name);
        // A version that the package of that name does not have counts for nobody.
        else if (!reached.has(alternative.name)) continue;
        if (isNegative(dependency)) reached.delete(state.name);
        for (const name of reached) add(name, points);
      }
    }
  }
  inherit(
    universe,
    states,
    present.map(({ install }) => install as DebSolvable),
    scores,
    add,
  );
  for (const name of names) {
    if (asked.has(name)) add(name, ASKED);
    if (universe.named(name).some(({ data }) => data.essential)) add(name, ESSENTIAL_TOO);
  }
  return scores;
}

/** What is needed gets the points of what needs it, and hands them on to what provides it. */
function inherit(
  universe: DebUniverse,
  states: States,
  present: DebSolvable[],
  scores: ReadonlyMap<string, number>,
  add: (name: string, points: number) => void,
): void {
  const before = new Map(scores);
  for (const solvable of present) {
    const own = before.get(solvable.name) ?? 0;
    if (own <= 0) continue;
    for (const dependency of dependenciesOf(universe, solvable))
      if (!isNegative(dependency))
        for (const { name } of dependency.alternatives)
          if (states.of(name).install !== undefined) add(name, own);
  }
  for (const { name } of present) {
    const gained = Math.abs((scores.get(name) ?? 0) - (before.get(name) ?? 0));
    if (gained === 0) continue;
    const providers = universe
      .fulfilling({ name, qualifier: "", operator: "", version: "" })
      .filter((other) => other.name !== name && states.isIn(other));
    for (const other of new Set(providers.map((provider) => provider.name))) add(other, gained);
  }
}
