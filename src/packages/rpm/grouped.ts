import { AirgapError } from "../../errors.ts";
import { nearest } from "../../schema/nearest.ts";
import type { Comps, GroupPackage } from "./comps.ts";
import type { Modules } from "./modules.ts";
import { NormalForm } from "./normal-form.ts";
import type { RpmRepository } from "./repository.ts";
import { byForm, type RequestedPackage } from "./request.ts";
import type { Job } from "./rules.ts";
import { nevra, type Universe } from "./universe.ts";

export interface GroupedOptions {
  repositories: RpmRepository[];
  modules: Modules;
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
export async function lookUpModules(
  words: string[],
  { repositories, modules, arches }: GroupedOptions,
): Promise<RequestedPackage> {
  const { packages, artifacts } = modules.request(words);
  const names = [...packages.keys()];
  const present = new Set<string>();
  for (const repository of repositories)
    for (const row of await repository.versions(names)) if (arches.has(row.arch)) present.add(row.name);
  for (const [name, text] of packages) {
    if (present.has(name)) continue;
    throw new AirgapError(
      "unsatisfiable",
      `${text}: the profile has ${name}, which is in none of ${repositories.map(({ id }) => id).join(", ")}`,
      {
        suggestions: [
          "name the packages that are needed instead of the profile, or the repository that has it",
        ],
      },
    );
  }
  const jobs = (universe: Universe): Job[] =>
    [...packages].map(([name, text]) => {
      const all = universe.named(name);
      const own = all.filter(
        (solvable) => artifacts.has(nevra(solvable)) || solvable.repository?.moduleHotfixes,
      );
      return { text, candidates: (own.length > 0 ? own : all).map(({ id }) => id) };
    });
  return { text: "", names, capabilities: [], jobs };
}

/** A group or an environment. What it names and no repository has is passed over with a warning, as dnf does. */
export async function lookUpGroup(
  word: string,
  comps: Comps,
  options: GroupedOptions,
): Promise<RequestedPackage> {
  const { repositories, arch, arches, warn } = options;
  const text = `@${word}`;
  const found: RequestedPackage[] = [];
  const missing: string[] = [];
  const items = comps.packages(word);
  if (items === undefined) throw unknown(word, comps, options);
  for (const item of items) {
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

/** Neither a module nor a group: what comes nearest. */
function unknown(word: string, comps: Comps, { repositories, modules }: GroupedOptions): AirgapError {
  const [front = ""] = word.split("/");
  const [name = ""] = front.split(":");
  const streams = new Set(
    modules.names().flatMap((module) => (module.name === name ? [`${name}:${module.stream}`] : [])),
  );
  const groups = comps.names();
  const near = nearest(front, [
    ...groups.flatMap((group) => [group.id, group.name]),
    ...modules.names().map((module) => module.name),
  ]);
  const ids = groups.map(({ id }) => id).sort();
  const some =
    ids.length === 0
      ? "there are no groups"
      : `groups: ${ids.slice(0, 10).join(", ")}${ids.length > 10 ? " …" : ""}`;
  const came =
    streams.size > 0
      ? `streams of ${name}: ${[...streams].sort().join(", ")}`
      : near
        ? `a similar name: ${near}`
        : some;
  const suggested = streams.size > 0 ? [...streams].sort().slice(0, 3) : near ? [near] : [];
  const searched = repositories.map(({ id }) => id);
  return new AirgapError(
    "unsatisfiable",
    `No module, group or environment in ${searched.join(", ")} is ${JSON.stringify(word)}; ${came}`,
    {
      suggestions: suggested.map((each) => JSON.stringify(`@${each}`)),
      data: { asked: `@${word}`, repositories: searched },
    },
  );
}

function conditional(text: string, { name, requires = "" }: GroupPackage): RequestedPackage {
  const simple = (capability: string) => ({ kind: "simple", name: capability, op: 0, version: "" }) as const;
  const jobs = (universe: Universe): Job[] => {
    const rules = new NormalForm(universe).cnf({
      kind: "if",
      left: simple(name),
      condition: simple(requires),
    });
    return typeof rules === "boolean"
      ? []
      : rules.map((candidates) => ({ text: `${text}: ${name} if ${requires}`, candidates }));
  };
  return { text, names: [], capabilities: [name, requires], jobs };
}
