import type { Sat } from "../solver/sat.ts";
import { NormalForm, TooWide } from "./normal-form.ts";
import type { Relation } from "./relation.ts";
import type { Solvable, Universe } from "./universe.ts";
import { compareEvr, compareVersionPart, LESS, parseEvr } from "./version.ts";

/** A rich wish, and where what it names goes once its conditions hold. */
interface Conditional {
  relation: Relation;
  into: Set<number>;
}

interface Wished {
  /** How much of the trail was looked at, and after how many reverts. */
  upTo: number;
  reverts: number;
  recommended: Set<number>;
  suggested: Set<number>;
  conditional: Conditional[];
}

/** Whether a relation holds, and whether it does by something that hosts do not have yet. */
const NOT = 0;
const ALREADY = 1;
const NEWLY = 2;
type Holds = typeof NOT | typeof ALREADY | typeof NEWLY;

const noWishes = (reverts: number): Wished => ({
  upTo: 0,
  reverts,
  recommended: new Set(),
  suggested: new Set(),
  conditional: [],
});

const byName = (a: Solvable, b: Solvable): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

/**
 * Which of several candidates is taken: the choice that libsolv makes (its src/policy.c,
 * `policy_filter_unwanted`), so that the hosts' own resolver comes to the same. Repository priority
 * before version, newest of each name, names in byte order, what something chosen recommends before
 * others, the higher version of a capability that several provide before the name.
 */
export class Policy {
  readonly #universe: Universe;
  readonly #sat: Sat;
  readonly #forms: NormalForm;
  readonly #spelt = new Map<Relation, number[][]>();
  #wished = noWishes(0);
  /** What hosts have and is not decided yet, where it is taken to stay. */
  readonly #assumed = new Set<number>();

  constructor(universe: Universe, sat: Sat) {
    this.#universe = universe;
    this.#sat = sat;
    this.#forms = new NormalForm(universe);
  }

  /** Leaves out candidates that would not be taken; with `reorder` the best one is first. */
  filter(candidates: number[], reorder: boolean): number[] {
    if (candidates.length < 2) return candidates;
    let list = this.#best(candidates);
    if (list.length < 2) return list.map(({ id }) => id);
    list = this.#recommended(list);
    if (list.length < 2 || !reorder) return list.map(({ id }) => id);
    list = this.#ordered(list);
    list = toBack(list, (solvable) => !this.#hasInstalledNamesake(solvable));
    return this.#suggestedFirst(list).map(({ id }) => id);
  }

  /**
   * Puts first what something that hosts have wishes for, though it is not decided yet whether that
   * stays. (libsolv's src/solver.c, `reorder_dq_for_future_installed`.)
   * @param hosts what they have that is open
   */
  hostsWishesFirst(candidates: number[], hosts: number[]): number[] {
    if (candidates.length < 2 || hosts.length === 0) return candidates;
    const before = this.#wished;
    this.#wished = noWishes(this.#sat.reverts);
    for (const id of hosts) {
      this.#assumed.add(id);
      this.#noteWishesOf(id);
    }
    const { recommended } = this.#wishes();
    const list = toBack(
      this.#suggestedFirst(candidates.map((id) => this.#universe.get(id))),
      (solvable) =>
        solvable.repository !== undefined && !recommended.has(solvable.id) && !this.#supplements(solvable),
    );
    this.#assumed.clear();
    this.#wished = before;
    return list.map(({ id }) => id);
  }

  /** All of several that come in together, in the order in which they do. */
  order(candidates: number[]): number[] {
    if (candidates.length < 2) return candidates;
    const list = this.#ordered(candidates.map((id) => this.#universe.get(id)));
    return this.#suggestedFirst(list).map(({ id }) => id);
  }

  #ordered(list: Solvable[]): Solvable[] {
    return this.#byCommonProvide(toBack(list, (solvable) => this.#universe.isOld(solvable)));
  }

