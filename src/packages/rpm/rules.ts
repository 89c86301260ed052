import { ExplainedRules } from "../solver/rule-store.ts";
import { NormalForm, TooWide } from "./normal-form.ts";
import { type Relation, simplesOf } from "./relation.ts";
import { Successors } from "./successors.ts";
import type { Solvable, Universe } from "./universe.ts";

export type RuleKind =
  | "requires"
  | "nothing-provides"
  | "too-wide"
  | "conflicts"
  | "obsoletes"
  | "same-name"
  | "job"
  | "best"
  | "keep";

export type Rules = ExplainedRules<RuleKind>;

/** Something to install: any one of the candidates. */
export interface Job {
  /** As it was asked for. */
  text: string;
  /** Negative ones are conditions: only where those packages are chosen. */
  candidates: number[];
  /** The package that it names, which may have been renamed since. */
  name?: string;
}

class RuleMaker {
  readonly #universe: Universe;
  readonly #forms: NormalForm;
  readonly #seen = new Set<number>();
  readonly #rules: Rules = new ExplainedRules();
  #queue: number[] = [];

  constructor(universe: Universe) {
    this.#universe = universe;
    this.#forms = new NormalForm(universe);
  }

  make(start: number[]): Rules {
    this.#queue = [...start];
    for (let i = 0; i < this.#queue.length; i++) {
      const id = this.#queue[i] as number;
      if (this.#seen.has(id)) continue;
      this.#seen.add(id);
      this.#package(this.#universe.get(id));
    }
    return this.#rules.sorted();
  }

  #package(solvable: Solvable): void {
    const { id, data, name, repository } = solvable;
    const installed = repository === undefined;
    for (const text of data.requires)
      this.#unlessTooWide(solvable, text, () => this.#requires(id, text, installed));
    for (const text of data.conflicts ?? [])
      this.#unlessTooWide(solvable, text, () => this.#conflicts(id, text, installed));
    for (const text of data.obsoletes ?? []) {
      const relation = this.#universe.relation(text);
      if (relation.kind !== "simple") continue;
      for (const other of this.#universe.namedInRange(relation))
        if (other.id !== id) this.#exclude(id, other.id, "obsoletes", text);
    }
    for (const other of this.#universe.named(name))
      if (other.id !== id && !this.#seen.has(other.id) && !this.#universe.standTogether(solvable, other))
        this.#exclude(id, other.id, "same-name", name);
    for (const kind of ["recommends", "suggests"] as const)
      for (const text of data[kind] ?? []) this.#wish(text);
  }

  /** A relation that can't be spelt out rules out the package that has it, and nothing else; hosts' own go unchecked. */
  #unlessTooWide({ id, repository }: Solvable, text: string, make: () => void): void {
    try {
      make();
    } catch (error) {
      if (!(error instanceof TooWide)) throw error;
      if (repository !== undefined) this.#rules.add([-id], "too-wide", id, text);
    }
  }

  #exclude(id: number, other: number, kind: RuleKind, relation: string): void {
    // What stands together on hosts may go on to do so.
    if (this.#isInstalled(id) && this.#isInstalled(other)) return;
    this.#rules.add([-Math.max(id, other), -Math.min(id, other)], kind, id, relation);
  }

  #requires(id: number, text: string, installed: boolean): void {
    const relation = this.#universe.relation(text);
    const providers = this.#forms.packages(relation);
    if (providers !== undefined) {
      if (providers.includes(id)) return;
      if (installed && !this.#holdsOnHosts(providers)) return;
      if (providers.length === 0) this.#rules.add([-id], "nothing-provides", id, text);
      else this.#need([-id, ...providers], id, text);
      return;
    }
    this.#complex(id, relation, text, installed);
  }

  #isInstalled(id: number): boolean {
    return this.#universe.get(id).repository === undefined;
  }

  /** What a host has may be broken already: only what holds there must go on to hold. */
  #holdsOnHosts(literals: number[]): boolean {
    return literals.some((literal) => this.#isInstalled(Math.abs(literal)) === literal > 0);
  }

  #complex(id: number, relation: Relation, text: string, installed: boolean): void {
    const blocks = this.#forms.cnf(relation);
    if (blocks === true) return;
    if (blocks === false) {
      if (!installed) this.#rules.add([-id], "nothing-provides", id, text);
      return;
    }
    for (const block of blocks) {
      if (block.includes(id) || (installed && !this.#holdsOnHosts(block))) continue;
      const literals = [...new Set([-id, ...block])].sort((a, b) => a - b);
      this.#need(literals, id, text);
    }
  }

  #need(literals: number[], id: number, text: string): void {
    this.#rules.add(literals, "requires", id, text);
    for (const literal of literals) if (literal > 0 && !this.#seen.has(literal)) this.#queue.push(literal);
  }

  #conflicts(id: number, text: string, installed: boolean): void {
    const relation = this.#universe.relation(text);
    const single = this.#forms.packages(relation);
    if (single !== undefined) {
      for (const other of single) if (other !== id) this.#exclude(id, other, "conflicts", text);
      return;
    }
    const blocks = this.#forms.dnf(relation);
    if (blocks === true && !installed) this.#rules.add([-id], "conflicts", id, text);
    if (typeof blocks === "boolean") return;
    for (const block of blocks) {
      if (installed && !this.#holdsOnHosts(block.map((literal) => -literal))) continue;
      // A package does not conflict with itself, and whether it is absent is no question where it is there.
      if (block.includes(-id) || (block.length === 1 && block[0] === id)) continue;
      const literals = new Set([-id, ...block.map((literal) => -literal)]);
      this.#need(
        [...literals].sort((a, b) => a - b),
        id,
        text,
      );
    }
  }

  /** What is wished for can come in later, so it needs its rules too. */
  #wish(text: string): void {
    const named = simplesOf(this.#universe.relation(text));
    for (const id of named.flatMap((simple) => this.#universe.providers(simple)))
      if (!this.#seen.has(id)) this.#queue.push(id);
  }
}

/** All rules, in the order in which they are looked at: packages by descending id, what hosts keep, jobs as given. */
export function makeRules(universe: Universe, jobs: Job[]): Rules {
  const successors = new Successors(universe);
  const keep = successors.hosts.map((host) => ({ host, literals: successors.of(host) }));
  // What supplements others comes in without anyone's asking, so it needs its rules from the start.
  const supplementing = universe.solvables
    .filter((solvable) => solvable?.data.supplements)
    .map((solvable) => (solvable as Solvable).id);
  const start = [
    ...keep.flatMap(({ literals }) => literals),
    ...jobs.flatMap(({ candidates }) => candidates.filter((id) => id > 0)),
    ...supplementing,
  ];
  const rules = new RuleMaker(universe).make(start);
  for (const { host, literals } of keep) rules.add(literals, "keep", host.id, host.name);
  for (const { text, candidates } of jobs) rules.add(candidates, "job", 0, text);
  return rules;
}

/** The same rules for other jobs, whose candidates the rules must know already. */
export function withJobs(given: Rules, jobs: Job[]): Rules {
  const rules: Rules = new ExplainedRules(given);
  for (let rule = 0; rule < given.size; rule++) if (given.kind(rule) !== "job") given.copy(rule, rules);
  for (const { text, candidates } of jobs) rules.add(candidates, "job", 0, text);
  return rules;
}
