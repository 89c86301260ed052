import { Sat } from "../packages/sat.ts";
import { Policy } from "./policy.ts";
import type { Rule } from "./rules.ts";
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
  readonly #rules: Rule[];
  readonly #options: SearchOptions;
  readonly #sat: Sat;
  readonly #policy: Policy;
  readonly #wishes: Wishes;
  #level = 1;

  constructor(universe: Universe, rules: Rule[], options: SearchOptions) {
    this.#rules = rules;
    this.#options = options;
    this.#sat = new Sat(universe.size);
    for (const { literals } of rules) this.#sat.add(literals);
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
      const level = steps++ < MAX_MINIMISATIONS ? this.#sat.minimise((id) => this.#policy.wishedFor(id)) : undefined;
      if (level === undefined) return this.#sat.chosen();
      this.#level = level;
    }
  }

  /** The open candidates of a rule, or undefined when it is kept already. */
  #open({ literals }: Rule): number[] | undefined {
    const open: number[] = [];
    for (const literal of literals) {
      if (literal < 0) {
        if (!this.#sat.isTrue(-literal)) return undefined;
      } else if (this.#sat.isTrue(literal)) return undefined;
      else if (this.#sat.isOpen(literal)) open.push(literal);
    }
    return open.length > 0 ? open : undefined;
  }

  /** Like the next two: false when conflicts led back to before it began. */
  #jobs(): boolean {
    const start = this.#level;
    const jobs = this.#rules.filter(({ kind }) => kind === "job");
    for (let i = 0; i < jobs.length; i++) {
      const open = this.#open(jobs[i] as Rule);
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
    for (const { kind, from } of this.#rules) {
      if (kind !== "keep" || !this.#sat.isOpen(from)) continue;
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
      if (idle >= this.#rules.length) {
        if (choosing || postponed < 0) return true;
        index = postponed;
        choosing = true;
        idle = 0;
      }
      if (index >= this.#rules.length) index = 0;
      const rule = this.#rules[index] as Rule;
      const open = this.#open(rule);
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
export function search(universe: Universe, rules: Rule[], options: SearchOptions): number[] {
  return new Search(universe, rules, options).run();
}
