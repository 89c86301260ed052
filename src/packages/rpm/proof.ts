import type { Reason } from "../../lock/package-facts.ts";
import { batches } from "../solver/loader.ts";
import type { ChosenPackage, Closure } from "../types.ts";
import type { Alternative } from "./alternatives.ts";
import type { RpmDetail } from "./primary.ts";
import { simplesOf } from "./relation.ts";
import { replacements } from "./replaced.ts";
import type { RpmRepository } from "./repository.ts";
import type { Job, Rules } from "./rules.ts";
import type { Found } from "./search.ts";
import { nevra, type Solvable, type Universe } from "./universe.ts";

export interface ProofOptions {
  universe: Universe;
  rules: Rules;
  jobs: Job[];
  found: Found;
  alternatives: Alternative[];
  role: string;
}

/**
 * The proof: from what was asked for to each package, by the requirement that brings it in.
 * Packages that nothing leads to are left out.
 */
export async function prove({
  universe,
  rules,
  jobs,
  found: { chosen, best },
  alternatives,
  role,
}: ProofOptions): Promise<Closure> {
  const inSet = new Set(chosen);
  /** By whom (0: it was asked for) and through which relation each package came in. */
  const by = new Int32Array(universe.size + 1).fill(-1);
  const through = new Array<string>(universe.size + 1);
  const queue: number[] = [];
  const reach = (id: number, from: number, relation: string): void => {
    if (by[id] !== -1) return;
    by[id] = from;
    through[id] = relation;
    queue.push(id);
  };
  const asked: Closure["asked"] = [];
  const place = new Int32Array(universe.size + 1);
  for (const [i, id] of chosen.entries()) place[id] = i;
  // The one that was chosen for it stands before those that came in otherwise.
  const firstOf = (candidates: number[]): number | undefined =>
    candidates
      .filter((candidate) => inSet.has(candidate))
      .sort((a, b) => (place[a] as number) - (place[b] as number))[0];
  for (const [i, { text, candidates }] of jobs.entries()) {
    const id = firstOf(best.get(i) ?? []) ?? firstOf(candidates);
    if (id === undefined) continue;
    reach(id, 0, text);
    asked.push({ text, package: nevra(universe.get(id)) });
  }
  const needs = new Requirements(rules, universe.size, inSet);
  const wishes = wishesOf(universe, inSet);
  const { literals } = rules.store;
  let next = 0;
  const follow = (): void => {
    for (; next < queue.length; next++) {
      const from = queue[next] as number;
      for (let rule = needs.first(from); rule >= 0; rule = needs.after(rule)) {
        for (let at = rules.store.start(rule), end = rules.store.end(rule); at < end; at++) {
          const id = literals[at] as number;
          if (id > 0 && inSet.has(id)) reach(id, from, rules.relation(rule));
        }
      }
      for (const { id, relation } of wishes.get(from) ?? []) reach(id, from, relation);
    }
  };
  follow();
  const replaces = new Map<number, string>();
  for (const each of replacements(universe, rules, inSet)) {
    if (by[each.id] !== -1) continue;
    replaces.set(each.id, each.replaces);
    reach(each.id, each.by, each.relation);
  }
  follow();
  // What hosts keep may need something new, where an upgrade took away what gave it.
  for (const rule of rules.ofKind("keep")) {
    const host = rules.from(rule);
    if (by[host] === -1 && inSet.has(host)) queue.push(host);
  }
  follow();
  const ids = new Array<string>(universe.size + 1);
  for (const id of queue) ids[id] = nevra(universe.get(id));
  const packages: ChosenPackage[] = [];
  const carried = queue
    .filter((id) => universe.get(id).repository !== undefined)
    .map((id) => universe.get(id));
  for await (const [solvable, detail] of withDetails(carried)) {
    const from = by[solvable.id] as number;
    const old = replaces.get(solvable.id);
    const reason: Reason = {
      ...(from === 0 ? {} : { by: ids[from] as string }),
      relation: through[solvable.id] as string,
      ...(old === undefined ? {} : { replaces: old }),
    };
    packages.push(new ChosenRpm(ids[solvable.id] as string, solvable, detail, reason));
  }
  const whys = new Map(
    alternatives
      .filter(({ id }) => by[id] === -1 && universe.get(id).repository !== undefined)
      .map(({ id, why }) => [id, why]),
  );
  for await (const [solvable, detail] of withDetails([...whys.keys()].map((id) => universe.get(id)))) {
    const why = whys.get(solvable.id) as string;
    packages.push(new ChosenRpm(nevra(solvable), solvable, detail, { relation: why }, why));
  }
  return { role, asked, packages: packages.sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

/** The requirements of what is in the set, by owner: a chain of rules for each. */
class Requirements {
  readonly #first: Int32Array;
  readonly #after: Int32Array;

  constructor(rules: Rules, packages: number, inSet: ReadonlySet<number>) {
    this.#first = new Int32Array(packages + 1).fill(-1);
    this.#after = new Int32Array(rules.size);
    for (const rule of rules.ofKind("requires").reverse()) {
      const from = rules.from(rule);
      if (!inSet.has(from)) continue;
      this.#after[rule] = this.#first[from] as number;
      this.#first[from] = rule;
    }
  }

  /** -1: there is none. */
  first(from: number): number {
    return this.#first[from] as number;
  }

  after(rule: number): number {
    return this.#after[rule] as number;
  }
}

/** Weak dependencies among what was chosen, by the one that wishes. */
function wishesOf(
  universe: Universe,
  inSet: ReadonlySet<number>,
): Map<number, { id: number; relation: string }[]> {
  const wishes = new Map<number, { id: number; relation: string }[]>();
  const add = (from: number, id: number, relation: string): void => {
    const list = wishes.get(from);
    if (list) list.push({ id, relation });
    else wishes.set(from, [{ id, relation }]);
  };
  const providing = (text: string): number[] =>
    simplesOf(universe.relation(text))
      .flatMap((simple) => universe.providers(simple))
      .filter((id) => inSet.has(id));
  for (const from of inSet) {
    const { data } = universe.get(from);
    for (const text of data.recommends ?? []) for (const id of providing(text)) add(from, id, text);
    for (const text of data.supplements ?? []) for (const id of providing(text)) add(id, from, text);
  }
  return wishes;
}

/** Each with where it is, not in their order. */
async function* withDetails(solvables: Solvable[]): AsyncGenerator<[Solvable, RpmDetail]> {
  for (const [repository, own] of Map.groupBy(
    solvables,
    (solvable) => solvable.repository as RpmRepository,
  )) {
    for (const batch of batches(own)) {
      const details = await repository.details(batch.map(({ row }) => row));
      for (const solvable of batch) yield [solvable, details.get(solvable.row) as RpmDetail];
    }
  }
}

/** There may be tens of thousands of them, so they hold nothing twice and nothing that can be worked out when it is asked for. */
class ChosenRpm implements ChosenPackage {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly arch: string;
  readonly reason: Reason;
  readonly base?: string;
  readonly alternative?: string;
  readonly #repository: RpmRepository;
  readonly #detail: RpmDetail;

  constructor(
    id: string,
    { name, version, arch, repository }: Solvable,
    detail: RpmDetail,
    reason: Reason,
    alternative?: string,
  ) {
    this.id = id;
    this.name = name;
    this.version = version;
    this.arch = arch;
    this.reason = reason;
    if (detail.base !== undefined) this.base = detail.base;
    if (alternative !== undefined) this.alternative = alternative;
    this.#repository = repository as RpmRepository;
    this.#detail = detail;
  }

  get repository(): string {
    return this.#repository.id;
  }

  get href(): string {
    return this.#detail.href;
  }

  get places(): string[] {
    return this.#repository.places(this.#detail);
  }

  get http(): ChosenPackage["http"] {
    return this.#repository.http;
  }

  get size(): number {
    return this.#detail.size;
  }

  get checksum(): ChosenPackage["checksum"] {
    return this.#detail.checksum;
  }
}
