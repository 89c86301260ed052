import { AirgapError } from "../../errors.ts";
import type { Comps, GroupPackage } from "./comps.ts";
import type { Modules } from "./modules.ts";
import { NormalForm } from "./normal-form.ts";
import type { RpmRepository } from "./repository.ts";
import { byForm, type Wanted } from "./request.ts";
import type { Job } from "./rules.ts";
import { nevra, type Universe } from "./universe.ts";

export interface GroupedOptions {
  repositories: RpmRepository[];
  /** The set's own architecture, and all that may be installed. */
  arch: string;
  arches: ReadonlySet<string>;
  warn(message: string): void;
}

/**
 * The profiles of modules, as one request: a package that two of them have may come from either.
 * @param words what follows the `@`
 * @throws AirgapError `spec`, `unsatisfiable`
 */
export async function lookUpModules(words: string[], modules: Modules, { repositories, arches }: GroupedOptions): Promise<Wanted> {
  const { packages, artifacts } = modules.request(words);
  const names = [...packages.keys()];
  const present = new Set<string>();
  for (const repository of repositories) for (const row of await repository.versions(names)) if (arches.has(row.arch)) present.add(row.name);
  for (const [name, text] of packages) {
    if (present.has(name)) continue;
    throw new AirgapError("unsatisfiable", `${text}: the profile has ${name}, which is in none of ${repositories.map(({ id }) => id).join(", ")}`, {
      suggestions: ["name the packages that are needed instead of the profile, or the repository that has it"],
    });
  }
  const jobs = (universe: Universe): Job[] =>
    [...packages].map(([name, text]) => {
      const all = universe.named(name).filter(({ repository }) => repository !== undefined);
      const own = all.filter((solvable) => artifacts.has(nevra(solvable)) || solvable.repository?.moduleHotfixes);
      return { text, candidates: (own.length > 0 ? own : all).map(({ id }) => id) };
    });
  return { text: "", names, capabilities: [], jobs };
}

/** A group or an environment. What it names and no repository has is passed over with a warning, as dnf does. */
export async function lookUpGroup(word: string, comps: Comps, { repositories, arch, arches, warn }: GroupedOptions): Promise<Wanted> {
  const text = `@${word}`;
  const found: Wanted[] = [];
  const missing: string[] = [];
  for (const item of comps.packages(
    word,
    repositories.map(({ id }) => id),
  )) {
    const form = item.baseArchOnly ? { name: item.name, arch } : { name: item.name };
    const wanted = await byForm(text, form, repositories, arches);
    if (wanted === undefined) missing.push(item.name);
    else found.push(item.requires === undefined ? wanted : conditional(text, item));
  }
  if (missing.length > 0) warn(`${text}: no repository has ${missing.join(", ")} of that group`);
  return {
    text,
    names: found.flatMap(({ names }) => names),
    capabilities: found.flatMap(({ capabilities }) => capabilities),
    jobs: (universe) => found.flatMap(({ jobs }) => jobs(universe)),
  };
}

function conditional(text: string, { name, requires = "" }: GroupPackage): Wanted {
  const simple = (capability: string) => ({ kind: "simple", name: capability, op: 0, version: "" }) as const;
  const jobs = (universe: Universe): Job[] => {
    const rules = new NormalForm(universe).cnf({ kind: "if", left: simple(name), condition: simple(requires) });
    return typeof rules === "boolean" ? [] : rules.map((candidates) => ({ text: `${text}: ${name} if ${requires}`, candidates }));
  };
  return { text, names: [], capabilities: [name, requires], jobs };
}
