import { ExplainedRules } from "../solver/rule-store.ts";
import { Sat } from "../solver/sat.ts";
import { conflictsOf } from "./greedy.ts";
import type { DebSolvable, DebUniverse } from "./universe.ts";

export type DebRuleKind = "depends" | "nothing-provides" | "conflicts" | "same-name" | "job" | "keep";

/** The literals of a rule are in the order of preference. */
export type DebRules = ExplainedRules<DebRuleKind>;

export interface DebJob {
  text: string;
  candidates: DebSolvable[];
}

/** All rules that the jobs can reach. */
export function makeDebRules(universe: DebUniverse, jobs: DebJob[], installed: DebSolvable[]): DebRules {
  const rules: DebRules = new ExplainedRules();
  const seen = new Set<number>();
  const queue = [...installed, ...jobs.flatMap(({ candidates }) => candidates)];
  for (const host of installed) {
    const versions = [host, ...universe.named(host.name).filter((other) => other.repository !== undefined)];
    rules.add(
      versions.map(({ id }) => id),
      "keep",
      host.id,
      host.name,
    );
    queue.push(...versions);
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
      const providers = universe.group(group);
      if (providers.includes(solvable)) continue;
      // What a host has may be broken already; only what holds there must go on to hold.
      if (solvable.repository === undefined && !providers.some(({ repository }) => repository === undefined))
        continue;
      const kind = providers.length === 0 ? "nothing-provides" : "depends";
      rules.add([-solvable.id, ...providers.map(({ id }) => id)], kind, solvable.id, group);
      queue.push(...providers.filter(({ id }) => !seen.has(id)));
    }
    for (const other of conflictsOf(universe, solvable))
      exclude(other, "conflicts", conflictText(universe, solvable, other));
    for (const other of universe.named(solvable.name))
      if (other.id < solvable.id) exclude(other, "same-name", solvable.name);
  }
  return rules;
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
  #level = 1;

  constructor(universe: DebUniverse, rules: DebRules) {
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
    while (!(this.#roots() && this.#walk())) {
      // Something was taken back: look at everything again.
    }
    return this.#sat.chosen();
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
export function searchDeb(universe: DebUniverse, rules: DebRules): number[] {
  return new DebSearch(universe, rules).run();
}
