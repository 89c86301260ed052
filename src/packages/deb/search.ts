import { ExplainedRules } from "../solver/rule-store.ts";
import { Sat } from "../solver/sat.ts";
import { conflictsOf } from "./states.ts";
import { againstInstalled, type DebSolvable, type DebUniverse, debId } from "./universe.ts";

export type DebRuleKind =
  | "depends"
  | "nothing-provides"
  | "conflicts"
  | "same-name"
  | "downgrade"
  | "job"
  | "keep";

/** The literals of a rule are in the order of preference. */
export type DebRules = ExplainedRules<DebRuleKind>;

export interface DebJob {
  text: string;
  candidates: DebSolvable[];
}

/** All rules that the jobs can reach. @param recommends also what is only wished for */
export function makeDebRules(
  universe: DebUniverse,
  jobs: DebJob[],
  installed: DebSolvable[],
  recommends: boolean,
): DebRules {
  const rules: DebRules = new ExplainedRules();
  const seen = new Set<number>();
  const queue = [...installed, ...jobs.flatMap(({ candidates }) => candidates)];
  for (const host of installed) {
    const versions = universe
      .named(host.name)
      .filter((other) => other !== host && mayReplace(universe, other, host));
    rules.add(
      [host, ...versions].map(({ id }) => id),
      "keep",
      host.id,
      host.name,
    );
    queue.push(...versions);
    for (const other of universe.named(host.name))
      if (other !== host && !versions.includes(other))
        rules.add([-other.id], "downgrade", other.id, debId(host));
  }
  for (const { text, candidates } of jobs)
    rules.add(
      candidates.map(({ id }) => id),
      "job",
      0,
      text,
    );
  for (let i = 0; i < queue.length; i++) {
    const solvable = queue[i] as DebSolvable;
    if (seen.has(solvable.id)) continue;
    seen.add(solvable.id);
    const exclude = (other: DebSolvable, kind: DebRuleKind, relation: string): void => {
      rules.add([-solvable.id, -other.id], kind, solvable.id, relation);
    };
    for (const group of solvable.data.depends) {
      const providers = candidatesFirst(universe, universe.group(group));
      if (providers.includes(solvable)) continue;
      // What a host has may be broken already; only what holds there must go on to hold.
      if (solvable.repository === undefined && !providers.some(({ repository }) => repository === undefined))
        continue;
      const kind = providers.length === 0 ? "nothing-provides" : "depends";
      rules.add([-solvable.id, ...providers.map(({ id }) => id)], kind, solvable.id, group);
      queue.push(...providers.filter(({ id }) => !seen.has(id)));
    }
    if (recommends && solvable.repository !== undefined)
      queue.push(...(solvable.data.recommends ?? []).flatMap((group) => universe.group(group)));
    for (const other of conflictsOf(universe, solvable))
      exclude(other, "conflicts", conflictText(universe, solvable, other));
    for (const other of universe.named(solvable.name))
      if (other.id < solvable.id) exclude(other, "same-name", solvable.name);
  }
  return rules;
}

/** apt downgrades what hosts have only by a pin that says so, or when that version is asked for. */
const mayReplace = (universe: DebUniverse, other: DebSolvable, host: DebSolvable): boolean =>
  againstInstalled(other, host) < 0 || universe.candidate(host.name) === other;

/** Older versions are a last resort: all that apt would look at comes before them. */
function candidatesFirst(universe: DebUniverse, providers: DebSolvable[]): DebSolvable[] {
  const [now, later] = [true, false].map((wanted) =>
    providers.filter((solvable) => (universe.candidate(solvable.name) === solvable) === wanted),
  ) as [DebSolvable[], DebSolvable[]];
  return [...now, ...later];
}

function conflictText(universe: DebUniverse, solvable: DebSolvable, other: DebSolvable): string {
  const groups = [...(solvable.data.conflicts ?? []), ...(solvable.data.breaks ?? [])];
  return groups.find((group) => universe.group(group).includes(other)) ?? other.name;
}

/**
 * Solves where the first way does not work out: what was asked for, then depth first every open
 * relation of what is chosen, the first alternative and newest version first, learning from
 * contradictions.
 */
