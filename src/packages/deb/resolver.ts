import { type Dependency, dependenciesOf, hashOf, isKept, isNegative, targetsOf } from "./dependencies.ts";
import type { Alternative } from "./relation.ts";
import { scoresOf } from "./scores.ts";
import type { State, States } from "./states.ts";
import type { DebSolvable, DebUniverse } from "./universe.ts";

const MAX_ROUNDS = 20;

/** What one way or another has to go, for a relation of something that weighs more. */
interface Loss {
  state: State;
  dependency: Dependency;
}

type Fate = "settled" | "open" | "leave";

/**
 * What apt does about what is broken after everything was marked: from what weighs most to what
 * weighs least, it holds back, upgrades or removes the lighter one of two that do not go together.
 * (apt-pkg/algorithms.cc, `pkgProblemResolver`.)
 */
export class Resolver {
  readonly #universe: DebUniverse;
  readonly #states: States;
  readonly #asked: ReadonlySet<string>;
  /** Marks a candidate for installation, with what it needs or without. */
  readonly #mark: (state: State, follow: boolean, depth: number) => void;
  readonly #broken: (state: State) => boolean;
  /** Those that were to be installed before, and those that were not tried yet. */
  readonly #marked = new Set<State>();
  readonly #untried = new Set<State>();
  #names: string[] = [];
  #scores = new Map<string, number>();
  #round = 0;
  #changed = false;
  /** Within a relation with alternatives: whether its owner is held back rather than removed. */
  #holds = false;

  constructor(
    universe: DebUniverse,
    states: States,
    asked: ReadonlySet<string>,
    mark: (state: State, follow: boolean, depth: number) => void,
    broken: (state: State) => boolean,
  ) {
    this.#universe = universe;
    this.#states = states;
    this.#asked = asked;
    this.#mark = mark;
    this.#broken = broken;
  }

  run(): void {
    this.#names = this.#universe.names().sort((a, b) => hashOf(a) - hashOf(b) || (a < b ? -1 : 1));
    this.#upgradeBroken();
    if (this.#brokenOnes() === 0) return;
    this.#scores = scoresOf(this.#universe, this.#states, this.#names, this.#asked);
    const score = new Map(this.#scores);
    const order = this.#names.toSorted((a, b) => (score.get(b) ?? 0) - (score.get(a) ?? 0));
    this.#changed = true;
    for (this.#round = 0; this.#round < MAX_ROUNDS && this.#changed; this.#round++) {
      this.#changed = false;
      for (const name of order) this.#look(this.#states.of(name));
    }
  }

  #upgradeBroken(): void {
    for (let again = true; again; ) {
      again = false;
      for (const name of this.#names) {
        const state = this.#states.of(name);
        this.#untried.add(state);
        if (state.mode === "install") this.#marked.add(state);
        else {
          this.#marked.delete(state);
          if (!this.#broken(state)) continue;
          this.#mark(state, false, 0);
          again ||= (state.mode as State["mode"]) === "install";
        }
      }
    }
  }

  #brokenOnes(): number {
    return this.#names.reduce((count, name) => count + Number(this.#broken(this.#states.of(name))), 0);
  }

  #score(state: State): number {
    return this.#scores.get(state.name) ?? 0;
  }

  #raise(state: State, to: State): boolean {
    if (this.#score(state) >= this.#score(to)) return false;
    this.#scores.set(state.name, this.#score(to));
    return true;
  }

