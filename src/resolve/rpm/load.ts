import type { PackageRow } from "../../state/package-index.ts";
import { batches, Loader, type Vocabulary } from "../packages/loader.ts";
import type { RpmData } from "./primary.ts";
import { namesIn, parseRange, parseRelation } from "./relation.ts";
import type { RpmRepository } from "./repository.ts";
import { type Best, type Provide, type Solvable, Universe } from "./universe.ts";
import { compareEvr, EQUAL } from "./version.ts";

/** A package that hosts have: what `rpm -qa` says of it. */
export interface InstalledPackage {
  name: string;
  arch: string;
  version: string;
}

export interface LoadOptions {
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

const names = (text: string): string[] => (text.startsWith("(") ? namesIn(text) : [text.split(" ", 1)[0] as string]);

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
export async function loadUniverse(options: LoadOptions): Promise<Universe> {
  const { repositories, arches, capabilities, recommends, installed } = options;
  const wanted = [...options.names, ...installed.map(({ name }) => name)];
  const loader = new Loader({ repositories, vocabulary: vocabulary(recommends), arches, names: wanted, capabilities, supplements: recommends });
  await loader.load();
  const loaded = repositories.flatMap((_, i) => loader.packages(i));
  const { hosts, models } = hostPackages(loaded, installed);
  const all = number(hosts, loaded);
  const provides = new Map<string, Provide[]>();
  const add = (name: string, provide: Provide): void => {
    const list = provides.get(name);
    if (list) list.push(provide);
    else provides.set(name, [provide]);
  };
  for (const i of repositories.keys()) {
    for (const { name, package: solvable, range } of loader.provides(i)) {
      const { op, version } = parseRange(range);
      add(name, { solvable, op, version });
      for (const host of models.get(solvable) ?? []) add(name, { solvable: host, op, version: version === solvable.version ? host.version : version });
    }
  }
  for (const host of hosts) if (host.row === 0) add(host.name, { solvable: host, op: EQUAL, version: host.version });
  addHostCapabilities(hosts, options.hostCapabilities, add);
  return new Universe(all, provides, await bestVersions(repositories, all));
}

/** Ids in libsolv's order: what is installed, then the repositories as given, each in the order of its metadata. */
function number(hosts: Solvable[], loaded: Solvable[]): Solvable[] {
  const known = new Set(hosts);
  const all = [...hosts, ...loaded.filter((solvable) => !known.has(solvable))];
  for (const [i, solvable] of all.entries()) solvable.id = i + 1;
  return all;
}

function addHostCapabilities(hosts: Solvable[], texts: string[], add: (name: string, provide: Provide) => void): void {
  const [solvable] = hosts;
  if (solvable === undefined) return;
  for (const text of texts) {
    const relation = parseRelation(text);
    if (relation.kind === "simple") add(relation.name, { solvable, op: relation.op, version: relation.version });
  }
}

async function bestVersions(repositories: RpmRepository[], solvables: Solvable[]): Promise<Map<string, Best>> {
  const wanted = new Set(solvables.map(({ name }) => name));
  const best = new Map<string, Best>();
  for (const repository of repositories) {
    const { priority } = repository;
    for (const batch of batches(wanted)) {
      for (const { name, arch, version } of await repository.versions(batch)) {
        const known = best.get(`${name} ${arch}`);
        const better = known === undefined || priority < known.priority || (priority === known.priority && compareEvr(version, known.version) > 0);
        if (better) best.set(`${name} ${arch}`, { priority, version });
      }
    }
  }
  return best;
}

/**
 * What hosts have, as solvables. A build that a repository has too is known from there; of another
 * one its name is known, and it is taken to provide what the nearest older build of its name does.
 */
function hostPackages(loaded: Solvable[], installed: InstalledPackage[]): { hosts: Solvable[]; models: Map<Solvable, Solvable[]> } {
  const models = new Map<Solvable, Solvable[]>();
  const byName = Map.groupBy(installed.length > 0 ? loaded : [], ({ name }) => name);
  const hosts = installed.map(({ name, arch, version }): Solvable => {
    const same = (byName.get(name) ?? []).filter((candidate) => candidate.arch === arch || arch === "");
    const [model] = same.filter((candidate) => compareEvr(candidate.version, version) <= 0).sort((a, b) => compareEvr(b.version, a.version));
    if (model && compareEvr(model.version, version) === 0) {
      model.repository = undefined;
      return model;
    }
    const data: RpmData = { requires: [], provides: [], href: "", size: 0, checksum: { algorithm: "", value: "" } };
    const host: Solvable = { id: 0, repository: undefined, order: -1, row: 0, name, arch, version, data };
    if (model) models.set(model, [...(models.get(model) ?? []), host]);
    return host;
  });
  return { hosts, models };
}
