import type { DebSolvable, DebUniverse } from "./universe.ts";

/** What becomes of a name, as apt's dependency cache keeps it. */
export interface State {
  readonly name: string;
  /** The version that hosts have. */
  readonly current: DebSolvable | undefined;
  /** The one version that may come in. */
  candidate: DebSolvable | undefined;
  /** The one that others take it for: one that was given up counts until something changes here again. */
  known: DebSolvable | undefined;
  /** The version that is there in the end. */
  install: DebSolvable | undefined;
  mode: "keep" | "install" | "delete";
  /** Nothing but a request may change its mode. */
  protected: boolean;
  /** It was asked for by name. */
  manual: boolean;
}

const MAX_DEPTH = 3000;

/** The state of every name, with what apt allows to change in it (its apt-pkg/depcache.cc). */
export class States {
  readonly universe: DebUniverse;
  readonly #recommends: boolean;
  readonly #installed: ReadonlyMap<string, DebSolvable>;
  readonly #states = new Map<string, State>();

  constructor(universe: DebUniverse, installed: DebSolvable[], recommends: boolean) {
    this.universe = universe;
    this.#recommends = recommends;
    this.#installed = new Map(installed.map((solvable) => [solvable.name, solvable]));
    for (const name of this.#installed.keys()) this.of(name);
  }

  of(name: string): State {
    let state = this.#states.get(name);
    if (state === undefined) {
      const current = this.#installed.get(name);
      const candidate = this.universe.candidate(name);
      state = {
        name,
        current,
        candidate,
        known: candidate,
        install: current,
        mode: "keep",
        protected: false,
        manual: false,
      };
      this.#states.set(name, state);
    }
    return state;
  }

  /** Every state that was looked at, and those of all that hosts have. */
  all(): Iterable<State> {
    return this.#states.values();
  }

  /** Relations that are followed without being asked for by name; those of Recommends on wish. */
  wished(solvable: DebSolvable): string[] {
    return this.#recommends ? (solvable.data.recommends ?? []) : [];
  }

  isIn(solvable: DebSolvable): boolean {
    return this.of(solvable.name).install === solvable;
  }

  isCandidate(solvable: DebSolvable): boolean {
    return this.of(solvable.name).candidate === solvable;
  }

  isKnown(solvable: DebSolvable): boolean {
    return this.of(solvable.name).known === solvable;
  }

  /** Whether some candidate is thought to fulfil a relation. */
  isPossible(group: string): boolean {
    return this.universe.group(group).some((solvable) => this.isIn(solvable) || this.isKnown(solvable));
  }

  fulfilled(group: string): boolean {
    return this.universe.group(group).some((solvable) => this.isIn(solvable));
  }

  /** Whether a relation of its own is not kept as things are: what it needs, or what may not be there beside it. */
  broken(state: State): boolean {
    return state.install !== undefined && this.#breaks(state.install, (other) => this.isIn(other));
  }

  /** The same of what hosts have now. */
  wasBroken({ current }: State): boolean {
    return current !== undefined && this.#breaks(current, (other) => this.of(other.name).current === other);
  }

  #breaks({ name, data }: DebSolvable, isIn: (other: DebSolvable) => boolean): boolean {
    return (
      data.depends.some((group) => !this.universe.group(group).some(isIn)) ||
      negatives(data).some((text) => this.universe.group(text).some((o) => o.name !== name && isIn(o)))
    );
  }

  /** Whether a wish of its own is not kept. */
  wanting({ install }: State): boolean {
    return install !== undefined && this.wished(install).some((group) => !this.fulfilled(group));
  }

  mayChange(state: State, mode: State["mode"], depth: number): boolean {
    if (depth > MAX_DEPTH) return false;
    if (state.mode === mode) return true;
    if (state.protected) return false;
    return mode !== "delete" || state.current?.data.essential !== true;
  }

  keep(state: State, depth: number): boolean {
    if (!this.mayChange(state, "keep", depth)) return false;
    if (state.mode === "keep") return true;
    state.mode = "keep";
    state.install = state.current;
    state.known = state.candidate;
    return true;
  }

  mayDelete(state: State, depth: number): boolean {
    return (
      this.mayChange(state, "delete", depth) &&
      !(state.current === undefined && state.install && state.manual)
    );
  }

  delete(state: State, depth: number): boolean {
    if (!this.mayChange(state, "delete", depth)) return false;
    if (state.mode === "delete" || state.install === undefined) return true;
    if (!this.mayDelete(state, depth)) return false;
    state.mode = state.current === undefined ? "keep" : "delete";
    state.install = undefined;
    state.known = state.candidate;
    return true;
  }

  /** Takes the candidate, whatever was there before. */
  take(state: State): void {
    if (state.protected && state.install === state.candidate) return;
    state.install = state.candidate;
    state.mode = state.candidate === state.current ? "keep" : "install";
    state.known = state.candidate;
  }

  /** Back to what hosts have, and no other version is tried any more. */
  giveUp(state: State): void {
    if (state.mode === "keep" && state.install === state.candidate && state.candidate === state.current)
      return;
    state.install = state.current;
    state.mode = "keep";
    state.known = state.candidate;
    state.candidate = state.install;
  }
}

/** Conflicts and Breaks: none of these may be there. */
export function negatives({ conflicts = [], breaks = [] }: DebSolvable["data"]): string[] {
  return [...conflicts, ...breaks];
}

/** What may not be there beside a package, by its Conflicts and Breaks. */
export function conflictsOf(universe: DebUniverse, { name, data }: DebSolvable): DebSolvable[] {
  return negatives(data)
    .flatMap((text) => universe.group(text))
    .filter((other) => other.name !== name);
}
