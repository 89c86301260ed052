import { ExplainedRules } from "../solver/rule-store.ts";
import type { Rules } from "./rules.ts";
import type { Solvable, Universe } from "./universe.ts";

/** Rules that are kept as long as that is possible, behind those that must be. */
export interface WeakRules {
  /** The rules that must be kept, then the weak ones. */
  rules: Rules;
  /** How many rules must be kept. */
  base: number;
  /** Of each weak rule, in their order: the requirement whose providers it narrows; -1 for another kind. */
  narrows: number[];
}

/**
 * What hosts' own resolver prefers where hosts have packages:
 * - a requirement is rather met by another build of something that they have than by something new
 *   (libsolv's src/rules.c, `solver_addchoicerules`);
 * - where several packages took the place of one that they have, all of these come in or none
 *   (`solver_addyumobsrules`).
 * @param best  the best of several packages, by priority, name and version
 */
export function withWeakRules(
  universe: Universe,
  given: Rules,
  best: (candidates: number[]) => number[],
): WeakRules {
  const base = given.size;
  const hosts = universe.solvables.filter(
    (solvable): solvable is Solvable => solvable !== undefined && solvable.repository === undefined,
  );
  const rules: Rules = new ExplainedRules(given);
  for (let rule = 0; rule < base; rule++) given.copy(rule, rules);
  const narrows: number[] = [];
  const successors = new Successors(universe, hosts);
  for (const host of hosts)
    for (const literals of together(universe, best(successors.obsoleting(host)))) {
      rules.add(literals, "obsoletes", host.id, host.name);
      narrows.push(-1);
    }
  let last = "";
  for (const rule of given.ofKind("requires")) {
    const narrow = narrowed(universe, successors, given.literals(rule));
    if (narrow === undefined || narrow.join(" ") === last) continue;
    last = narrow.join(" ");
    rules.add(narrow, "requires", given.from(rule), given.relation(rule));
    narrows.push(rule);
  }
  return { rules, base, narrows };
}

/** Each of several packages with different names brings the others in. */
function together(universe: Universe, ids: number[]): number[][] {
  const byName = Map.groupBy(ids, (id) => universe.get(id).name);
  return ids.flatMap((id) =>
    [...byName].flatMap(([name, others]) => (name === universe.get(id).name ? [] : [[-id, ...others]])),
  );
}

/** A requirement without what is new to the hosts; undefined where there is nothing to prefer. */
function narrowed(universe: Universe, successors: Successors, literals: number[]): number[] | undefined {
  const kept: number[] = [];
  const updated = new Set<Solvable>();
  let others = false;
  for (const id of literals.filter((literal) => literal > 0)) {
    const solvable = universe.get(id);
    const host = successors.replaced(solvable);
    if (solvable.repository === undefined) kept.push(id);
    else if (host === undefined) others = true;
    else {
      // Older builds too: dnf may go back to one, and prefers nothing new for that reason.
      kept.push(id);
      updated.add(host);
    }
  }
  if (!others || updated.size === 0) return undefined;
  // Where whatever may take the hosts' package's place is a provider, nothing has to be preferred.
  const all = new Set(literals);
  if ([...updated].every((host) => successors.of(host).every((id) => all.has(id)))) return undefined;
  return [...literals.filter((literal) => literal < 0), ...kept];
}

/**
 * What is left when a weak rule is given up. Others that speak of the same providers go with it, so
 * that the best of those is taken. (libsolv's src/rules.c, `solver_disablechoicerules`.)
 * @param given  its number among all rules
 */
export function withoutRule(weak: WeakRules, given: number): WeakRules {
  const { rules, base, narrows } = weak;
  const freed = new Set(leftOut(weak, given));
  const kept = narrows
    .map((requirement, i) => ({ requirement, rule: base + i }))
    .filter(
      ({ requirement, rule }) =>
        rule !== given && (requirement < 0 || !providers(rules, requirement).some((id) => freed.has(id))),
    );
  const left: Rules = new ExplainedRules(rules);
  for (let rule = 0; rule < base; rule++) rules.copy(rule, left);
  for (const { rule } of kept) rules.copy(rule, left);
  return { rules: left, base, narrows: kept.map(({ requirement }) => requirement) };
}

/**
 * What is left without the weak rules that were kept for nothing: a provider that they leave out was
 * chosen all the same. (libsolv's src/rules.c, `solver_check_unneeded_choicerules`.)
 * @returns undefined when each had its use
 */
export function withoutNeedless(weak: WeakRules, chosen: ReadonlySet<number>): WeakRules | undefined {
  const needless = weak.narrows.findIndex((_, i) =>
    leftOut(weak, weak.base + i).some((id) => chosen.has(id)),
  );
  if (needless < 0) return undefined;
  const left = withoutRule(weak, weak.base + needless);
  return withoutNeedless(left, chosen) ?? left;
}

/** The providers that a weak rule leaves out of a requirement. */
function leftOut({ rules, base, narrows }: WeakRules, rule: number): number[] {
  const requirement = narrows[rule - base] as number;
  if (requirement < 0) return [];
  const own = new Set(rules.literals(rule));
  return providers(rules, requirement).filter((id) => !own.has(id));
}

const providers = (rules: Rules, rule: number): number[] => rules.literals(rule).filter((id) => id > 0);

/** Which packages may take the place of those that hosts have. */
class Successors {
  readonly #universe: Universe;
  readonly #byName: ReadonlyMap<string, Solvable>;
  readonly #obsoleting = new Map<Solvable, number[]>();

  constructor(universe: Universe, hosts: Solvable[]) {
    this.#universe = universe;
    this.#byName = new Map(hosts.map((host) => [host.name, host]));
    for (const solvable of universe.solvables) {
      if (solvable?.repository === undefined || solvable.data.obsoletes === undefined) continue;
      for (const host of this.#obsoleted(solvable))
        this.#obsoleting.set(host, [...this.obsoleting(host), solvable.id]);
    }
  }

  /** Packages of another name that obsolete what a host has, by id. */
  obsoleting(host: Solvable): number[] {
    return this.#obsoleting.get(host) ?? [];
  }

  /** All that may stand in its place, itself included, by id. */
  of(host: Solvable): number[] {
    return [...this.#universe.named(host.name).map(({ id }) => id), ...this.obsoleting(host)];
  }

  /** What hosts have that a package would take the place of. */
  replaced(solvable: Solvable): Solvable | undefined {
    const namesake = this.#byName.get(solvable.name);
    return namesake && !this.#universe.standTogether(solvable, namesake)
      ? namesake
      : this.#obsoleted(solvable)[0];
  }

  #obsoleted({ data, name }: Solvable): Solvable[] {
    const found = (data.obsoletes ?? []).flatMap((text) => {
      const relation = this.#universe.relation(text);
      return relation.kind === "simple" ? this.#universe.namedInRange(relation) : [];
    });
    return [...new Set(found)].filter((other) => other.repository === undefined && other.name !== name);
  }
}
