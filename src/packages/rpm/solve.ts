import { AirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { Unsatisfiable } from "../solver/sat.ts";
import type { Closure } from "../types.ts";
import { findAlternatives } from "./alternatives.ts";
import { Comps } from "./comps.ts";
import { Explanation } from "./explain.ts";
import { lookUpGroup, lookUpModules } from "./grouped.ts";
import { type InstalledPackage, loadUniverse } from "./load.ts";
import type { Modules } from "./modules.ts";
import { prove } from "./proof.ts";
import { namesIn } from "./relation.ts";
import type { RpmRepository } from "./repository.ts";
import { lookUp, type RequestedPackage } from "./request.ts";
import { type Job, makeRules, type Rules } from "./rules.ts";
import { type Found, search } from "./search.ts";
import { nevra, type Solvable, type Universe } from "./universe.ts";

export interface SolveOptions {
  /** Name of the set, for messages. */
  set: string;
  role: string;
  /** What to install, as the spec says it. */
  install: string[];
  repositories: RpmRepository[];
  modules: Modules;
  arch: string;
  recommends: boolean;
  installed: InstalledPackage[];
  hostCapabilities: string[];
  emit?: Emit | undefined;
}

/** What hosts of an architecture may install. */
const archesOf = (arch: string): ReadonlySet<string> => new Set([arch, "noarch"]);

/** Works out one role's transaction, as a whole. @throws AirgapError `unsatisfiable` with the chain that can't be kept */
export async function solve(options: SolveOptions): Promise<Closure> {
  const { repositories, arch, recommends, installed, hostCapabilities } = options;
  const arches = archesOf(arch);
  const wanted = await lookUpAll(options, arches);
  const names = wanted.flatMap((want) => want.names);
  const capabilities = wanted.flatMap((want) => want.capabilities);
  const universe = await loadUniverse({
    repositories,
    arches,
    names,
    capabilities,
    recommends,
    installed,
    hostCapabilities,
  });
  const jobs = wanted.flatMap((want) => want.jobs(universe));
  const rules = makeRules(universe, jobs);
  const found = await run(universe, rules, options);
  const { chosen } = found;
  for (const message of renamed(universe, jobs, new Set(chosen)))
    options.emit?.({ type: "warning", message: `${options.set}: ${message}` });
  // Hosts whose packages are given leave nothing open.
  if (installed.length > 0)
    return prove({ universe, rules, jobs, found, alternatives: [], role: options.role });
  const { found: alternatives, impossible } = findAlternatives(universe, rules, chosen, recommends);
  for (const why of impossible) {
    options.emit?.({
      type: "warning",
      message: `${options.set}: ${why}; hosts that meet the condition can't be served, since that does not go together with the rest`,
    });
  }
  return prove({ universe, rules, jobs, found, alternatives, role: options.role });
}

/** What was asked for by a name that nothing carried has or provides, so that hosts can't ask for it by that name. */
function renamed(universe: Universe, jobs: Job[], chosen: ReadonlySet<number>): string[] {
  return jobs.flatMap(({ name, candidates }) => {
    if (name === undefined) return [];
    const providers = universe.providers({ kind: "simple", name, op: 0, version: "" });
    if (providers.some((id) => chosen.has(id))) return [];
    const successor = candidates.map((id) => universe.get(id)).find(({ id }) => chosen.has(id));
    if (successor === undefined) return [];
    return `${name} is carried as ${nevra(successor)}, which obsoletes it and does not provide its name; on hosts, install it as ${successor.name}`;
  });
}

/** Streams are settled first; what was asked for follows in dnf's order: packages, modules, groups. */
async function lookUpAll(
  { set, install, repositories, modules, arch, installed, emit }: SolveOptions,
  arches: ReadonlySet<string>,
): Promise<RequestedPackage[]> {
  const warn = (message: string): void => emit?.({ type: "warning", message: `${set}: ${message}` });
  const words = install.filter((text) => text.startsWith("@")).map((text) => text.slice(1));
  const streams = words.filter((word) => modules.knows(word));
  const problems = await modules.enable(streams, new Set(installed.map(nevra)));
  if (problems.length > 0) warn(`not all module streams go together\n  ${problems.join("\n  ")}`);
  const wanted: RequestedPackage[] = [];
  const hidden = (name: string) => modules.hidden(name);
  for (const text of install)
    if (!text.startsWith("@")) wanted.push(await lookUp(text, repositories, arches, hidden));
  const options = { repositories, modules, arch, arches, warn };
  if (streams.length > 0) wanted.push(await lookUpModules(streams, options));
  const groups = words.filter((word) => !modules.knows(word));
  const comps = groups.length > 0 ? await Comps.read(repositories) : undefined;
  for (const word of groups) if (comps) wanted.push(await lookUpGroup(word, comps, options));
  return wanted;
}

async function run(universe: Universe, rules: Rules, options: SolveOptions): Promise<Found> {
  try {
    return search(universe, rules, { recommends: options.recommends });
  } catch (error) {
    if (!(error instanceof Unsatisfiable)) throw error;
    const missing = error.rules
      .filter((rule) => rules.kind(rule) === "nothing-provides")
      .flatMap((rule) => namesIn(rules.relation(rule)));
    const elsewhere = await otherArchitectures(missing, options);
    const hidden = await hiddenOnes(missing, options.modules);
    const nearest = (name: string): string | undefined =>
      nearestTo(universe, name) ?? hidden.get(name)?.text ?? elsewhere.get(name);
    const lines = new Explanation(universe, nearest).lines(rules, error.rules);
    const searched = options.repositories.map(({ id }) => id);
    const where = options.role === "all" ? options.set : `${options.set}, role ${options.role}`;
    throw new AirgapError(
      "unsatisfiable",
      `${where}: what was asked for can't be installed together\n  ${lines.join("\n  ")}\n  searched: ${searched.join(", ")}`,
      {
        suggestions: [...new Set([...hidden.values()].map(({ suggestion }) => suggestion))],
        data: { set: options.set, role: options.role, chain: lines, repositories: searched },
      },
    );
  }
}

const shown = (solvable: Solvable): string =>
  `${nevra(solvable)}${solvable.repository ? ` (${solvable.repository.id})` : " (installed)"}`;

/** Who provides it in another version, or is at least called like it. */
function nearestTo(universe: Universe, name: string): string | undefined {
  const providers = universe
    .providers({ kind: "simple", name, op: 0, version: "" })
    .map((id) => universe.get(id));
  const near = (providers.length > 0 ? providers : universe.named(name)).slice(-3).map(shown);
  return near.length > 0 ? near.join(", ") : undefined;
}

/** What modules keep from being seen. */
async function hiddenOnes(
  names: string[],
  modules: Modules,
): Promise<Map<string, { text: string; suggestion: string }>> {
  const found = new Map<string, { text: string; suggestion: string }>();
  for (const name of names) {
    const hidden = await modules.hidden(name);
    if (hidden) found.set(name, hidden);
  }
  return found;
}

/** What provides a name for hosts of another kind only: never an answer, but often the reason. */
async function otherArchitectures(
  names: string[],
  { repositories, arch }: SolveOptions,
): Promise<Map<string, string>> {
  const arches = archesOf(arch);
  const found = new Map<string, string>();
  for (const repository of repositories) {
    for (const name of names) {
      const rows = await repository.packages((await repository.providers([name])).map((row) => row.package));
      const [foreign] = rows.filter((row) => !arches.has(row.arch));
      if (foreign) found.set(name, `${nevra(foreign)} (${repository.id}), of another architecture`);
    }
  }
  return found;
}
