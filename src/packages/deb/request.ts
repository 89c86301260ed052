import { AirgapError } from "../../errors.ts";
import { nearest } from "../../schema/nearest.ts";
import { globRegExp, isGlob } from "../glob.ts";
import type { DebRepository } from "./repository.ts";
import type { DebJob } from "./search.ts";
import { type DebSolvable, type DebUniverse, debId } from "./universe.ts";
import { compareDebianVersions } from "./version.ts";

/** What is asked for: the names to load, and how to find the candidates once they are. */
export interface DebWanted {
  text: string;
  names: string[];
  jobs(universe: DebUniverse): DebJob[];
}

/**
 * Looks a word of `install:` up: `name`, `name=version` (both may be patterns), `name/suite`, or
 * the name of something virtual. @throws AirgapError `unsatisfiable` when no repository knows it
 */
export async function lookUpDeb(
  text: string,
  repositories: DebRepository[],
  arch: string,
): Promise<DebWanted> {
  const [, qualified = "", version, suite] = /^([^=/]+)(?:=(.+)|\/(.+))?$/.exec(text.trim()) ?? [];
  const [name = "", qualifier] = qualified.split(":");
  const fits = (solvable: DebSolvable): boolean =>
    (version === undefined ||
      (isGlob(version)
        ? globRegExp(version).test(solvable.version)
        : compareDebianVersions(solvable.version, version) === 0)) &&
    (suite === undefined || solvable.repository?.title.split(" ")[1] === suite) &&
    (qualifier === undefined ||
      qualifier === "any" ||
      solvable.arch === qualifier ||
      solvable.arch === "all");
  const names = isGlob(name)
    ? (await Promise.all(repositories.map((repository) => repository.globbed(name)))).flat()
    : [name];
  const provided = (await Promise.all(repositories.map((repository) => repository.providers(names)))).flat();
  if (provided.length === 0) return notFound(text, name, repositories);
  return {
    text,
    names: [...new Set(names)],
    jobs: (universe) =>
      [...new Set(names)].sort().flatMap((wanted): DebJob[] => {
        const own = universe.named(wanted).filter(fits);
        if (own.length > 0) return [{ text, candidates: own }];
        if (universe.named(wanted).length > 0) throw noVersion(text, universe.named(wanted), repositories);
        const virtual = universe.fulfilling({
          name: wanted,
          qualifier: "",
          operator: version === undefined ? "" : "=",
          version: version ?? "",
        });
        if (virtual.length === 0) throw noVersion(text, universe.group(wanted), repositories, arch);
        return [{ text, candidates: virtual }];
      }),
  };
}

function noVersion(
  text: string,
  versions: DebSolvable[],
  repositories: DebRepository[],
  arch?: string,
): AirgapError {
  const near = versions
    .slice(0, 5)
    .map((solvable) => `${debId(solvable)} (${solvable.repository?.title ?? "installed"})`);
  const searched = repositories.map(({ title }) => title).join(", ");
  const none = arch === undefined ? "" : ` for ${arch}`;
  return new AirgapError(
    "unsatisfiable",
    `Nothing in ${searched} is ${JSON.stringify(text)}${none}${near.length > 0 ? `; nearest: ${near.join(", ")}` : ""}`,
    {
      data: { asked: text, repositories: repositories.map(({ title }) => title), nearest: near },
    },
  );
}

async function notFound(text: string, name: string, repositories: DebRepository[]): Promise<never> {
  const all = (await Promise.all(repositories.map((repository) => repository.globbed("*")))).flat();
  const similar = nearest(name, all);
  const searched = repositories.map(({ title }) => title).join(", ");
  throw new AirgapError(
    "unsatisfiable",
    `No package in ${searched} is or provides ${JSON.stringify(text)}${similar ? `; a similar name: ${similar}` : ""}`,
    {
      data: {
        asked: text,
        repositories: repositories.map(({ title }) => title),
        nearest: similar ? [similar] : [],
      },
    },
  );
}