  #suggestedFirst(list: Solvable[]): Solvable[] {
    const { suggested } = this.#wishes();
    return toBack(
      list,
      (solvable) =>
        solvable.repository !== undefined && !suggested.has(solvable.id) && !this.#enhances(solvable),
    );
  }

  /** What is best among weak candidates, by priority, name and version alone. */
  best(candidates: number[]): number[] {
    return this.#best(candidates).map(({ id }) => id);
  }

  /** The newest of each name, without those that another of these obsoletes. */
  newest(candidates: number[]): number[] {
    return this.#newest(candidates.map((id) => this.#universe.get(id))).map(({ id }) => id);
  }

  #best(candidates: number[]): Solvable[] {
    const all = candidates.map((id) => this.#universe.get(id));
    const priorities = all
      .filter(({ repository }) => repository !== undefined)
      .map(({ repository }) => (repository as NonNullable<typeof repository>).priority);
    const priority = Math.min(...priorities);
    return this.#newest(
      all.filter(({ repository }) => repository === undefined || repository.priority === priority),
    );
  }

  #newest(kept: Solvable[]): Solvable[] {
    const installedFirst = (a: Solvable, b: Solvable): number =>
      Number(b.repository === undefined) - Number(a.repository === undefined);
    kept.sort((a, b) => byName(a, b) || installedFirst(a, b) || a.id - b.id);
    const newest: Solvable[] = [];
    for (const solvable of kept) {
      const last = newest.at(-1);
      if (last?.name !== solvable.name) newest.push(solvable);
      else if (compareEvr(last.version, solvable.version) < 0) newest[newest.length - 1] = solvable;
    }
    return newest.length > 1 ? this.#withoutObsoleted(newest) : newest;
  }

  /** Drops what another candidate obsoletes, except where they obsolete each other in a circle. */
  #withoutObsoleted(list: Solvable[]): Solvable[] {
    const obsoletes = (a: Solvable, b: Solvable): boolean =>
      a.name !== b.name &&
      (a.data.obsoletes ?? []).some((text) => {
        const relation = this.#universe.relation(text);
        return (
          relation.kind === "simple" &&
          relation.name === b.name &&
          this.#universe.namedInRange(relation).includes(b)
        );
      });
    if (!list.some(({ data }) => data.obsoletes)) return list;
    const reach = list.map((from) => reachable(list, from, obsoletes));
    const kept = list.filter(
      (_, i) => !list.some((_, j) => i !== j && reach[j]?.has(i) && !reach[i]?.has(j)),
    );
    return kept.length > 0 ? kept : list;
  }

  #recommended(list: Solvable[]): Solvable[] {
    const installed = list.filter(({ repository }) => repository === undefined);
    if (list.length - installed.length < 2) return list;
    const wished = list.filter(
      (solvable) => solvable.repository === undefined || this.wishedFor(solvable.id),
    );
    return wished.length > installed.length ? wished : list;
  }

  /** Whether something chosen recommends it, or it supplements what is chosen. */
  wishedFor(id: number): boolean {
    return this.#wishes().recommended.has(id) || this.#supplements(this.#universe.get(id));
  }

  #wishes(): { recommended: Set<number>; suggested: Set<number> } {
    if (this.#wished.reverts !== this.#sat.reverts) this.#wished = noWishes(this.#sat.reverts);
    const wished = this.#wished;
    if (wished.upTo === this.#sat.trailLength && this.#assumed.size === 0) return wished;
    for (; wished.upTo < this.#sat.trailLength; wished.upTo++) {
      const literal = this.#sat.literalAt(wished.upTo);
      if (literal > 0) this.#noteWishesOf(literal);
    }
    // What a condition is about may have come in since.
    for (const { relation, into } of wished.conditional)
      for (const id of this.fulfilling(relation).flat()) into.add(id);
    return wished;
  }

  #noteWishesOf(id: number): void {
    const { data } = this.#universe.get(id);
    const { recommended, suggested, conditional } = this.#wished;
    for (const text of data.recommends ?? []) this.#note(text, recommended, conditional);
    for (const text of data.suggests ?? []) this.#note(text, suggested, conditional);
  }

  #note(text: string, into: Set<number>, conditional: Conditional[]): void {
    const relation = this.#universe.relation(text);
    const single = this.#forms.packages(relation);
    if (single === undefined) conditional.push({ relation, into });
    else for (const id of single) into.add(id);
  }

  /**
   * What can fulfil a wish, as lists of which one package each is needed. A rich wish is spelt out,
   * and of its parts those count whose conditions hold (libsolv's `add_complex_recommends`).
   */
  fulfilling(relation: Relation): number[][] {
    const single = this.#forms.packages(relation);
    if (single !== undefined) return [single];
    return this.#blocks(relation)
      .filter((block) => block.every((literal) => literal > 0 || this.#isTrue(-literal)))
      .map((block) => block.filter((literal) => literal > 0));
  }

  #blocks(relation: Relation): number[][] {
    const known = this.#spelt.get(relation);
    if (known !== undefined) return known;
    let blocks: number[][] = [];
    try {
      const found = this.#forms.cnf(relation);
      if (typeof found !== "boolean") blocks = found;
    } catch (error) {
      // A wish that can't be spelt out is not granted.
      if (!(error instanceof TooWide)) throw error;
    }
    this.#spelt.set(relation, blocks);
    return blocks;
  }

  #supplements({ data }: Solvable): boolean {
    return (data.supplements ?? []).some((text) => this.holds(text));
  }

  #enhances({ data }: Solvable): boolean {
    return (data.enhances ?? []).some((text) => this.holds(text));
  }

  /** Whether what is chosen so far fulfils a relation. */
  holds(text: string): boolean {
    return this.#holds(this.#universe.relation(text)) !== NOT;
  }

  /** Whether something that hosts do not have yet has a part in that. */
  holdsNewly(text: string): boolean {
    return this.#holds(this.#universe.relation(text)) === NEWLY;
  }

  #isTrue(id: number): boolean {
    return this.#sat.isTrue(id) || this.#assumed.has(id);
  }

  /**
   * The same as whether its normal form holds, which may be thousands of times as long. (What counts
   * as new is from libsolv's src/solver_util.c, `solver_dep_fulfilled_alreadyinstalled`.)
   */
  #holds(relation: Relation): Holds {
    const single = this.#forms.packages(relation);
    if (single !== undefined) {
      const there = single.filter((id) => this.#isTrue(id));
      if (there.length === 0) return NOT;
      return there.some((id) => this.#universe.get(id).repository !== undefined) ? NEWLY : ALREADY;
    }
    if (relation.kind === "and" || relation.kind === "or") {
      const left = this.#holds(relation.left);
      const right = this.#holds(relation.right);
      return relation.kind === "and" && (left === NOT || right === NOT)
        ? NOT
        : (Math.max(left, right) as Holds);
    }
    if (relation.kind !== "if" && relation.kind !== "unless") return NOT;
    const condition = this.#holds(relation.condition);
    const { otherwise } = relation;
    if (otherwise === undefined) {
      const left = this.#holds(relation.left);
      if (relation.kind === "if") return left === NOT && condition === NOT ? ALREADY : left;
      return condition === NOT ? left : NOT;
    }
    const [met, unmet] = relation.kind === "if" ? [relation.left, otherwise] : [otherwise, relation.left];
    if (condition === NOT) return this.#holds(unmet);
    const consequence = this.#holds(met);
    return consequence !== NOT && condition === NEWLY ? NEWLY : consequence;
  }

  #hasInstalledNamesake(solvable: Solvable): boolean {
    return this.#universe.named(solvable.name).some(({ repository }) => repository === undefined);
  }

  /** Whoever provides a lower version of a capability than another candidate does goes behind it. */
  #byCommonProvide(list: Solvable[]): Solvable[] {
    const entries = new Map<string, { index: number; version: string; below: boolean }[]>();
    for (const [index, { name, version, data }] of list.entries()) {
      for (const text of [`${name} = ${version}`, ...(data.provides ?? [])]) {
        const relation = this.#universe.relation(text);
        if (relation.kind !== "simple") continue;
        const same = entries.get(relation.name);
        const entry = { index, version: relation.version, below: relation.op === LESS };
        if (same) same.push(entry);
        else entries.set(relation.name, [entry]);
      }
    }
    const badness = list.map(() => 0);
    for (const same of entries.values()) {
      if (same.length < 2) continue;
      same.sort(compareProvided);
      let bad = 0;
      for (const [i, entry] of same.entries()) {
        const before = same[i - 1];
        if (before && before.index !== entry.index && compareProvided(before, entry) === HIGHER) bad++;
        badness[entry.index] = (badness[entry.index] as number) + bad;
      }
    }
    for (const [i, { repository }] of list.entries()) if (repository === undefined) badness[i] = 0;
    const order = list
      .map((_, i) => i)
      .sort((a, b) => (badness[a] as number) - (badness[b] as number) || a - b);
    return order.map((i) => list[i] as Solvable);
  }
}

