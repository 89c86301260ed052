import type { Alternative } from "./relation.ts";
import { Resolver } from "./resolver.ts";
import { negatives, type State, States } from "./states.ts";
import { compareProviders, type DebSolvable, type DebUniverse } from "./universe.ts";

interface Call {
  depth: number;
  /** It was asked for by name. */
  asked: boolean;
}

/**
 * What apt does before it has to solve anything (its apt-pkg/depcache.cc, `MarkInstall`): depth
 * first, the first alternative that works out, only the candidate version of each package. Where
 * nothing is broken in the end that is the answer, and the same as apt's.
 */
export class Marker {
  readonly #states: States;
  readonly #universe: DebUniverse;
  /** What hosts have, by the source package of its candidate. */
  readonly #bySource = new Map<string, string[]>();
  /** Of what hosts have: who depends on a name, the last to say so first. */
  readonly #dependants = new Map<string, { owner: string; alternative: Alternative }[]>();

  constructor(universe: DebUniverse, installed: DebSolvable[], recommends: boolean) {
    this.#states = new States(universe, installed, recommends);
    this.#universe = universe;
    for (const { name } of installed) {
      const { current, candidate } = this.#states.of(name);
      if (candidate !== undefined && candidate !== current) push(this.#bySource, sourceOf(candidate), name);
    }
    for (const host of installed.toReversed())
      for (const group of [...host.data.depends, ...this.#states.wished(host)])
        for (const alternative of universe.alternatives(group))
          push(this.#dependants, alternative.name, { owner: host.name, alternative });
  }

  /** @returns the packages that are there in the end, or undefined when something did not work out */
  run(asked: DebSolvable[]): DebSolvable[] | undefined {
    for (const solvable of asked) {
      const state = this.#states.of(solvable.name);
      state.candidate = solvable;
      state.known = solvable;
      state.protected = true;
      state.manual = true;
      this.#mark(state, false, { depth: 0, asked: true });
    }
    for (const { name } of asked) this.#mark(this.#states.of(name), true, { depth: 0, asked: true });
    new Resolver(
      this.#universe,
      this.#states,
      new Set(asked.map(({ name }) => name)),
      (state, follow, depth) => void this.#mark(state, follow, { depth, asked: false }),
      (state) => this.#states.broken(state) && !this.#wasSo(state),
    ).run();
    const all = [...this.#states.all()];
    if (all.some((state) => this.#states.broken(state) && !this.#wasSo(state))) return undefined;
    if (asked.some((solvable) => !this.#states.isIn(solvable))) return undefined;
    return all.map(({ install }) => install).filter((solvable) => solvable !== undefined);
  }

  /** What hosts have may be broken already. */
  #wasSo(state: State): boolean {
    return state.install === state.current && this.#states.wasBroken(state);
  }

  /** @param follow whether what it needs is brought in, and what it breaks is moved out of its way */
  #mark(state: State, follow: boolean, call: Call): boolean {
    const { current } = state;
    const states = this.#states;
    const stays = state.protected && state.mode === "keep" && state.candidate && state.candidate === current;
    if (!stays && !call.asked && !states.mayChange(state, "install", call.depth)) return false;
    if (state.candidate === undefined) return false;
    if (!state.protected && !states.wanting(state) && !states.broken(state)) {
      if (state.candidate === current)
        return state.install !== undefined || states.keep(state, call.depth + 1);
      if (state.mode === "install") return true;
    }
    if (follow && !this.#canBeFulfilled(state)) return false;
    if (call.asked) states.take(state);
    if (follow) return this.#markWithOthers(state, state.candidate, call);
    if (!call.asked) states.take(state);
    return true;
  }

  /** Gives a candidate up that needs what nothing has. */
  #canBeFulfilled(state: State): boolean {
    const { candidate, current } = state;
    if (candidate === undefined || candidate === current) return true;
    if (candidate.data.depends.every((group) => this.#states.isPossible(group))) return true;
    if (!state.protected) {
      state.candidate = current;
      if (current !== undefined) state.known = current;
      if (state.mode !== "delete") state.mode = "keep";
    }
    return false;
  }

  #markWithOthers(state: State, solvable: DebSolvable, call: Call): boolean {
    const states = this.#states;
    const wasProtected = state.protected;
    const tolerant = wasProtected || call.asked;
    const groups = [...solvable.data.depends, ...states.wished(solvable)].filter(
      (group) => wasProtected || !states.fulfilled(group),
    );
    const toUpgrade: State[] = [];
    const toRemove: State[] = [];
    let failed = !this.#makeRoom(state, solvable, { ...call, wasProtected }, toUpgrade, toRemove);
    if (failed && !tolerant) return false;
    this.#collectDependants(state, solvable, toUpgrade);
    if (!call.asked) states.take(state);
    state.protected = true;
    try {
      this.#upgradeSameSource(state, solvable, call.depth);
      const steps = [
        () => this.#upgradeOrRemove(toUpgrade, call, wasProtected),
        () => this.#bringIn(state, solvable, groups, call, wasProtected),
        () => toRemove.filter((other) => !states.delete(other, call.depth)).length === 0,
      ];
      for (const step of steps) {
        if (step()) continue;
        if (!tolerant) {
          states.giveUp(state);
          return false;
        }
        failed = true;
      }
      return !failed;
    } finally {
      state.protected = wasProtected;
    }
  }

  /**
   * Moves what it conflicts with out of its way: a candidate is given up, what hosts have is upgraded, or
   * removed where that is no way.
   */
  #makeRoom(
    { name }: State,
    { data }: DebSolvable,
    { depth, asked, wasProtected }: Call & { wasProtected: boolean },
    toUpgrade: State[],
    toRemove: State[],
  ): boolean {
    const states = this.#states;
    const tolerant = wasProtected || asked;
    let failed = false;
    const bad = new Set<State>();
    const remove = (state: State): boolean => {
      if (wasProtected) {
        if (state.mode !== "delete" && !states.delete(state, depth + 1)) return false;
        state.candidate = state.install;
        state.protected = true;
        return true;
      }
      if (state.mode === "delete") return true;
      if (!states.mayDelete(state, depth)) return false;
      toRemove.push(state);
      return true;
    };
    for (const text of negatives(data)) {
      const violating = this.#universe.group(text).some((other) => other.name !== name && states.isIn(other));
      if (!violating && !wasProtected) continue;
      for (const other of this.#solutions(text, name)) {
        const state = states.of(other.name);
        if (state.candidate !== other) continue;
        let done = true;
        if (state.current === other) done = remove(state);
        else if (state.mode === "install" && !states.keep(state, depth)) done = false;
        else if (wasProtected) {
          state.candidate = state.install;
          if (state.current === undefined) state.protected = true;
        } else bad.add(state);
        if (done) continue;
        failed = true;
        if (!tolerant) return false;
      }
      for (const other of this.#universe.group(text)) {
        const state = states.of(other.name);
        if (other.name === name || state.current !== other) continue;
        if (state.candidate !== undefined && state.candidate !== other && !bad.has(state))
          toUpgrade.push(state);
        else if (state.candidate !== other && !remove(state)) {
          failed = true;
          if (!tolerant) return false;
        }
      }
    }
    return !failed;
  }

  /** What hosts have and what depends on the version that goes must go along. */
  #collectDependants({ name, current }: State, solvable: DebSolvable, toUpgrade: State[]): void {
    if (current === undefined) return;
    for (const { owner, alternative } of this.#dependants.get(name) ?? []) {
      const state = this.#states.of(owner);
      if (state.mode === "install" || toUpgrade.includes(state)) continue;
      const fulfilling = this.#universe.fulfilling(alternative);
      if (fulfilling.includes(current) && !fulfilling.includes(solvable)) toUpgrade.push(state);
    }
  }

  #upgradeOrRemove(toUpgrade: State[], { depth, asked }: Call, wasProtected: boolean): boolean {
    let failed = false;
    for (const state of toUpgrade) {
      if (state.mode === "install" || this.#mark(state, true, { depth: depth + 1, asked: false })) continue;
      if (!this.#states.delete(state, depth + 1)) {
        failed = true;
        if (!wasProtected && !asked) break;
      } else if (wasProtected) state.protected = true;
    }
    return !failed;
  }

  /** Packages that are built from one source are upgraded together. */
  #upgradeSameSource(state: State, solvable: DebSolvable, depth: number): void {
    const others = (this.#bySource.get(sourceOf(solvable)) ?? [])
      .map((name) => this.#states.of(name))
      .filter(
        (other) =>
          other !== state &&
          other.candidate !== undefined &&
          other.candidate !== other.current &&
          sourceOf(other.candidate) === sourceOf(solvable) &&
          !(other.mode === "install" && other.install === other.candidate),
      );
    for (const follow of [false, true])
      for (const other of others) this.#mark(other, follow, { depth: depth + 1, asked: false });
  }

  #bringIn(
    state: State,
    { data }: DebSolvable,
    groups: string[],
    { depth, asked }: Call,
    wasProtected: boolean,
  ): boolean {
    const critical = new Set(data.depends);
    const next = { depth: depth + 1, asked: false };
    let failed = false;
    for (const group of groups) {
      const needed = critical.has(group);
      if (this.#states.fulfilled(group)) {
        if (wasProtected && needed && !this.#protectOnly(group, next)) failed = true;
        continue;
      }
      if (!needed && state.current !== undefined && !this.#isNewWish(state.current, group)) continue;
      if (this.#firstThatWorks(group, wasProtected && needed, next) || !needed) continue;
      failed = true;
      if (!wasProtected && !asked) break;
    }
    return !failed;
  }

  /** Where only one package can keep a relation of something that must stay, that one must stay too. */
  #protectOnly(group: string, next: Call): boolean {
    const states = this.#states;
    const possible = this.#universe
      .group(group)
      .filter((solvable) => states.isCandidate(solvable) || states.of(solvable.name).current === solvable);
    const [only] = possible;
    if (only === undefined || possible.length > 1) return true;
    const state = states.of(only.name);
    if (state.protected) return true;
    state.protected = true;
    return this.#mark(state, true, next);
  }

  #firstThatWorks(group: string, mustStay: boolean, next: Call): boolean {
    const solutions = this.#solutions(group);
    for (const solution of solutions) {
      const state = this.#states.of(solution.name);
      if (state.candidate !== solution) continue;
      if (mustStay && solutions.length === 1) {
        if (!this.#mark(state, false, next)) continue;
        state.protected = true;
      }
      if (this.#mark(state, true, next)) return true;
    }
    return false;
  }

  /** A wish that the version before had too, and did without, is not looked at again. */
  #isNewWish(current: DebSolvable, group: string): boolean {
    const [first] = this.#universe.alternatives(group);
    const same = this.#states
      .wished(current)
      .filter((other) => this.#universe.alternatives(other).some(({ name }) => name === first?.name));
    const wasKept = (other: string): boolean =>
      this.#universe.group(other).some((solvable) => this.#states.of(solvable.name).current === solvable);
    return same.length === 0 || same.some(wasKept);
  }

  /**
   * Candidates that match a relation, in the order in which apt tries them: by alternative, but all that
   * hosts have in some version first.
   * @param of whose Conflicts or Breaks these are, which never mean itself
   */
  #solutions(group: string, of?: string): DebSolvable[] {
    const states = this.#states;
    const found = this.#universe.alternatives(group).flatMap((alternative) =>
      this.#universe
        .fulfilling(alternative)
        .filter((solvable) => solvable.name !== of && states.isCandidate(solvable))
        .sort(
          (a, b) =>
            Number(states.of(b.name).protected) - Number(states.of(a.name).protected) ||
            Number(states.of(b.name).current !== undefined) -
              Number(states.of(a.name).current !== undefined) ||
            compareProviders(this.#universe, a, b, alternative.name),
        ),
    );
    const isOut = ({ protected: fixed, mode, current }: State): boolean =>
      fixed && (mode === "delete" || (mode === "keep" && current === undefined));
    const present = found.filter(({ name }) => states.of(name).current !== undefined);
    const absent = found.filter(({ name }) => states.of(name).current === undefined);
    return [...new Set([...present, ...absent])].filter(
      ({ name }) => of !== undefined || !isOut(states.of(name)),
    );
  }
}

/** Its source package with that one's version, as one text. */
function sourceOf({ name, version, data }: DebSolvable): string {
  const [, source = name, own = version] = /^(\S+)(?:\s+\((.+)\))?$/.exec(data.source ?? name) ?? [];
  return `${source} ${own}`;
}

function push<Value>(map: Map<string, Value[]>, key: string, value: Value): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
