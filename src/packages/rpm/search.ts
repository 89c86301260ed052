import { ExplainedRules, RuleStore } from "../solver/rule-store.ts";
import { Sat, Unsatisfiable } from "../solver/sat.ts";
import { Policy } from "./policy.ts";
import type { Rules } from "./rules.ts";
import type { Universe } from "./universe.ts";
import { Wishes } from "./weak.ts";
import { withoutNeedless, withoutRule, withWeakRules } from "./weak-rules.ts";

export interface SearchOptions {
  /** Take weak dependencies along where that is possible. */
  recommends: boolean;
}

const MAX_MINIMISATIONS = 10_000;

/**
 * Finds a set of packages that keeps all rules, deciding in the order in which libsolv does (its
 * src/solver.c, `solver_run_sat`): what was asked for, what hosts have, then every open
 * requirement, those with one candidate worth taking first.
 */
class Search {
  readonly #universe: Universe;
  readonly #rules: Rules;
  readonly #options: SearchOptions;
  readonly #sat: Sat;
  readonly #policy: Policy;
  readonly #wishes: Wishes;
  #level = 1;
  /** Among what hosts have: where to go on. */
  #position = 0;

  constructor(universe: Universe, rules: Rules, options: SearchOptions) {
    this.#universe = universe;
    this.#rules = rules;
    this.#options = options;
    this.#sat = new Sat(universe.size, rules.store);
    this.#policy = new Policy(universe, this.#sat);
    this.#wishes = new Wishes(universe, this.#sat, this.#policy);
  }