  #look(state: State): void {
    this.#reinstate(state);
    if (state.install === undefined || !this.#broken(state)) return;
    const losses: Loss[] = [];
    for (const dependency of dependenciesOf(this.#universe, state.install)) {
      if (dependency.kind === "recommends") continue;
      const before = losses.length;
      this.#holds = false;
      const fate = this.#consider(state, dependency, losses);
      if (fate === "leave") break;
      // Even where the last alternative was made to hold: apt does not look again.
      const several = dependency.alternatives.length > 1;
      if (fate === "open" && several && losses.length === before) this.#giveUp(state);
    }
    if (state.install !== undefined) for (const loss of losses) this.#lose(state, loss);
  }

  /** What was held back, although its upgrade breaks nothing any more, is upgraded after all. */
  #reinstate(state: State): void {
    const { candidate, current, install } = state;
    if (current === undefined || install === undefined || candidate === install) return;
    if (state.protected || !this.#marked.delete(state)) return;
    this.#untried.delete(state);
    const before = this.#brokenOnes();
    this.#mark(state, false, 0);
    if (this.#broken(state) || before < this.#brokenOnes()) this.#states.keep(state, 0);
  }

  #isKept(dependency: Dependency): boolean {
    return isKept(this.#universe, dependency, (solvable) => this.#states.isIn(solvable));
  }

  #wasKept(dependency: Dependency): boolean {
    return isKept(this.#universe, dependency, (solvable) => this.#isNow(solvable));
  }

  #isNow(solvable: DebSolvable): boolean {
    return this.#states.of(solvable.name).current === solvable;
  }

  /** Of a relation with several alternatives that nothing was found for. */
  #giveUp(state: State): void {
    if (this.#holds) this.#states.keep(state, 0);
    else if (state.protected) return;
    else this.#states.delete(state, 0);
    this.#changed = true;
  }

  /** @returns `leave` when the relations behind it are not looked at */
  #consider(state: State, dependency: Dependency, losses: Loss[]): Fate {
    for (const alternative of dependency.alternatives) {
      if (this.#isKept(dependency)) return "settled";
      const fate = this.#alternative(state, dependency, alternative, losses);
      if (fate === "leave") return "leave";
      if (fate === "settled" && dependency.alternatives.length === 1) return "leave";
    }
    return "open";
  }

  #alternative(state: State, dependency: Dependency, alternative: Alternative, losses: Loss[]): Fate {
    const targets = targetsOf(this.#universe, dependency, alternative);
    const negative = isNegative(dependency);
    const several = dependency.alternatives.length > 1;
    if (targets.length === 0 && !negative && !state.protected) {
      if (!this.#states.wasBroken(state)) {
        if (several) return "open";
        this.#changed = true;
        this.#states.keep(state, 0);
        return "leave";
      }
      this.#withoutTargets(state, several);
      return "settled";
    }
    for (const target of targets) {
      const other = this.#states.of(target.name);
      if (negative && other.install !== target) continue;
      const had = negative || targets.some((solvable) => this.#isNow(solvable));
      if (this.#score(state) <= this.#score(other) || !had) {
        if (!state.protected) {
          this.#change(state, other, alternative, several);
          return "settled";
        }
        if (!this.#upgrade(other)) continue;
        if (this.#score(other) > this.#score(state)) this.#scores.set(other.name, this.#score(state));
        break;
      }
      if (dependency.kind === "breaks" && this.#candidateKeeps(dependency)) {
        this.#mark(other, false, 0);
        continue;
      }
      if (other.protected && other.mode !== "delete") continue;
      losses.push({ state: other, dependency });
      if (!negative) break;
    }
    return "open";
  }

  #candidateKeeps(dependency: Dependency): boolean {
    return isKept(this.#universe, dependency, (solvable) => this.#states.isCandidate(solvable));
  }

  #withoutTargets(state: State, several: boolean): void {
    const installing = state.mode === "install";
    this.#states.keep(state, 0);
    if (!this.#broken(state)) this.#held(state, several && installing);
    else if (!several) this.#states.delete(state, 0);
    this.#changed = true;
  }

  /** It could be held back; where other alternatives are left, that is only noted. */
  #held(state: State, restore: boolean): void {
    this.#holds = true;
    if (restore) this.#mark(state, false, 0);
  }

  /** Changes the lighter one rather than what it needs: holds it back, upgrades or removes it. */
  #change(state: State, other: State, alternative: Alternative, several: boolean): void {
    this.#changed = true;
    const installing = state.mode === "install";
    this.#states.keep(state, 0);
    if (!this.#broken(state)) this.#held(state, several && installing);
    else if (this.#upgrade(state)) return;
    else if (!several) {
      this.#states.delete(state, 0);
      if (this.#round > 1) this.#raise(state, other);
    } else this.#installInstead(this.#states.of(alternative.name));
  }

  #installInstead(state: State): void {
    if (state.current !== undefined || state.mode === "delete" || state.candidate === undefined) return;
    const before = this.#brokenOnes();
    this.#mark(state, true, 1);
    this.#holds = true;
    if (!this.#broken(state) && this.#brokenOnes() <= before) return;
    this.#states.delete(state, 1);
    this.#holds = false;
  }

  #lose(state: State, { state: other, dependency }: Loss): void {
    const done = this.#wasKept(dependency)
      ? this.#states.keep(other, 0)
      : isNegative(dependency) && this.#states.delete(other, 0);
    if ((!done || this.#round > 1) && this.#raise(other, state)) this.#changed = true;
    if (done) this.#changed = true;
  }

  /** Installs or upgrades a package together with what its relations ask for. @returns whether that works out */
  #upgrade(state: State): boolean {
    if (!this.#untried.has(state) || state.candidate === undefined || state.candidate === state.current)
      return false;
    if (this.#asked.has(state.name)) return false;
    this.#untried.delete(state);
    const wasKept = state.mode === "keep";
    this.#mark(state, false, 0);
    if (state.install === undefined) return false;
    const fine = dependenciesOf(this.#universe, state.install)
      .filter(({ kind }) => kind !== "recommends")
      .every((dependency) => this.#fulfil(dependency));
    if (fine) return true;
    if (wasKept) this.#states.keep(state, 0);
    else this.#states.delete(state, 0);
    return false;
  }

  #fulfil(dependency: Dependency): boolean {
    let fine = true;
    for (const alternative of dependency.alternatives) {
      if (this.#isKept(dependency)) return fine;
      const state = this.#smartTarget(dependency, alternative);
      const single = { ...dependency, alternatives: [alternative] };
      if (state.protected) fine = false;
      else if (isKept(this.#universe, single, (solvable) => this.#states.isKnown(solvable))) {
        if (this.#upgrade(state)) return true;
        fine = false;
      } else if (isNegative(dependency)) return fine;
      else fine = false;
    }
    return fine;
  }

  /** The package that an alternative means: that of its name, or where there is none, the one that provides it. */
  #smartTarget(dependency: Dependency, { name }: Alternative): State {
    if (this.#universe.named(name).length > 0) return this.#states.of(name);
    const providing = targetsOf(this.#universe, dependency, {
      name,
      qualifier: "",
      operator: "",
      version: "",
    }).find((solvable) => solvable.name !== dependency.owner);
    return this.#states.of(providing?.name ?? name);
  }
}
