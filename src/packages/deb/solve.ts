import { AirgapError, isAirgapError } from "../../errors.ts";
import { batches } from "../solver/loader.ts";
import { ExplainedRules } from "../solver/rule-store.ts";
import { Unsatisfiable } from "../solver/sat.ts";
import type { ChosenPackage, Closure } from "../types.ts";
import { explainDeb } from "./explain.ts";
import type { InstalledDeb } from "./installed.ts";
import { loadDebUniverse } from "./load.ts";
import { Marker } from "./marker.ts";
import type { DebDetail } from "./packages-file.ts";
import type { DebRepository } from "./repository.ts";
import { lookUpDeb } from "./request.ts";
import { type DebJob, type DebRules, makeDebRules, searchDeb } from "./search.ts";
import { conflictsOf } from "./states.ts";
import { type DebSolvable, type DebUniverse, debId } from "./universe.ts";

export interface DebSolveOptions {
  set: string;
  role: string;
  install: string[];
  repositories: DebRepository[];
  arch: string;
  recommends: boolean;
  installed: InstalledDeb[];
}

/** Works out one role's transaction, as a whole. @throws AirgapError `unsatisfiable` with the chain that can't be kept */
export async function solveDeb(options: DebSolveOptions): Promise<Closure> {
  const { install, repositories, arch, recommends } = options;
  const wanted = [];
  for (const text of install) wanted.push(await lookUpDeb(text, repositories, arch));
  const names = wanted.flatMap((want) => want.names);
  const { universe, installed } = await loadDebUniverse({
    repositories,
    arch,
    names,
    recommends,
    installed: options.installed,
  });
  const jobs = wanted.flatMap((want) => want.jobs(universe));
  for (const { candidates } of jobs)
    for (const [first] of [candidates])
      if (first && candidates.every(({ name }) => name === first.name)) universe.choose(first);
  const asked = jobs.map(({ candidates }) => candidates[0] as DebSolvable);
  const aptsWay = new Marker(universe, installed, recommends).run(asked);
  const chosen = aptsWay ?? solveHard(universe, jobs, installed, options);
  const kept = new Set(chosen.map(({ name }) => name));
  const gone = installed.filter(({ name }) => !kept.has(name));
  const closure = {
    ...(await describe(universe, jobs, installed, chosen, options)),
    removes: gone.map(debId),
  };
  if (aptsWay !== undefined || isFoundByName(universe, jobs, installed, chosen, recommends)) return closure;
  return {
    ...closure,
    inFull: [...closure.packages.map(({ id }) => id), ...gone.map(({ name }) => `${name}-`)],
  };
}

/** Whether apt, when it sees no more than what is carried, can install what was asked for. */
function isFoundByName(
  universe: DebUniverse,
  jobs: DebJob[],
  installed: DebSolvable[],
  chosen: DebSolvable[],
  recommends: boolean,
): boolean {
  const asked = jobs.flatMap(
    ({ candidates }) => candidates.find((solvable) => chosen.includes(solvable)) ?? [],
  );
  const carried = universe.only(new Set([...chosen, ...installed]));
  return new Marker(carried, installed, recommends).run(asked) !== undefined;
}

/**
 * With backtracking: first with the versions that apt would take of what was asked for, then with older
 * ones. What hosts have is given up where nothing else helps, as apt does, but never what is essential.
 */
function solveHard(
  universe: DebUniverse,
  jobs: DebJob[],
  installed: DebSolvable[],
  options: DebSolveOptions,
): DebSolvable[] {
  const newest = jobs.map((job) => ({ ...job, candidates: newestOf(universe, job.candidates) }));
  try {
    return solveFor(universe, newest, installed, options);
  } catch (error) {
    if (!isAirgapError(error, "unsatisfiable")) throw error;
    return solveFor(universe, jobs, installed, options);
  }
}

function newestOf(universe: DebUniverse, candidates: DebSolvable[]): DebSolvable[] {
  const newest = candidates.filter((solvable) => universe.candidate(solvable.name) === solvable);
  return newest.length > 0 ? newest : candidates;
}

function solveFor(
  universe: DebUniverse,
  jobs: DebJob[],
  installed: DebSolvable[],
  options: DebSolveOptions,
): DebSolvable[] {
  let rules = makeDebRules(universe, jobs, installed, options.recommends);
  for (;;) {
    try {
      return searchDeb(universe, rules, options.recommends).map((id) => universe.get(id));
    } catch (error) {
      if (!(error instanceof Unsatisfiable)) throw error;
      const given = error.rules.find(
        (rule) => rules.kind(rule) === "keep" && !universe.get(rules.from(rule)).data.essential,
      );
      if (given === undefined) throw impossible(universe, rules, error.rules, options);
      rules = without(rules, given);
    }
  }
}

function without(rules: DebRules, left: number): DebRules {
  const others: DebRules = new ExplainedRules();
  for (let rule = 0; rule < rules.size; rule++) if (rule !== left) rules.copy(rule, others);
  return others;
}

