import { batches } from "../packages/loader.ts";
import type { ChosenPackage, Closure } from "../packages/types.ts";
import type { Alternative } from "./alternatives.ts";
import type { RpmDetail } from "./primary.ts";
import type { RpmRepository } from "./repository.ts";
import type { Job, Rules } from "./rules.ts";
import { nevra, type Solvable, type Universe } from "./universe.ts";

interface Reached {
  /** 0: it was asked for. */
  by: number;
  relation: string;
}

export interface ProofOptions {
  universe: Universe;
  rules: Rules;
  jobs: Job[];
  chosen: number[];
  alternatives: Alternative[];
  role: string;
}

/**
 * The proof: from what was asked for to each package, by the requirement that brings it in.
 * Packages that nothing leads to are left out.
 */
export async function prove({ universe, rules, jobs, chosen, alternatives, role }: ProofOptions): Promise<Closure> {
  const inSet = new Set(chosen);
  const reasons = new Map<number, Reached>();
  const queue: number[] = [];
  const reach = (id: number, by: number, relation: string): void => {
    if (reasons.has(id)) return;
    reasons.set(id, { by, relation });
    queue.push(id);
  };
  const asked: Closure["asked"] = [];
  for (const { text, candidates } of jobs) {
    const id = candidates.find((candidate) => inSet.has(candidate));
    if (id === undefined) continue;
    reach(id, 0, text);
    asked.push({ text, package: nevra(universe.get(id)) });
  }
  const needs = requirementsOf(rules, inSet);
  const wishes = wishesOf(universe, inSet);
  const { literals } = rules.store;
  for (let i = 0; i < queue.length; i++) {
    const from = queue[i] as number;
    for (const rule of needs.get(from) ?? []) {
      for (let at = rules.store.start(rule), end = rules.store.end(rule); at < end; at++) {
        const id = literals[at] as number;
        if (id > 0 && inSet.has(id)) reach(id, from, rules.relation(rule));
      }
    }
    for (const { id, relation } of wishes.get(from) ?? []) reach(id, from, relation);
  }
  const carried = queue.filter((id) => universe.get(id).repository !== undefined);
  const others = alternatives.filter(({ id }) => !reasons.has(id) && universe.get(id).repository !== undefined);
  const details = await detailsOf([...carried, ...others.map(({ id }) => id)].map((id) => universe.get(id)));
  const packages = carried.map((id) => chosenPackage(universe, universe.get(id), details.get(id) as RpmDetail, reasons.get(id) as Reached));
  for (const { id, why } of others) {
    const alternative = chosenPackage(universe, universe.get(id), details.get(id) as RpmDetail, { by: 0, relation: why });
    // Not spread: where it is, is worked out when it is asked for.
    alternative.alternative = why;
    packages.push(alternative);
  }
  return { role, asked, packages: packages.sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

/** The requirements of what is in the set, by owner. */
function requirementsOf(rules: Rules, inSet: ReadonlySet<number>): Map<number, number[]> {
  const needs = new Map<number, number[]>();
  for (const rule of rules.ofKind("requires")) {
    const from = rules.from(rule);
    if (!inSet.has(from)) continue;
    const own = needs.get(from);
    if (own) own.push(rule);
    else needs.set(from, [rule]);
  }
  return needs;
}

/** Weak dependencies among what was chosen, by the one that wishes. */
function wishesOf(universe: Universe, inSet: ReadonlySet<number>): Map<number, { id: number; relation: string }[]> {
  const wishes = new Map<number, { id: number; relation: string }[]>();
  const add = (from: number, id: number, relation: string): void => {
    const list = wishes.get(from);
    if (list) list.push({ id, relation });
    else wishes.set(from, [{ id, relation }]);
  };
  const providing = (text: string): number[] => {
    const relation = universe.relation(text);
    return relation.kind === "simple" ? universe.providers(relation).filter((id) => inSet.has(id)) : [];
  };
  for (const from of inSet) {
    const { data } = universe.get(from);
    for (const text of data.recommends ?? []) for (const id of providing(text)) add(from, id, text);
    for (const text of data.supplements ?? []) for (const id of providing(text)) add(id, from, text);
  }
  return wishes;
}

/** Where the chosen are, by id. */
async function detailsOf(chosen: Solvable[]): Promise<Map<number, RpmDetail>> {
  const found = new Map<number, RpmDetail>();
  for (const [repository, own] of Map.groupBy(chosen, (solvable) => solvable.repository as RpmRepository)) {
    for (const batch of batches(own)) {
      const details = await repository.details(batch.map(({ row }) => row));
      for (const { id, row } of batch) found.set(id, details.get(row) as RpmDetail);
    }
  }
  return found;
}

function chosenPackage(universe: Universe, solvable: Solvable, detail: RpmDetail, { by, relation }: Reached): ChosenPackage {
  const repository = solvable.repository as RpmRepository;
  const { name, version, arch } = solvable;
  return {
    id: nevra(solvable),
    name,
    version,
    arch,
    repository: repository.id,
    href: detail.href,
    ...(detail.base === undefined ? {} : { base: detail.base }),
    get places() {
      return repository.places(detail);
    },
    http: repository.http,
    size: detail.size,
    checksum: detail.checksum,
    reason: by === 0 ? { relation } : { by: nevra(universe.get(by)), relation },
  };
}
