import { Unsatisfiable } from "../solver/sat.ts";
import { NormalForm } from "./normal-form.ts";
import type { Relation } from "./relation.ts";
import { type Job, type Rules, withJobs } from "./rules.ts";
import { search } from "./search.ts";
import { nevra, type Universe } from "./universe.ts";

/** A package that the transaction does without, carried for hosts that differ. */
export interface Alternative {
  id: number;
  why: string;
}

interface Branch {
  owner: number;
  text: string;
  condition: Relation;
  consequence: Relation;
}

/** Where a relation would ask for something else on a host that has what its condition names. */
function branchesOf(relation: Relation, owner: number, text: string): Branch[] {
  if (relation.kind === "if")
    return [{ owner, text, condition: relation.condition, consequence: relation.left }];
  if (relation.kind === "unless")
    return relation.otherwise
      ? [{ owner, text, condition: relation.condition, consequence: relation.otherwise }]
      : [];
  if (relation.kind === "and")
    return [...branchesOf(relation.left, owner, text), ...branchesOf(relation.right, owner, text)];
  return [];
}

/**
 * `(a if b)` asks for `a` on hosts that have `b`, and whether they do can't be known here: where
 * some repository has `b`, `a` is carried too, with all it needs. What can't stand beside the
 * transaction is left out, and named.
 * @param rules  those that the transaction was found with: they know what every condition may bring in
 */
export function findAlternatives(
  universe: Universe,
  rules: Rules,
  chosen: number[],
  recommends: boolean,
): { found: Alternative[]; impossible: string[] } {
  const forms = new NormalForm(universe);
  const carried = new Set(chosen);
  const found: Alternative[] = [];
  const impossible: string[] = [];
  const queue = [...chosen];
  for (let i = 0; i < queue.length; i++) {
    const owner = queue[i] as number;
    const { data } = universe.get(owner);
    const branches = data.requires
      .filter((text) => text.startsWith("("))
      .flatMap((text) => branchesOf(universe.relation(text), owner, text));
    for (const branch of branches) {
      const candidates = forms.packages(branch.consequence) ?? [];
      const conditions = forms.packages(branch.condition) ?? [];
      const known = conditions.some((id) => carried.has(id)) || candidates.some((id) => carried.has(id));
      if (known || conditions.length === 0 || candidates.length === 0) continue;
      // Whatever meets the condition is what is asked for: no host lacks anything.
      if (conditions.every((id) => candidates.includes(id))) continue;
      const why = `${nevra(universe.get(owner))} requires ${branch.text}`;
      const added = beside(universe, rules, [...carried], { text: branch.text, candidates }, recommends);
      if (added === undefined) impossible.push(why);
      for (const id of added ?? []) {
        carried.add(id);
        found.push({ id, why });
        queue.push(id);
      }
    }
  }
  return { found, impossible };
}

/** What a further wish adds to what is carried; undefined when it can't be had beside it. */
function beside(
  universe: Universe,
  rules: Rules,
  carried: number[],
  wish: Job,
  recommends: boolean,
): number[] | undefined {
  const kept = carried.map((id): Job => ({ text: nevra(universe.get(id)), candidates: [id] }));
  try {
    const { chosen } = search(universe, withJobs(rules, [...kept, wish]), { recommends });
    const before = new Set(carried);
    return chosen.filter((id) => !before.has(id));
  } catch (error) {
    if (error instanceof Unsatisfiable) return undefined;
    throw error;
  }
}
