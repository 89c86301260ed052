import { AirgapError } from "../../errors.ts";
import { nearest } from "../../schema/nearest.ts";
import type { VersionRow } from "../../state/package-index.ts";
import { globRegExp, isGlob } from "../glob.ts";
import type { RpmData } from "./primary.ts";
import { parseRelation, type Relation } from "./relation.ts";
import type { RpmRepository } from "./repository.ts";
import type { Job } from "./rules.ts";
import type { Universe } from "./universe.ts";
import { EQUAL, parseEvr, rangesOverlap } from "./version.ts";

/** What is asked for, looked up in the repositories: the names to load, and how to find the candidates once they are. */
export interface RequestedPackage {
  text: string;
  names: string[];
  capabilities: string[];
  jobs(universe: Universe): Job[];
}

interface Form {
  name: string;
  epoch?: string;
  version?: string;
  release?: string;
  arch?: string;
}

const ARCHES = new Set(
  "noarch i386 i486 i586 i686 x86_64 x86_64_v2 x86_64_v3 x86_64_v4 aarch64 armv7hl ppc64 ppc64le s390x riscv64 loongarch64 mips64el src nosrc".split(
    " ",
  ),
);
const isArch = (text: string): boolean => ARCHES.has(text) || isGlob(text);

/** How a text can be split, in the order in which dnf tries: n-e:v-r.a, n.a, n, n-e:v-r, n-e:v. */
export function formsOf(text: string): Form[] {
  const withEvr = (input: string, parts: 1 | 2): Form | undefined => {
    const last = input.lastIndexOf("-");
    const first = parts === 2 ? input.lastIndexOf("-", last - 1) : last;
    if (first <= 0) return undefined;
    const name = input.slice(0, first);
    const [, epoch, rest = ""] = /^(?:(\d+):)?(.*)$/s.exec(input.slice(first + 1)) ?? [];
    const dash = rest.lastIndexOf("-");
    const version = parts === 2 ? rest.slice(0, dash) : rest;
    if (version === "") return undefined;
    return {
      name,
      version,
      ...(epoch === undefined ? {} : { epoch }),
      ...(parts === 2 ? { release: rest.slice(dash + 1) } : {}),
    };
  };
  const dot = text.lastIndexOf(".");
  const arch = dot > 0 ? text.slice(dot + 1) : "";
  const bare = dot > 0 && isArch(arch) ? text.slice(0, dot) : undefined;
  const nevra = bare === undefined ? undefined : withEvr(bare, 2);
  return [
    nevra && { ...nevra, arch },
    bare === undefined ? undefined : { name: bare, arch },
    { name: text },
    withEvr(text, 2),
    withEvr(text, 1),
  ].filter((form) => form !== undefined);
}

const matches = (pattern: string | undefined, text: string): boolean =>
  pattern === undefined || (isGlob(pattern) ? globRegExp(pattern).test(text) : pattern === text);

function fits(form: Form, row: Pick<VersionRow, "arch" | "version">): boolean {
  const { epoch, version, release = "" } = parseEvr(row.version);
  return (
    matches(form.arch, row.arch) &&
    matches(form.epoch, epoch) &&
    matches(form.version, version) &&
    matches(form.release, release)
  );
}

/** Why a name is not to be seen, and what helps. */
export type Hidden = (name: string) => Promise<{ text: string; suggestion: string } | undefined>;

/** Looks a word of `install:` up. @throws AirgapError `unsatisfiable` when no repository knows it */
export async function lookUp(
  text: string,
  repositories: RpmRepository[],
  arches: ReadonlySet<string>,
  hidden: Hidden,
): Promise<RequestedPackage> {
  if (!text.startsWith("/")) {
    for (const form of formsOf(text)) {
      const found = await byForm(text, form, repositories, arches);
      if (found) return found;
    }
  }
  return (await byCapability(text, repositories, arches)) ?? notFound(text, repositories, arches, hidden);
}

