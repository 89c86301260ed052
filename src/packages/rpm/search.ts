import { Sat } from "../solver/sat.ts";
import { Policy } from "./policy.ts";
import type { Rules } from "./rules.ts";
import type { Universe } from "./universe.ts";
import { Wishes } from "./weak.ts";

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
  readonly #rules: Rules;
  readonly #options: SearchOptions;
  readonly #sat: Sat;
  readonly #policy: Policy;
  readonly #wishes: Wishes;
  #level = 1;

  constructor(universe: Universe, rules: Rules, options: SearchOptions) {
    this.#rules = rules;
    this.#options = options;
    this.#sat = new Sat(universe.size, rules.store);
    this.#policy = new Policy(universe, this.#sat);
    this.#wishes = new Wishes(universe, this.#sat, this.#policy);
  }

  /** @throws Unsatisfiable */
  run(): number[] {
    this.#sat.start();
    for (let steps = 0; ; ) {
      if (!this.#jobs() || !this.#hosts() || !this.#requirements()) continue;
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
      this.#level = this.#sat.branch(this.#policy.filter(open, true), before);
      if (this.#level < start) return false;
      if (this.#level <= before) i = this.#level === before ? i - 1 : -1;
    }
    return true;
  }

  #hosts(): boolean {
    const start = this.#level;
    for (const rule of this.#rules.ofKind("keep")) {
      const from = this.#rules.from(rule);
      if (!this.#sat.isOpen(from)) continue;
      this.#level = this.#sat.decide(from, this.#level);
      if (this.#level < start) return false;
    }
    return true;
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

/** @throws Unsatisfiable */
export function search(universe: Universe, rules: Rules, options: SearchOptions): number[] {
  return new Search(universe, rules, options).run();
}