function impossible(
  universe: DebUniverse,
  rules: DebRules,
  involved: number[],
  options: DebSolveOptions,
): AirgapError {
  const lines = explainDeb(universe, rules, involved);
  const searched = options.repositories.map(({ title }) => title);
  const where = options.role === "all" ? options.set : `${options.set}, role ${options.role}`;
  return new AirgapError(
    "unsatisfiable",
    `${where}: what was asked for can't be installed together\n  ${lines.join("\n  ")}\n  searched: ${searched.join(", ")}`,
    {
      data: { set: options.set, role: options.role, chain: lines, repositories: searched },
    },
  );
}

/** The proof: from what was asked for to each package, by the relation that brings it in. Packages that nothing leads to are left out. */
async function describe(
  universe: DebUniverse,
  jobs: DebJob[],
  installed: DebSolvable[],
  chosen: DebSolvable[],
  { role, recommends }: DebSolveOptions,
): Promise<Closure> {
  const inSet = new Set(chosen);
  const reasons = new Map<DebSolvable, ChosenPackage["reason"]>();
  const queue: DebSolvable[] = [];
  const reach = (solvable: DebSolvable, reason: ChosenPackage["reason"]): void => {
    if (reasons.has(solvable)) return;
    reasons.set(solvable, reason);
    queue.push(solvable);
  };
  const asked: Closure["asked"] = [];
  for (const { text, candidates } of jobs) {
    const solvable = candidates.find((candidate) => inSet.has(candidate));
    if (solvable === undefined) continue;
    reach(solvable, { relation: text });
    asked.push({ text, package: debId(solvable) });
  }
  let next = 0;
  const follow = (): void => {
    for (; next < queue.length; next++) {
      const solvable = queue[next] as DebSolvable;
      const groups = recommends
        ? [...solvable.data.depends, ...(solvable.data.recommends ?? [])]
        : solvable.data.depends;
      for (const group of groups)
        for (const other of universe.group(group))
          if (inSet.has(other)) reach(other, { by: debId(solvable), relation: group });
    }
  };
  follow();
  for (const { solvable, reason } of upgrades(universe, installed, chosen)) reach(solvable, reason);
  follow();
  for (const host of installed.filter((solvable) => inSet.has(solvable)))
    for (const relation of lostBy(universe, host, inSet))
      for (const other of universe.group(relation))
        if (inSet.has(other)) reach(other, { by: debId(host), relation });
  follow();
  const carried = queue.filter(({ repository }) => repository !== undefined);
  const details = await detailsOf(carried);
  const packages = carried.map((solvable) =>
    chosenPackage(solvable, details.get(solvable) as DebDetail, reasons.get(solvable)),
  );
  return { role, asked, packages: packages.sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

/** Every upgrade that the chosen force upon hosts, with what forces it. */
function* upgrades(
  universe: DebUniverse,
  installed: DebSolvable[],
  chosen: DebSolvable[],
): Generator<{ solvable: DebSolvable; reason: ChosenPackage["reason"] }> {
  const byName = new Map(chosen.map((solvable) => [solvable.name, solvable]));
  const inSet = new Set(chosen);
  for (const host of installed) {
    const solvable = byName.get(host.name);
    if (solvable === undefined || solvable === host) continue;
    const replaces = debId(host);
    const against = chosen.find((other) => conflictsOf(universe, other).includes(host));
    const lost = host.data.depends.find((group) => !universe.group(group).some((other) => inSet.has(other)));
    if (against !== undefined)
      yield { solvable, reason: { by: debId(against), relation: `${debId(against)} breaks it`, replaces } };
    else if (lost !== undefined)
      yield { solvable, reason: { relation: `it depends on ${lost}, which does not stay`, replaces } };
    else yield { solvable, reason: { relation: "what is upgraded with it needs it", replaces } };
  }
}

/** What a host's package depends on that hosts had, and that something new has to give. */
function lostBy(universe: DebUniverse, host: DebSolvable, inSet: ReadonlySet<DebSolvable>): string[] {
  return host.data.depends.filter((group) => {
    const present = universe.group(group).filter(({ repository }) => repository === undefined);
    return present.length > 0 && !present.some((other) => inSet.has(other));
  });
}

async function detailsOf(chosen: DebSolvable[]): Promise<Map<DebSolvable, DebDetail>> {
  const found = new Map<DebSolvable, DebDetail>();
  for (const [repository, own] of Map.groupBy(chosen, (solvable) => solvable.repository as DebRepository)) {
    for (const batch of batches(own)) {
      const details = await repository.details(batch.map(({ row }) => row));
      for (const solvable of batch) found.set(solvable, details.get(solvable.row) as DebDetail);
    }
  }
  return found;
}

function chosenPackage(
  solvable: DebSolvable,
  detail: DebDetail,
  reason: ChosenPackage["reason"] | undefined,
): ChosenPackage {
  const repository = solvable.repository as DebRepository;
  const { name, version, arch, data } = solvable;
  return {
    id: debId(solvable),
    name,
    version,
    arch,
    repository: repository.id,
    href: detail.filename,
    places: repository.places(detail.filename),
    relations: {
      depends: data.depends,
      conflicts: data.conflicts ?? [],
      breaks: data.breaks ?? [],
      provides: data.provides ?? [],
    },
    http: repository.http,
    size: detail.size,
    checksum: detail.checksum,
    reason: reason ?? { relation: "" },
    ...(repository.signed ? {} : { unsignedRepository: true }),
  };
}
