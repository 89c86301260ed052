import { ExplainedRules, RuleStore } from "../solver/rule-store.ts";
import { Sat, Unsatisfiable } from "../solver/sat.ts";
import { Policy } from "./policy.ts";
import type { Rules } from "./rules.ts";
import type { Universe } from "./universe.ts";
import { compareEvr } from "./version.ts";
import { Wishes } from "./weak.ts";
import { WeakRules } from "./weak-rules.ts";

export interface SearchOptions {
  /** Take weak dependencies along where that is possible. */
  recommends: boolean;
}

const MAX_MINIMISATIONS = 10_000;

/**
 * Finds a set of packages that keeps all rules, deciding in the order in which libsolv does (its
 * src/solver.c, `solver_run_sat`): what was asked for, what hosts have, then every open
 * requirement, those with one candidate worth taking first. What should be preferred is given up
 * where it stands in the way.
 */
class Search {
  readonly #universe: Universe;
  readonly #rules: Rules;
  readonly #weak: WeakRules | undefined;
  readonly #options: SearchOptions;
  readonly #sat: Sat;
  readonly #policy: Policy;
  readonly #wishes: Wishes;
  #level = 1;
  /** Among what hosts have: where to go on. */
  #position = 0;

  constructor(universe: Universe, rules: Rules, weak: WeakRules | undefined, options: SearchOptions) {
    this.#universe = universe;
    this.#rules = rules;
    this.#weak = weak;
    this.#options = options;
    this.#sat = new Sat(universe.size, rules.store);
    this.#policy = new Policy(universe, this.#sat);
    this.#wishes = new Wishes(universe, this.#sat, this.#policy);
  }

  /** @throws Unsatisfiable by the rules that must be kept */
  run(): number[] {
    for (;;) {
      try {
        this.#sat.start();
        if (this.#decideAll()) return this.#sat.chosen();
      } catch (error) {
        if (!(error instanceof Unsatisfiable)) throw error;
        const failed = this.#weak?.failed(error.rules) ?? [];
        if (failed.length === 0) throw error;
        this.#sat.giveUp(failed);
      }
    }
  }

  /** @returns false when preferences were given up, so that it has to start over */
  #decideAll(): boolean {
    this.#level = 1;
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
      if (this.#givesUpNeedless()) return false;
      const level =
        steps++ < MAX_MINIMISATIONS ? this.#sat.minimise((id) => this.#policy.wishedFor(id)) : undefined;
      if (level === undefined) return true;
      this.#level = level;
    }
  }