type Provided = { version: string; below: boolean };

const HIGHER = -1;
/** Comes first, though it is not the higher one. */
const ONLY_FIRST = -2;

/**
 * Highest first. A version without a release is equal to each of its releases, and stands behind
 * them. (libsolv's src/policy.c, `sort_by_name_evr_sortcmp`, with EVRCMP_MATCH_RELEASE.)
 */
function compareProvided(a: Provided, b: Provided): number {
  if (a.version === b.version) return Number(a.below) - Number(b.below);
  const x = parseEvr(a.version);
  const y = parseEvr(b.version);
  const order = compareVersionPart(y.epoch, x.epoch) || compareVersionPart(y.version, x.version);
  if (order !== 0) return Math.sign(order);
  if ((x.release === undefined) !== (y.release === undefined))
    return x.release === undefined ? -ONLY_FIRST : ONLY_FIRST;
  const byRelease = compareVersionPart(y.release ?? "", x.release ?? "");
  return Math.sign(byRelease) || Number(a.below) - Number(b.below);
}

function toBack<T>(list: T[], bad: (item: T) => boolean): T[] {
  return [...list.filter((item) => !bad(item)), ...list.filter(bad)];
}

function reachable(
  list: Solvable[],
  from: Solvable,
  edge: (a: Solvable, b: Solvable) => boolean,
): Set<number> {
  const found = new Set<number>();
  const stack = [from];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    for (const [i, other] of list.entries()) {
      if (other === node || found.has(i) || !edge(node, other)) continue;
      found.add(i);
      stack.push(other);
    }
  }
  return found;
}
