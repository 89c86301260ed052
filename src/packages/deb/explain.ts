import { alternativesOf } from "./relation.ts";
import type { DebRuleKind, DebRules } from "./search.ts";
import { type DebUniverse, debId } from "./universe.ts";

const MAX_LINES = 25;
const MAX_NAMES = 4;

interface DebRule {
  literals: number[];
  kind: DebRuleKind;
  from: number;
  relation: string;
}

/** Words for rules that contradict each other, from what was asked for on. */
export function explainDeb(universe: DebUniverse, all: DebRules, involved: number[]): string[] {
  const rules = involved.map(
    (rule): DebRule => ({
      literals: all.literals(rule),
      kind: all.kind(rule),
      from: all.from(rule),
      relation: all.relation(rule),
    }),
  );
  const name = (id: number): string => {
    const solvable = universe.get(id);
    return `${debId(solvable)} (${solvable.repository?.title ?? "installed"})`;
  };
  const names = (ids: number[]): string => {
    const shown = ids.slice(0, MAX_NAMES).map(name);
    if (ids.length > MAX_NAMES) shown.push(`${ids.length - MAX_NAMES} more`);
    return shown.join(" or ");
  };
  const nearest = (group: string): string => {
    const found = alternativesOf(group)
      .flatMap((alternative) => universe.named(alternative.name))
      .slice(0, 3);
    return found.length > 0 ? `; nearest: ${found.map(({ id }) => name(id)).join(", ")}` : "";
  };
  const line = ({ kind, literals, from, relation }: DebRule): string => {
    const positive = literals.filter((literal) => literal > 0);
    const other = literals.map(Math.abs).find((id) => id !== from) ?? from;
    switch (kind) {
      case "job":
        return `${relation} was asked for: ${names(positive)}`;
      case "keep":
        return `hosts have ${name(from)}`;
      case "depends":
        return `${name(from)} depends on ${relation}: ${names(positive)}`;
      case "nothing-provides":
        return `${name(from)} depends on ${relation}, which nothing provides${nearest(relation)}`;
      case "conflicts":
        return `${name(from)} conflicts with ${relation}, which is ${name(other)}`;
      case "downgrade":
        return `${name(from)} is older than what hosts have, ${relation}`;
      case "same-name":
        return `only one of ${name(from)} and ${name(other)} can be installed`;
    }
  };
  const told = new Set<number>();
  const lines: string[] = [];
  const open = new Set(rules);
  const tell = (rule: DebRule): void => {
    open.delete(rule);
    lines.push(line(rule));
    for (const literal of rule.literals) if (literal > 0) told.add(literal);
  };
  const isOwned = ({ kind }: DebRule): boolean =>
    kind === "depends" || kind === "nothing-provides" || kind === "downgrade";
  for (const rule of rules) if (rule.kind === "job" || rule.kind === "keep") tell(rule);
  const next = (): DebRule | undefined =>
    [...open].find((rule) =>
      isOwned(rule) ? told.has(rule.from) : rule.literals.every((literal) => told.has(Math.abs(literal))),
    );
  for (let rule = next(); rule !== undefined; rule = next()) tell(rule);
  for (const rule of open) tell(rule);
  const distinct = [...new Set(lines)];
  return distinct.length > MAX_LINES
    ? [...distinct.slice(0, MAX_LINES), `… and ${distinct.length - MAX_LINES} more`]
    : distinct;
}