  #givesUpNeedless(): boolean {
    const needless = this.#weak?.needless(new Set(this.#sat.chosen())) ?? [];
    if (needless.length === 0) return false;
    this.#sat.giveUp(needless);
    return true;
  }

  /** Like the next two: false when conflicts led back to before it began. */
  #jobs(): boolean {
    const start = this.#level;
    const jobs = this.#rules.ofKind("job");
    for (let i = 0; i < jobs.length; i++) {
      const open = this.#sat.open(jobs[i] as number);
      if (open === undefined) continue;
      const before = this.#level;
      // What hosts have already is what was asked for, unless something demands another.
      const there = open.filter((id) => this.#universe.get(id).repository === undefined);
      const best = this.#policy.filter(there.length > 0 ? there : open, true);
      const candidates = this.#policy.hostsWishesFirst(best, best.length > 1 ? this.#undecidedHosts() : []);
      this.#level = this.#sat.branch(candidates, before);
      if (this.#level < start) return false;
      if (this.#level <= before) i = this.#level === before ? i - 1 : -1;
    }
    return true;
  }

  #undecidedHosts(): number[] {
    return this.#rules
      .ofKind("keep")
      .map((rule) => this.#rules.from(rule))
      .filter((id) => this.#sat.isOpen(id));
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
    return this.#sat.isOpen(this.#rules.from(rule)) || this.#sat.open(rule) !== undefined;
  }

  /** @returns the level reached */
  #keep(rule: number): number {
    const host = this.#rules.from(rule);
    if (this.#sat.isOpen(host)) return this.#sat.decide(host, this.#level);
    const open = this.#sat.isFalse(host) ? this.#sat.open(rule) : undefined;
    if (open === undefined) return this.#level;
    return this.#sat.branch(this.#policy.filter(open, true), this.#level);
  }

  #requirements(): boolean {
    const start = this.#level;
    let postponed = -1;
    let choosing = false;
    for (let index = 0, idle = 0; ; index++, idle++) {
      if (idle >= this.#sat.rules) {
        if (choosing || postponed < 0) return true;
        index = postponed;
        choosing = true;
        idle = 0;
      }
      if (index >= this.#sat.rules) index = 0;
      const open = this.#sat.open(index);
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

/** What was found: the ids that come in or stay. */
export interface Found {
  chosen: number[];
  /** By the place of a job among the jobs: its best candidates, where it has worse ones too and all jobs can be had at their best. */
  best: ReadonlyMap<number, number[]>;
}

/**
 * Finds what to install. On hosts that have something, the newest of what was asked for comes before
 * keeping what they have, as with dnf's `best=1`, which fails where the next older one is taken here.
 * Nothing that hosts have is downgraded, but the way there is that of dnf, which would.
 * @throws Unsatisfiable by the given rules alone
 */
export function search(universe: Universe, rules: Rules, options: SearchOptions): Found {
  if (rules.ofKind("keep").length === 0)
    return { chosen: new Search(universe, rules, undefined, options).run(), best: new Map() };
  const policy = new Policy(universe, new Sat(universe.size, new RuleStore()));
  const run = (given: Rules): number[] => {
    const weak = new WeakRules(universe, given, (candidates) => policy.newest(candidates));
    return new Search(universe, weak.rules, weak, options).run();
  };
  const upgrading = (given: Rules): number[] => {
    const chosen = run(given);
    return downgrades(universe, given, chosen) ? run(withoutDowngrades(universe, given)) : chosen;
  };
  const best = bestOf(rules, policy);
  try {
    return { chosen: upgrading(withBestRules(rules, best)), best };
  } catch (error) {
    if (!(error instanceof Unsatisfiable)) throw error;
    return { chosen: upgrading(rules), best: new Map() };
  }
}

/** Whether an older build takes the place of one that hosts have. */
function downgrades(universe: Universe, rules: Rules, chosen: number[]): boolean {
  const inSet = new Set(chosen);
  return rules
    .ofKind("keep")
    .some((rule) =>
      rules.literals(rule).some((id) => inSet.has(id) && isOlder(universe, id, rules.from(rule))),
    );
}

function isOlder(universe: Universe, id: number, host: number): boolean {
  const [own, theirs] = [universe.get(id), universe.get(host)];
  return own.name === theirs.name && compareEvr(own.version, theirs.version) < 0;
}

function withoutDowngrades(universe: Universe, given: Rules): Rules {
  const rules: Rules = new ExplainedRules(given);
  for (let rule = 0; rule < given.size; rule++) {
    const host = given.from(rule);
    if (given.kind(rule) !== "keep") given.copy(rule, rules);
    else
      rules.add(
        given.literals(rule).filter((id) => !isOlder(universe, id, host)),
        "keep",
        host,
        given.relation(rule),
      );
  }
  return rules;
}

/** The best candidates of each job that has worse ones too, with its conditions. */
function bestOf(rules: Rules, policy: Policy): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (const [i, job] of rules.ofKind("job").entries()) {
    const candidates = rules.literals(job);
    const conditions = candidates.filter((id) => id < 0);
    const best = [...conditions, ...policy.best(candidates.filter((id) => id > 0))];
    if (best.length < candidates.length) found.set(i, best);
  }
  return found;
}

function withBestRules(given: Rules, best: ReadonlyMap<number, number[]>): Rules {
  const rules: Rules = new ExplainedRules(given);
  for (let rule = 0; rule < given.size; rule++) given.copy(rule, rules);
  const jobs = given.ofKind("job");
  for (const [i, literals] of best) {
    const job = jobs[i] as number;
    rules.add(literals, "best", given.from(job), given.relation(job));
  }
  return rules;
}
