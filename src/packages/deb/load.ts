import type { PackageRow } from "../../state/package-index.ts";
import { Loader, type Vocabulary } from "../solver/loader.ts";
import type { InstalledDeb } from "./installed.ts";
import type { DebData } from "./packages-file.ts";
import { alternativesOf } from "./relation.ts";
import type { DebRepository } from "./repository.ts";
import { type DebProviderLookup, type DebSolvable, DebUniverse } from "./universe.ts";

export interface DebLoadOptions {
  repositories: DebRepository[];
  arch: string;
  names: string[];
  recommends: boolean;
  installed: InstalledDeb[];
}

function* namesOf(groups: string[] | undefined): Generator<string> {
  for (const group of groups ?? [])
    for (const { name, qualifier } of alternativesOf(group)) yield qualifier === "any" ? `${name}:any` : name;
}

function vocabulary(recommends: boolean): Vocabulary<DebData> {
  return {
    read(row: PackageRow, share) {
      const data = JSON.parse(row.data) as DebData;
      for (const kind of ["depends", "recommends", "conflicts", "breaks"] as const) {
        const list = data[kind];
        if (list) data[kind] = list.map(share);
      }
      if (data.source !== undefined) data.source = share(data.source);
      return data;
    },
    *wants(data) {
      yield* namesOf(data.depends);
      if (recommends) yield* namesOf(data.recommends);
    },
    *mentions(data) {
      yield* namesOf(data.conflicts);
      yield* namesOf(data.breaks);
    },
  };
}

/** Loads what the request can reach. */
export async function loadDebUniverse(
  options: DebLoadOptions,
): Promise<{ universe: DebUniverse; installed: DebSolvable[] }> {
  const { repositories, arch, recommends, installed } = options;
  const names = [...options.names, ...installed.map(({ name }) => name)];
  const wanted = installed.flatMap(({ data }) => (data ? [...namesOf(data.depends)] : []));
  const loader = new Loader({
    repositories,
    vocabulary: vocabulary(recommends),
    arches: new Set([arch, "all"]),
    names,
    capabilities: wanted,
    supplements: false,
    allVersions: true,
  });
  await loader.load();
  const solvables = new Map<DebSolvable, DebSolvable>();
  const known = new Map<string, DebSolvable>();
  for (const order of repositories.keys()) {
    for (const solvable of loader.packages(order)) {
      // The same version in two suites is one package.
      const key = `${solvable.name} ${solvable.version}`;
      const first = known.get(key) ?? solvable;
      known.set(key, first);
      solvables.set(solvable, first);
    }
  }
  const hosts = installed.map((host) => installedSolvable(host, known));
  const all = [...new Set([...hosts, ...solvables.values()])];
  for (const [i, solvable] of all.entries()) solvable.id = i + 1;
  const own = new Map<string, [DebSolvable, string][]>();
  for (const [i, host] of hosts.entries())
    for (const [name, range] of installed[i]?.provides ?? [])
      own.set(name, [...(own.get(name) ?? []), [host, range]]);
  const lookUp: DebProviderLookup = (name, visit) => {
    for (const [host, range] of own.get(name) ?? []) visit(host, range);
    loader.lookUp(name, (solvable, range) => visit(solvables.get(solvable) as DebSolvable, range));
  };
  return { universe: new DebUniverse(all, lookUp, arch), installed: hosts };
}

/** What a host has is known from its own list, or from a repository that has the same version. */
function installedSolvable(
  { name, version, arch, data }: InstalledDeb,
  known: Map<string, DebSolvable>,
): DebSolvable {
  const same = known.get(`${name} ${version}`);
  if (same) {
    same.repository = undefined;
    return same;
  }
  const nothing: DebData = { depends: [], priority: 0, mention: 0 };
  return { id: 0, repository: undefined, order: -1, row: 0, name, version, arch, data: data ?? nothing };
}
