import { AirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { Unsatisfiable } from "../packages/sat.ts";
import type { ChosenPackage, Closure } from "../packages/types.ts";
import { Explanation } from "./explain.ts";
import { type InstalledPackage, loadUniverse } from "./load.ts";
import type { RpmRepository } from "./repository.ts";
import { lookUp } from "./request.ts";
import { type Job, makeRules, type Rule } from "./rules.ts";
import { search } from "./search.ts";
import { nevra, type Solvable, type Universe } from "./universe.ts";

export interface SolveOptions {
  /** Name of the set, for messages. */
  set: string;
  role: string;
  /** What to install, as the spec says it. */
  install: string[];
  repositories: RpmRepository[];
  arch: string;
  recommends: boolean;
  installed: InstalledPackage[];
  hostCapabilities: string[];
  emit?: Emit;
}

/** What hosts of an architecture may install. */
const archesOf = (arch: string): ReadonlySet<string> => new Set([arch, "noarch"]);

/** Works out one role's transaction, as a whole. @throws AirgapError `unsatisfiable` with the chain that can't be kept */
export async function solve(options: SolveOptions): Promise<Closure> {
  const { install, repositories, arch, recommends, installed, hostCapabilities } = options;
  const arches = archesOf(arch);
  const wanted = [];
  for (const text of install) wanted.push(await lookUp(text, repositories, arches));
  const names = wanted.flatMap((want) => want.names);
  const capabilities = wanted.flatMap((want) => want.capabilities);
  const universe = await loadUniverse({ repositories, arches, names, capabilities, recommends, installed, hostCapabilities });
  const jobs = wanted.flatMap((want) => want.jobs(universe));
  const rules = makeRules(universe, jobs);
  const chosen = run(universe, rules, options);
  return describe(universe, rules, jobs, chosen, options.role);
}

function run(universe: Universe, rules: Rule[], options: SolveOptions): number[] {
  try {
    return search(universe, rules, { recommends: options.recommends });
  } catch (error) {
    if (!(error instanceof Unsatisfiable)) throw error;
    const involved = error.rules.map((index) => rules[index]).filter((rule) => rule !== undefined);
    const lines = new Explanation(universe, (name) => nearestTo(universe, name)).lines(involved);
    const searched = options.repositories.map(({ id }) => id);
    const where = options.role === "all" ? options.set : `${options.set}, role ${options.role}`;
    throw new AirgapError(
      "unsatisfiable",
      `${where}: what was asked for can't be installed together\n  ${lines.join("\n  ")}\n  searched: ${searched.join(", ")}`,
      {
        data: { set: options.set, role: options.role, chain: lines, repositories: searched },
      },
    );
  }
}

/** Other versions of a package that has the name of a capability. */
function nearestTo(universe: Universe, name: string): string | undefined {
  const same = universe
    .named(name)
    .slice(-3)
    .map((solvable) => `${nevra(solvable)}${solvable.repository ? ` (${solvable.repository.id})` : " (installed)"}`);
  return same.length > 0 ? same.join(", ") : undefined;
}

/** The proof: from what was asked for to each package, by the requirement that brings it in. Packages that nothing leads to are left out. */
function describe(universe: Universe, rules: Rule[], jobs: Job[], chosen: number[], role: string): Closure {
  const inSet = new Set(chosen);
  const reasons = new Map<number, { by: number; relation: string }>();
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
  const byOwner = Map.groupBy(
    rules.filter(({ kind, from }) => kind === "requires" && inSet.has(from)),
    ({ from }) => from,
  );
  const wishes = wishesOf(universe, inSet);
  for (let i = 0; i < queue.length; i++) {
    const from = queue[i] as number;
    for (const { literals, relation } of byOwner.get(from) ?? []) for (const id of literals) if (id > 0 && inSet.has(id)) reach(id, from, relation);
    for (const { id, relation } of wishes.get(from) ?? []) reach(id, from, relation);
  }
  const packages = queue.map((id) => universe.get(id)).filter(({ repository }) => repository !== undefined);
  return {
    role,
    asked,
    packages: packages.map((solvable) => chosenPackage(universe, solvable, reasons.get(solvable.id))).sort((a, b) => (a.id < b.id ? -1 : 1)),
  };
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

function chosenPackage(universe: Universe, solvable: Solvable, reason: { by: number; relation: string } | undefined): ChosenPackage {
  const repository = solvable.repository as RpmRepository;
  const { data, name, evr, arch } = solvable;
  const by = reason && reason.by !== 0 ? { by: nevra(universe.get(reason.by)) } : {};
  return {
    id: nevra(solvable),
    name,
    version: evr,
    arch,
    repository: repository.id,
    href: data.href,
    ...(data.base === undefined ? {} : { base: data.base }),
    places: repository.places(data),
    http: repository.http,
    size: data.size,
    checksum: data.checksum,
    reason: { ...by, relation: reason?.relation ?? "" },
  };
}
