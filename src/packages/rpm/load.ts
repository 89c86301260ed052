import type { PackageRow } from "../../state/package-index.ts";
import { batches, Loader, type Vocabulary } from "../solver/loader.ts";
import type { RpmData } from "./primary.ts";
import { namesIn } from "./relation.ts";
import type { RpmRepository } from "./repository.ts";
import { INSTALL_ONLY, type ProviderLookup, type Solvable, Universe } from "./universe.ts";
import { compareEvr } from "./version.ts";

/** A package that hosts have: what `rpm -qa` says of it. */
export interface InstalledPackage {
  name: string;
  arch: string;
  version: string;
}

export interface MetadataOptions {
  repositories: RpmRepository[];
  /** Architectures that may be installed. */
  arches: ReadonlySet<string>;
  /** Packages asked for by name, and capabilities. */
  names: string[];
  capabilities: string[];
  /** Follow Recommends and Supplements. */
  recommends: boolean;
  installed: InstalledPackage[];
  /** Capabilities of the hosts that are known without the packages that give them. */
  hostCapabilities: string[];
}

/** Relations that bring nothing in, but speak of what is in. */
const SILENT = ["conflicts", "recommends", "suggests", "supplements", "enhances"] as const;
const RELATIONS = ["requires", "obsoletes", ...SILENT] as const;

const names = (text: string): string[] =>
  text.startsWith("(") ? namesIn(text) : [text.split(" ", 1)[0] as string];

function vocabulary(recommends: boolean): Vocabulary<RpmData> {
  return {
    read(row: PackageRow, share) {
      const data = JSON.parse(row.data) as RpmData;
      for (const kind of RELATIONS) {
        const list = data[kind];
        if (list) data[kind] = list.map(share);
      }
      return data;
    },
    *wants(data) {
      for (const text of data.requires) yield* names(text);
      if (recommends) for (const text of data.recommends ?? []) yield* names(text);
      for (const text of data.conflicts ?? []) if (text.startsWith("(")) yield* namesIn(text);
    },
    *mentions(data) {
      for (const kind of SILENT) for (const text of data[kind] ?? []) yield* names(text);
    },
  };
}

/** Loads what the request can reach. */
export async function loadUniverse(options: MetadataOptions): Promise<Universe> {
  const { arches, capabilities, recommends, installed } = options;
  // dnf loads repositories by priority, then as they are listed, and libsolv numbers packages as they are loaded.
  const repositories = options.repositories.toSorted((a, b) => a.priority - b.priority);
  const had = installed.map(({ name }) => name);
  const wanted = [...options.names, ...had, ...(await obsoleting(had, repositories))];
  const loader = new Loader({
    repositories,
    vocabulary: vocabulary(recommends),
    arches,
    names: wanted,
    capabilities,
    asides: INSTALL_ONLY,
    supplements: recommends,
    allVersions: false,
  });
  await loader.load();
  const loaded = repositories.flatMap((_, i) => loader.packages(i));
  const { hosts, models } = hostPackages(loaded, installed);
  const all = number(hosts, loaded);
  const lookUp = withHosts(loader.lookUp, hosts, models, options.hostCapabilities);
  return new Universe(all, lookUp, await outdated(repositories, all));
}

/** What may take the place of what hosts have, besides newer builds of it. */
async function obsoleting(names: string[], repositories: RpmRepository[]): Promise<Set<string>> {
  const found = new Set<string>();
  for (const batch of batches(new Set(names)))
    for (const repository of repositories)
      for (const { name } of await repository.obsoleters(batch)) found.add(name);
  return found;
}

/** Adds what hosts provide, as far as it is known. */
function withHosts(
  lookUp: ProviderLookup,
  hosts: Solvable[],
  models: Map<Solvable, Solvable[]>,
  capabilities: string[],
): ProviderLookup {
  if (hosts.length === 0) return lookUp;
  const own = new Map<string, [Solvable, string][]>();
  const add = (name: string, solvable: Solvable, range: string): void =>
    void own.set(name, [...(own.get(name) ?? []), [solvable, range]]);
  for (const host of hosts) if (host.row === 0) add(host.name, host, `= ${host.version}`);
  for (const text of capabilities) {
    const [name = "", ...range] = text.split(" ");
    add(name, hosts[0] as Solvable, range.join(" "));
  }
  return (name, visit) => {
    for (const [solvable, range] of own.get(name) ?? []) visit(solvable, range);
    lookUp(name, (solvable, range) => {
      visit(solvable, range);
      for (const host of models.get(solvable) ?? [])
        visit(host, range === `= ${solvable.version}` ? `= ${host.version}` : range);
    });
  };
}

/** Ids in libsolv's order: what is installed, then the repositories as they were loaded, each in the order of its metadata. */
function number(hosts: Solvable[], loaded: Solvable[]): Solvable[] {
  const known = new Set(hosts);
  const all = [...hosts, ...loaded.filter((solvable) => !known.has(solvable))];
  for (const [i, solvable] of all.entries()) solvable.id = i + 1;
  return all;
}

/** Those that a newer version, or one of a better priority, stands beside; hidden ones count, for libsolv too. */
async function outdated(repositories: RpmRepository[], solvables: Solvable[]): Promise<Set<Solvable>> {
  const old = new Set<Solvable>();
  const byName = Map.groupBy(solvables, ({ name }) => name);
  for (const names of batches(byName.keys())) {
    for (const repository of repositories) {
      for (const { name, arch, version } of await repository.allVersions(names)) {
        for (const solvable of byName.get(name) ?? []) {
          const own = solvable.repository?.priority;
          if (own === undefined || solvable.arch !== arch) continue;
          if (
            repository.priority < own ||
            (repository.priority === own && compareEvr(version, solvable.version) > 0)
          )
            old.add(solvable);
        }
      }
    }
  }
  return old;
}

/**
 * What hosts have, as solvables. A build that a repository has too is known from there; of another
 * one its name is known, and it is taken to provide what the nearest older build of its name does.
 */
function hostPackages(
  loaded: Solvable[],
  installed: InstalledPackage[],
): { hosts: Solvable[]; models: Map<Solvable, Solvable[]> } {
  const models = new Map<Solvable, Solvable[]>();
  const byName = Map.groupBy(installed.length > 0 ? loaded : [], ({ name }) => name);
  const hosts = installed.map(({ name, arch, version }): Solvable => {
    const same = (byName.get(name) ?? []).filter((candidate) => candidate.arch === arch || arch === "");
    const [model] = same
      .filter((candidate) => compareEvr(candidate.version, version) <= 0)
      .sort((a, b) => compareEvr(b.version, a.version));
    // Repositories go on to offer it: that hosts could get it again counts where providers are chosen.
    const host: Solvable =
      model && compareEvr(model.version, version) === 0
        ? { ...model, repository: undefined }
        : { id: 0, repository: undefined, order: -1, row: 0, name, arch, version, data: { requires: [] } };
    if (model) models.set(model, [...(models.get(model) ?? []), host]);
    return host;
  });
  return { hosts, models };
}
