import { simplesOf } from "./relation.ts";
import type { RuleKind, Rules } from "./rules.ts";
import { nevra, type Universe } from "./universe.ts";

const MAX_LINES = 25;
const MAX_NAMES = 4;
const MAX_RELATION = 200;
/** Rules that say what a package needs, so they are told after it. */
const OWNED: ReadonlySet<RuleKind> = new Set(["requires", "nothing-provides", "too-wide"]);

const short = (relation: string): string =>
  relation.length > MAX_RELATION ? `${relation.slice(0, MAX_RELATION)}…` : relation;

interface Rule {
  literals: number[];
  kind: RuleKind;
  from: number;
  relation: string;
}

/** Words for rules that contradict each other, from what was asked for on. */
export class Explanation {
  readonly #universe: Universe;
  readonly #describe: (name: string) => string | undefined;

  /** @param nearestTo says what the repositories have instead of a capability that nobody provides */
  constructor(universe: Universe, nearestTo: (name: string) => string | undefined) {
    this.#universe = universe;
    this.#describe = nearestTo;
  }

  /** @param involved numbers of the rules that the contradiction follows from */
  lines(all: Rules, involved: number[]): string[] {
    const rules = involved.map(
      (rule): Rule => ({
        literals: all.literals(rule),
        kind: all.kind(rule),
        from: all.from(rule),
        relation: all.relation(rule),
      }),
    );
    const lines: string[] = [];
    const told = new Set<number>([0]);
    const open = new Set(rules);
    const tell = (rule: Rule): void => {
      open.delete(rule);
      lines.push(this.#line(rule));
      for (const literal of rule.literals) if (literal > 0) told.add(literal);
    };
    for (const rule of rules) if (rule.kind === "job" || rule.kind === "keep") tell(rule);
    for (let next = pick(open, told); next !== undefined; next = pick(open, told)) tell(next);
    for (const rule of open) tell(rule);
    const distinct = [...new Set(lines)];
    return distinct.length > MAX_LINES
      ? [...distinct.slice(0, MAX_LINES), `… and ${distinct.length - MAX_LINES} more`]
      : distinct;
  }

  #name(id: number): string {
    const solvable = this.#universe.get(id);
    return `${nevra(solvable)}${solvable.repository ? ` (${solvable.repository.id})` : " (installed)"}`;
  }

  #names(ids: number[], word: string): string {
    const names = ids.slice(0, MAX_NAMES).map((id) => this.#name(id));
    if (ids.length > MAX_NAMES) names.push(`${ids.length - MAX_NAMES} more`);
    return names.join(` ${word} `);
  }

  #line({ kind, literals, from, relation }: Rule): string {
    const positive = literals.filter((literal) => literal > 0);
    const other = literals.map(Math.abs).find((id) => id !== from) ?? from;
    switch (kind) {
      case "job":
      case "best":
        return positive.length === 0
          ? `${relation} was asked for, and nothing that may be installed is it`
          : `${relation} was asked for: ${this.#names(positive, "or")}`;
      case "keep":
        return `hosts have ${this.#name(from)}`;
      case "requires": {
        const without = literals.filter((literal) => literal < 0 && literal !== -from).map((id) => -id);
        const beside = without.length > 0 ? `, beside ${this.#names(without, "and")}` : "";
        return positive.length === 0
          ? `${this.#name(from)} requires ${relation}, which can't be${beside}`
          : `${this.#name(from)} requires ${relation}: ${this.#names(positive, "or")}${beside}`;
      }
      case "nothing-provides":
        return `${this.#name(from)} requires ${relation}, which nothing provides${this.#nearest(relation)}`;
      case "too-wide":
        return `${this.#name(from)} has ${short(relation)}, which spells out to more alternatives than airgap can work with`;
      case "conflicts":
        return other === from
          ? `${this.#name(from)} conflicts with ${relation}, always`
          : `${this.#name(from)} conflicts with ${relation}, which is ${this.#name(other)}`;
      case "obsoletes":
        return `${this.#name(from)} obsoletes ${relation}, which is ${this.#name(other)}`;
      case "same-name":
        return `only one of ${this.#name(from)} and ${this.#name(other)} can be installed`;
    }
  }

  #nearest(text: string): string {
    const hints = simplesOf(this.#universe.relation(text)).map(({ name }) => this.#describe(name));
    const found = hints.filter((hint) => hint !== undefined);
    return found.length > 0 ? `; nearest: ${found.join("; ")}` : "";
  }
}

/** A rule about something told already: by its owner, for requirements; by both, for exclusions. */
function pick(open: Set<Rule>, told: Set<number>): Rule | undefined {
  for (const rule of open)
    if (
      OWNED.has(rule.kind)
        ? told.has(rule.from)
        : rule.literals.every((literal) => told.has(Math.abs(literal)))
    )
      return rule;
  return undefined;
}
