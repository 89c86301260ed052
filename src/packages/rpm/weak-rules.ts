import { ExplainedRules } from "../solver/rule-store.ts";
import type { Rules } from "./rules.ts";
import { Successors } from "./successors.ts";
import type { Solvable, Universe } from "./universe.ts";

/**
 * What hosts' own resolver prefers where hosts have packages, as rules behind those that must be
 * kept:
 * - a requirement is rather met by another build of something that they have than by something new
 *   (libsolv's src/rules.c, `solver_addchoicerules`);
 * - where several packages took the place of one that they have, by the very same Obsoletes, all of
 *   these come in or none (`solver_addyumobsrules`).
 */
export class WeakRules {
  /** The rules that must be kept, then the weak ones. */
  readonly rules: Rules;
  /** How many rules must be kept. */
  readonly #base: number;
  /** Of each weak rule, in their order: the requirement whose providers it narrows; -1 for another kind. */
  readonly #narrows: number[] = [];
  readonly #givenUp = new Set<number>();

  /** @param newest  the newest of several packages, one of each name */
  constructor(universe: Universe, given: Rules, newest: (candidates: number[]) => number[]) {
    this.#base = given.size;
    this.rules = new ExplainedRules(given);
    for (let rule = 0; rule < given.size; rule++) given.copy(rule, this.rules);
    const successors = new Successors(universe);
    for (const { host, ids } of successors.split())
      for (const literals of together(universe, ids, newest(ids))) {
        this.rules.add(literals, "obsoletes", host.id, host.name);
        this.#narrows.push(-1);
      }
    let last = "";
    for (const rule of given.ofKind("requires")) {
      const narrow = narrowed(universe, successors, given.literals(rule));
      if (narrow === undefined || narrow.join(" ") === last) continue;
      last = narrow.join(" ");
      this.rules.add(narrow, "requires", given.from(rule), given.relation(rule));
      this.#narrows.push(rule);
    }
  }

  /**
   * The weak rules to give up after a contradiction: the last of those that it follows from. Others
   * that speak of the same providers go with it, so that the best of those is taken. (libsolv's
   * src/rules.c, `solver_disablechoicerules`.)
   * @returns nothing where the rules that must be kept contradict each other
   */
  failed(rules: number[]): number[] {
    const last = Math.max(...rules);
    return last < this.#base ? [] : this.#giveUp(last);
  }

  /**
   * The weak rules that were kept for nothing: a provider that they leave out was chosen all the
   * same. (libsolv's src/rules.c, `solver_check_unneeded_choicerules`.)
   */
  needless(chosen: ReadonlySet<number>): number[] {
    return this.#narrows.flatMap((_, i) => {
      const rule = this.#base + i;
      return !this.#givenUp.has(rule) && this.#leftOut(rule).some((id) => chosen.has(id))
        ? this.#giveUp(rule)
        : [];
    });
  }

  #giveUp(given: number): number[] {
    const freed = new Set(this.#leftOut(given));
    const rules = this.#narrows.flatMap((requirement, i) => {
      const rule = this.#base + i;
      if (this.#givenUp.has(rule)) return [];
      const same = requirement >= 0 && this.#providers(requirement).some((id) => freed.has(id));
      return rule === given || same ? [rule] : [];
    });
    for (const rule of rules) this.#givenUp.add(rule);
    return rules;
  }

  /** The providers that a weak rule leaves out of a requirement. */
  #leftOut(rule: number): number[] {
    const requirement = this.#narrows[rule - this.#base] as number;
    if (requirement < 0) return [];
    const own = new Set(this.rules.literals(rule));
    return this.#providers(requirement).filter((id) => !own.has(id));
  }

  #providers(rule: number): number[] {
    return this.rules.literals(rule).filter((id) => id > 0);
  }
}

/** Each of several packages brings one of every other name in, of the names that the newest have. */
function together(universe: Universe, ids: number[], newest: number[]): number[][] {
  const byName = Map.groupBy(ids, (id) => universe.get(id).name);
  const groups = newest.map((id) => byName.get(universe.get(id).name) as number[]);
  return groups.flatMap((own) =>
    own.flatMap((id) => groups.filter((others) => others !== own).map((others) => [-id, ...others])),
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
