import type { RuleKind, Rules } from "./rules.ts";
import { nevra, type Universe } from "./universe.ts";

/** A package that takes the place of something that hosts have and can't keep. */
export interface Replacement {
  id: number;
  /** What hosts have. */
  replaces: string;
  /** Beside which package it can't stay; 0 when that is not one of the set. */
  by: number;
  /** Why, in words. */
  relation: string;
}

const VERBS: Partial<Record<RuleKind, string>> = {
  conflicts: "conflicts with",
  obsoletes: "obsoletes",
  requires: "requires",
};

/** Every upgrade that the chosen force upon hosts: dnf makes them with the rest, so they are carried with it. */
export function replacements(universe: Universe, rules: Rules, chosen: ReadonlySet<number>): Replacement[] {
  const found: Replacement[] = [];
  for (const rule of rules.ofKind("keep")) {
    const host = rules.from(rule);
    if (chosen.has(host)) continue;
    // Several, where it was split into packages of other names.
    const ids = rules.literals(rule).filter((literal) => chosen.has(literal));
    if (ids.length === 0) continue;
    const why = cause(universe, rules, chosen, host);
    for (const id of ids) found.push({ id, replaces: nevra(universe.get(host)), ...why });
  }
  return found;
}

/** The rule by which, after all that was chosen, the host's package can't stay. */
function cause(
  universe: Universe,
  rules: Rules,
  chosen: ReadonlySet<number>,
  host: number,
): Pick<Replacement, "by" | "relation"> {
  for (let rule = 0; rule < rules.size; rule++) {
    const verb = VERBS[rules.kind(rule)];
    if (verb === undefined) continue;
    const literals = rules.literals(rule);
    if (!literals.includes(-host)) continue;
    const others = literals.filter((literal) => literal !== -host);
    if (others.some((literal) => chosen.has(Math.abs(literal)) !== literal < 0)) continue;
    const by = -(others.find((literal) => literal < 0 && universe.get(-literal).repository) ?? 0);
    return { by, relation: `${nevra(universe.get(rules.from(rule)))} ${verb} ${rules.relation(rule)}` };
  }
  return { by: 0, relation: "an upgrade of what hosts have" };
}