class DebSearch {
  readonly #rules: DebRules;
  /** The relations of each package, in its order. */
  readonly #byOwner = new Map<number, number[]>();
  readonly #sat: Sat;
  readonly #universe: DebUniverse;
  readonly #recommends: boolean;
  /** Wishes that were tried, granted or not. */
  readonly #tried = new Set<string>();
  #level = 1;

  constructor(universe: DebUniverse, rules: DebRules, recommends: boolean) {
    this.#universe = universe;
    this.#recommends = recommends;
    this.#rules = rules;
    this.#sat = new Sat(universe.size, rules.store);
    for (const rule of rules.ofKind("depends")) {
      const own = this.#byOwner.get(rules.from(rule));
      if (own) own.push(rule);
      else this.#byOwner.set(rules.from(rule), [rule]);
    }
  }

  /** @throws Unsatisfiable */
  run(): number[] {
    this.#sat.start();
    while (!(this.#roots() && this.#walk() && !(this.#recommends && this.#wish()))) {
      // Something was taken back: look at everything again.
    }
    return this.#sat.chosen();
  }

  /** Takes one more package along that something chosen recommends. @returns whether there was one to try */
  #wish(): boolean {
    for (const id of this.#sat.chosen()) {
      const { repository, data } = this.#universe.get(id);
      if (repository === undefined) continue;
      for (const group of data.recommends ?? []) {
        const candidates = this.#universe.group(group);
        if (candidates.some((candidate) => this.#sat.isTrue(candidate.id))) continue;
        const next = candidates.find(
          (candidate) =>
            this.#universe.candidate(candidate.name) === candidate &&
            this.#sat.isOpen(candidate.id) &&
            !this.#tried.has(`${id} ${candidate.id}`),
        );
        if (next === undefined) continue;
        this.#tried.add(`${id} ${next.id}`);
        this.#decide(next.id);
        return true;
      }
    }
    return false;
  }

  /** The candidate to take next, unless the rule is kept already. */
  #open(rule: number): number | undefined {
    const literals = this.#rules.literals(rule);
    if (literals.some((literal) => (literal > 0 ? this.#sat.isTrue(literal) : this.#sat.isFalse(-literal))))
      return undefined;
    return literals.find((literal) => literal > 0 && this.#sat.isOpen(literal));
  }

  /** @returns false when deciding led back */
  #decide(literal: number): boolean {
    const before = this.#level;
    this.#level = this.#sat.decide(literal, before);
    return this.#level > before;
  }

  #roots(): boolean {
    for (const kind of ["keep", "job"] as const) {
      for (const rule of this.#rules.ofKind(kind)) {
        const open = this.#open(rule);
        if (open !== undefined && !this.#decide(open)) return false;
      }
    }
    return true;
  }

  #walk(): boolean {
    const entered = new Set<number>();
    const stack: { rules: number[]; next: number }[] = [];
    const enter = (id: number): void => {
      if (entered.has(id)) return;
      entered.add(id);
      stack.push({ rules: this.#byOwner.get(id) ?? [], next: 0 });
    };
    const roots = [...this.#rules.ofKind("keep"), ...this.#rules.ofKind("job")].flatMap((rule) =>
      this.#rules.literals(rule),
    );
    // What was only wished for has needs too.
    if (this.#tried.size > 0) roots.push(...this.#sat.chosen());
    for (const root of roots) {
      if (!this.#sat.isTrue(root)) continue;
      enter(root);
      for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
        const rule = frame.rules[frame.next++];
        if (rule === undefined) {
          stack.pop();
          continue;
        }
        const open = this.#open(rule);
        if (open !== undefined && !this.#decide(open)) return false;
        for (const literal of this.#rules.literals(rule))
          if (literal > 0 && this.#sat.isTrue(literal)) enter(literal);
      }
    }
    return true;
  }
}

/** @throws Unsatisfiable */
export function searchDeb(universe: DebUniverse, rules: DebRules, recommends: boolean): number[] {
  return new DebSearch(universe, rules, recommends).run();
}