/** Packages by name, and what obsoletes them; undefined when there are none. */
export async function byForm(
  text: string,
  form: Form,
  repositories: RpmRepository[],
  arches: ReadonlySet<string>,
): Promise<RequestedPackage | undefined> {
  const names = new Set<string>();
  for (const repository of repositories) {
    const possible = isGlob(form.name) ? await repository.globbed(form.name) : [form.name];
    for (const row of await repository.versions(possible))
      if (arches.has(row.arch) && fits(form, row)) names.add(row.name);
  }
  if (names.size === 0) return undefined;
  const justName = form.version === undefined && form.arch === undefined;
  const successors = justName ? await obsoleters([...names], repositories) : [];
  return {
    text,
    names: [...names, ...successors],
    capabilities: [],
    jobs: (universe) =>
      [...names].sort().map((name) => {
        const own = universe
          .named(name)
          .filter((solvable) => fits(form, { arch: solvable.arch, version: solvable.version }));
        const others = successors
          .flatMap((successor) => universe.named(successor))
          .filter(({ data }) => own.some((solvable) => obsoletes(data, solvable.name, solvable.version)));
        return {
          text,
          candidates: [...new Set([...own, ...others].map(({ id }) => id))].sort((a, b) => a - b),
          ...(isGlob(form.name) ? {} : { name }),
        };
      }),
  };
}

async function obsoleters(names: string[], repositories: RpmRepository[]): Promise<string[]> {
  const found = new Set<string>();
  for (const repository of repositories)
    for (const { name } of await repository.obsoleters(names)) if (!names.includes(name)) found.add(name);
  return [...found];
}

function obsoletes(data: RpmData, name: string, evr: string): boolean {
  return (data.obsoletes ?? []).some((text) => {
    const relation = parseRelation(text);
    return (
      relation.kind === "simple" &&
      relation.name === name &&
      rangesOverlap(EQUAL, evr, relation.op, relation.version)
    );
  });
}

async function byCapability(
  text: string,
  repositories: RpmRepository[],
  arches: ReadonlySet<string>,
): Promise<RequestedPackage | undefined> {
  const relation = readCapability(text);
  if (relation === undefined) return undefined;
  const capabilities = new Set<string>();
  for (const repository of repositories) {
    const possible = isGlob(relation.name) ? await repository.capabilities(relation.name) : [relation.name];
    const provided = await repository.providers(possible);
    const installable = new Set(
      (await repository.packages(provided.map((row) => row.package)))
        .filter(({ arch }) => arches.has(arch))
        .map(({ id }) => id),
    );
    for (const { name, package: row } of provided) if (installable.has(row)) capabilities.add(name);
  }
  if (capabilities.size === 0) return undefined;
  return {
    text,
    names: [],
    capabilities: [...capabilities],
    jobs: (universe) => {
      const candidates = [...capabilities].flatMap((name) => universe.providers({ ...relation, name }));
      return [{ text, candidates: [...new Set(candidates)].sort((a, b) => a - b) }];
    },
  };
}

function readCapability(text: string): Extract<Relation, { kind: "simple" }> | undefined {
  const spaced = text.replace(/\s*([<>=]+)\s*/, " $1 ");
  const relation = spaced.startsWith("(") ? undefined : parseRelation(spaced);
  return relation?.kind === "simple" ? relation : undefined;
}

async function notFound(
  text: string,
  repositories: RpmRepository[],
  arches: ReadonlySet<string>,
  hidden: Hidden,
): Promise<never> {
  const searched = repositories.map(({ id }) => id).join(", ");
  for (const { name } of formsOf(text)) {
    const behind = await hidden(name);
    if (behind)
      throw new AirgapError(
        "unsatisfiable",
        `Nothing in ${searched} that may be installed is ${JSON.stringify(text)}: ${behind.text}`,
        {
          suggestions: [behind.suggestion],
          data: { asked: text, repositories: repositories.map(({ id }) => id) },
        },
      );
  }
  const near: string[] = [];
  for (const { name, version } of formsOf(text)) {
    for (const repository of repositories) {
      const rows = await repository.versions([name]);
      if (version !== undefined)
        near.push(...rows.map((row) => `${row.name}-${row.version}.${row.arch} (${repository.id})`));
      else
        near.push(
          ...rows
            .filter(({ arch }) => !arches.has(arch))
            .map(
              (row) => `${row.name}-${row.version}.${row.arch} (${repository.id}), of another architecture`,
            ),
        );
    }
  }
  const names =
    near.length > 0
      ? []
      : (await Promise.all(repositories.map((repository) => repository.globbed("*")))).flat();
  const similar = nearest(text.replace(/-\d.*$/, ""), names);
  const came =
    near.length > 0
      ? `; nearest: ${[...new Set(near)].slice(-5).join(", ")}`
      : similar
        ? `; a similar name: ${similar}`
        : "";
  throw new AirgapError(
    "unsatisfiable",
    `No package, capability or file in ${searched} is ${JSON.stringify(text)}${came}`,
    {
      data: { asked: text, repositories: repositories.map(({ id }) => id), nearest: near.slice(-5) },
    },
  );
}