  /** @throws Unsatisfiable */
  run(): number[] {
    this.#sat.start();
    let settled = Number.POSITIVE_INFINITY;
    for (let steps = 0; ; ) {
      // What was asked for and what hosts have is looked at again only when a conflict led back to it.
      if (this.#level < settled) {
        if (!this.#jobs() || !this.#hosts()) continue;
        settled = this.#level;
      }
      if (!this.#requirements()) continue;
      const wished = this.#options.recommends ? this.#wishes.round(this.#level) : undefined;
      if (wished !== undefined) {
        this.#level = wished;
        continue;
      }
      const level =
        steps++ < MAX_MINIMISATIONS ? this.#sat.minimise((id) => this.#policy.wishedFor(id)) : undefined;
      if (level === undefined) return this.#sat.chosen();
      this.#level = level;
    }
  }

  /** The open candidates of a rule, or undefined when it is kept already. */
  #open(rule: number): number[] | undefined {
    const { store } = this.#rules;
    const { literals } = store;
    let open: number[] | undefined;
    for (let at = store.start(rule), end = store.end(rule); at < end; at++) {
      const literal = literals[at] as number;
      if (literal < 0) {
        if (!this.#sat.isTrue(-literal)) return undefined;
      } else if (this.#sat.isTrue(literal)) return undefined;
      else if (this.#sat.isOpen(literal)) {
        if (open) open.push(literal);
        else open = [literal];
      }
    }
    return open;
  }

  /** Like the next two: false when conflicts led back to before it began. */
  #jobs(): boolean {
    const start = this.#level;
    const jobs = this.#rules.ofKind("job");
    for (let i = 0; i < jobs.length; i++) {
      const open = this.#open(jobs[i] as number);
      if (open === undefined) continue;
      const before = this.#level;
      // What hosts have already is what was asked for, unless something demands another.
      const there = open.filter((id) => this.#universe.get(id).repository === undefined);
      const candidates = this.#policy.filter(there.length > 0 ? there : open, true);
      this.#level = this.#sat.branch(candidates, before);
      if (this.#level < start) return false;
      if (this.#level <= before) i = this.#level === before ? i - 1 : -1;
    }
    return true;
  }

  /**
   * Keeps what hosts have; where that can't be, takes what replaces it. After a conflict it goes on
   * with the package that led to it, all the others behind (libsolv's src/solver.c, `resolve_installed`).
   */
  #hosts(): boolean {
    const start = this.#level;
    const keep = this.#rules.ofKind("keep");
    for (let done = 0; done < keep.length; ) {
      const rule = keep[this.#position % keep.length] as number;
      const before = this.#level;
      this.#level = this.#keep(rule);
      if (this.#level < start) return false;
      if (this.#level < before) done = 0;
      else if (this.#level > before || !this.#pending(rule)) {
        this.#position++;
        done++;
      }
    }
    this.#position = 0;
    return true;
  }

  /** Whether something has still to be decided for a package that hosts have. */
  #pending(rule: number): boolean {
    return this.#sat.isOpen(this.#rules.from(rule)) || this.#open(rule) !== undefined;
  }

  /** @returns the level reached */
  #keep(rule: number): number {
    const host = this.#rules.from(rule);
    if (this.#sat.isOpen(host)) return this.#sat.decide(host, this.#level);
    const open = this.#sat.isFalse(host) ? this.#open(rule) : undefined;
    if (open === undefined) return this.#level;
    return this.#sat.branch(this.#policy.filter(open, true), this.#level);
  }

  #requirements(): boolean {
    const start = this.#level;
    let postponed = -1;
    let choosing = false;
    for (let index = 0, idle = 0; ; index++, idle++) {
      if (idle >= this.#rules.size) {
        if (choosing || postponed < 0) return true;
        index = postponed;
        choosing = true;
        idle = 0;
      }
      if (index >= this.#rules.size) index = 0;
      const open = this.#open(index);
      if (open === undefined) continue;
      const candidates = this.#policy.filter(open, choosing);
      if (!choosing && candidates.length > 1) {
        if (postponed < 0) postponed = index;
        continue;
      }
      this.#level = this.#sat.branch(candidates, this.#level);
      if (this.#level < start) return false;
      idle = -1;
    }
  }
}

/**
 * Finds what to install. What should be preferred is given up, one preference after the other, where
 * it stands in the way. On hosts that have something, the newest of what was asked for comes before
 * keeping what they have, as with dnf's `best=1`, which fails where the next older one is taken here.
 * @throws Unsatisfiable by the given rules alone
 */
export function search(universe: Universe, rules: Rules, options: SearchOptions): number[] {
  if (rules.ofKind("keep").length === 0) return new Search(universe, rules, options).run();
  const policy = new Policy(universe, new Sat(universe.size, new RuleStore()));
  const best = (candidates: number[]): number[] => policy.best(candidates);
  try {
    return preferring(universe, withBestRules(rules, best), best, options);
  } catch (error) {
    if (!(error instanceof Unsatisfiable)) throw error;
    return preferring(universe, rules, best, options);
  }
}

type Best = (candidates: number[]) => number[];

/** @throws Unsatisfiable by the given rules alone */
function preferring(universe: Universe, rules: Rules, best: Best, options: SearchOptions): number[] {
  let weak = withWeakRules(universe, rules, best);
  for (;;) {
    try {
      const chosen = new Search(universe, weak.rules, options).run();
      const left = withoutNeedless(weak, new Set(chosen));
      if (left === undefined) return chosen;
      weak = left;
    } catch (error) {
      if (!(error instanceof Unsatisfiable)) throw error;
      const failed = Math.max(...error.rules);
      if (failed < weak.base) throw error;
      weak = withoutRule(weak, failed);
    }
  }
}

/** The rules, and for each job one that names the best of its candidates alone. */
function withBestRules(given: Rules, best: Best): Rules {
  const rules: Rules = new ExplainedRules(given);
  for (let rule = 0; rule < given.size; rule++) given.copy(rule, rules);
  for (const job of given.ofKind("job")) {
    const candidates = given.literals(job);
    if (candidates.every((id) => id > 0))
      rules.add(best(candidates), "job", given.from(job), given.relation(job));
  }
  return rules;
}
