import type { DebSolvable, DebUniverse } from "./universe.ts";

const MAX_DEPTH = 3000;

/**
 * What apt does before it has to solve anything (its apt-pkg/depcache.cc, MarkInstall): depth
 * first, the first alternative that works out, only the candidate version of each package. Where
 * nothing contradicts that is the answer, and the same as apt's.
 */
export class Greedy {
  readonly #universe: DebUniverse;
  readonly #recommends: boolean;
  readonly #installed: ReadonlySet<DebSolvable>;
  readonly #selected = new Map<string, DebSolvable>();
  readonly #discarded = new Set<string>();
  readonly #protected = new Set<string>();
  readonly #entered = new Set<string>();
  #failed = false;

  constructor(universe: DebUniverse, installed: DebSolvable[], recommends: boolean) {
    this.#universe = universe;
    this.#recommends = recommends;
    this.#installed = new Set(installed);
    for (const solvable of installed) this.#selected.set(solvable.name, solvable);
  }

  /** @returns the packages that are there in the end, or undefined when something did not work out */
  run(asked: DebSolvable[]): DebSolvable[] | undefined {
    for (const { name } of asked) this.#protected.add(name);
    for (const solvable of asked) this.#selected.set(solvable.name, solvable);
    for (const solvable of asked) if (!this.#install(solvable, 0)) this.#failed = true;
    return this.#failed || !this.#consistent() ? undefined : [...this.#selected.values()];
  }

  #isSelected(solvable: DebSolvable): boolean {
    return this.#selected.get(solvable.name) === solvable;
  }

  #fulfilled(group: string): boolean {
    return this.#universe.group(group).some((solvable) => this.#isSelected(solvable));
  }

  /** Candidates that fulfil a group, installed packages first. */
  #solutions(group: string): DebSolvable[] {
    const all = this.#universe
      .group(group)
      .filter(
        (solvable) =>
          this.#universe.candidate(solvable.name) === solvable && !this.#discarded.has(solvable.name),
      );
    const present = all.filter(
      ({ name }) => this.#selected.get(name)?.repository === undefined && this.#selected.has(name),
    );
    return [...present, ...all.filter((solvable) => !present.includes(solvable))];
  }

  #install(solvable: DebSolvable, depth: number): boolean {
    const { name, data } = solvable;
    if (depth > MAX_DEPTH || this.#discarded.has(name)) return false;
    if (this.#entered.has(name) && this.#isSelected(solvable)) return true;
    for (const group of data.depends) {
      if (this.#fulfilled(group) || this.#solutions(group).length > 0) continue;
      this.#discard(name);
      return false;
    }
    if (!this.#excludeConflicting(solvable)) return false;
    this.#entered.add(name);
    this.#selected.set(name, solvable);
    for (const group of data.depends) {
      if (this.#fulfilled(group) || this.#resolve(solvable, group, depth, true)) continue;
      if (this.#protected.has(name)) this.#failed = true;
      else {
        this.#discard(name);
        return false;
      }
    }
    if (this.#recommends)
      for (const group of data.recommends ?? [])
        if (!this.#fulfilled(group)) this.#resolve(solvable, group, depth, false);
    return true;
  }

  #resolve(owner: DebSolvable, group: string, depth: number, critical: boolean): boolean {
    const solutions = this.#solutions(group);
    const only = critical && this.#protected.has(owner.name) && solutions.length === 1;
    for (const solution of solutions) {
      if (only) this.#protected.add(solution.name);
      if (this.#install(solution, depth + 1)) return true;
    }
    return false;
  }

  #discard(name: string): void {
    this.#discarded.add(name);
    if (this.#selected.get(name)?.repository !== undefined) this.#selected.delete(name);
  }

  /** What conflicts with something that must stay can't come in any more. Contradictions with what is in are for the solver. */
  #excludeConflicting(solvable: DebSolvable): boolean {
    for (const other of conflictsOf(this.#universe, solvable)) {
      if (this.#isSelected(other) && !this.#give(other)) {
        this.#failed = true;
        return false;
      }
      if (
        this.#protected.has(solvable.name) &&
        this.#universe.candidate(other.name) === other &&
        !this.#selected.has(other.name)
      )
        this.#discarded.add(other.name);
    }
    return true;
  }

  /** What hosts have gives way to what was asked for, by upgrade or removal, unless it is essential or asked for itself. */
  #give(other: DebSolvable): boolean {
    if (!this.#installed.has(other) || this.#protected.has(other.name) || other.data.essential) return false;
    this.#selected.delete(other.name);
    this.#discarded.add(other.name);
    return true;
  }

  #consistent(): boolean {
    for (const solvable of this.#selected.values()) {
      if (conflictsOf(this.#universe, solvable).some((other) => this.#isSelected(other))) return false;
      const wasFulfilled = (group: string): boolean =>
        solvable.repository !== undefined ||
        this.#universe.group(group).some((other) => this.#installed.has(other));
      if (!solvable.data.depends.every((group) => this.#fulfilled(group) || !wasFulfilled(group)))
        return false;
    }
    return true;
  }
}

/** What may not be there beside a package, by its Conflicts and Breaks. */
export function conflictsOf(universe: DebUniverse, { name, data }: DebSolvable): DebSolvable[] {
  const groups = [...(data.conflicts ?? []), ...(data.breaks ?? [])];
  return groups.flatMap((group) => universe.group(group)).filter((other) => other.name !== name);
}
