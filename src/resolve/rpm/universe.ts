import type { PackageRow } from "../../state/package-index.ts";
import type { RpmData } from "./primary.ts";
import { namesIn, parseRange, parseRelation, type Relation, type Simple } from "./relation.ts";
import type { RpmRepository } from "./repository.ts";
import { compareEvr, EQUAL, type Op, rangesOverlap } from "./version.ts";

/** A package that may be chosen. Its `id` is its variable in the rules: repositories in order, then the order of their metadata. */
export interface Solvable {
  id: number;
  /** Absent for what hosts have installed. */
  repository: RpmRepository | undefined;
  row: number;
  name: string;
  arch: string;
  evr: string;
  data: RpmData;
}

interface Provide {
  solvable: Solvable;
  op: Op;
  version: string;
}

/** `name-[epoch:]version-release.arch` */
export const nevra = ({ name, evr, arch }: Pick<Solvable, "name" | "evr" | "arch">): string => `${name}-${evr}.${arch}`;

/** What was loaded of the repositories: everything that the request can reach. */
export class Universe {
  /** From 1. */
  readonly solvables: (Solvable | undefined)[];
  readonly #provides: Map<string, Provide[]>;
  readonly #byName = new Map<string, Solvable[]>();
  readonly #matches = new Map<string, number[]>();
  readonly #relations = new Map<string, Relation>();
  /** The best version of a name and architecture among all repositories, loaded or not. */
  readonly #best: Map<string, { priority: number; evr: string }>;

  constructor(solvables: Solvable[], provides: Map<string, Provide[]>, best: Map<string, { priority: number; evr: string }>) {
    this.solvables = [undefined, ...solvables];
    this.#provides = provides;
    this.#best = best;
    for (const solvable of solvables) {
      const same = this.#byName.get(solvable.name);
      if (same) same.push(solvable);
      else this.#byName.set(solvable.name, [solvable]);
    }
  }

  get size(): number {
    return this.solvables.length - 1;
  }

  get(id: number): Solvable {
    return this.solvables[id] as Solvable;
  }

  named(name: string): Solvable[] {
    return this.#byName.get(name) ?? [];
  }

  /** A relation read once. What is not RPM's is a name that nothing provides. */
  relation(text: string): Relation {
    let relation = this.#relations.get(text);
    if (relation === undefined) {
      try {
        relation = parseRelation(text);
      } catch {
        relation = { kind: "simple", name: text, op: 0, version: "" };
      }
      this.#relations.set(text, relation);
    }
    return relation;
  }

  /** Who provides a capability, by id. */
  providers({ name, op, version }: Simple): number[] {
    const key = op === 0 ? name : `${name} ${op} ${version}`;
    let found = this.#matches.get(key);
    if (found === undefined) {
      const ids = new Set<number>();
      for (const provide of this.#provides.get(name) ?? []) if (rangesOverlap(provide.op, provide.version, op, version)) ids.add(provide.solvable.id);
      found = [...ids].sort((a, b) => a - b);
      this.#matches.set(key, found);
    }
    return found;
  }

  /** Packages of that very name whose own version is in the range: what Obsoletes means. */
  namedInRange({ name, op, version }: Simple): Solvable[] {
    return this.named(name).filter(({ evr }) => rangesOverlap(EQUAL, evr, op, version));
  }

  /** Whether some repository has a newer version, or the same name with a better priority. */
  isOld(solvable: Solvable): boolean {
    if (solvable.repository === undefined) return false;
    const best = this.#best.get(`${solvable.name} ${solvable.arch}`);
    if (best === undefined) return false;
    if (best.priority !== solvable.repository.priority) return best.priority < solvable.repository.priority;
    return compareEvr(best.evr, solvable.evr) > 0;
  }
}

/** A package that hosts have: what `rpm -qa` says of it. */
export interface InstalledPackage {
  name: string;
  arch: string;
  evr: string;
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

const BATCH = 4000;
const STRONG = ["requires"] as const;
const WEAK = ["requires", "recommends"] as const;
/** Relations that bring nothing in, but speak of what is in. */
const SILENT = ["conflicts", "recommends", "suggests", "supplements", "enhances"] as const;

function* batches<T>(items: Iterable<T>): Generator<T[]> {
  let batch: T[] = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length === BATCH) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

class Loader {
  readonly #options: LoadOptions;
  /** Per repository: rows by their id. */
  readonly #rows: Map<number, Solvable>[];
  /** Per repository: what was asked of it, capability → (row id, range). */
  readonly #found: Map<string, [number, string][]>[];
  readonly #asked = new Set<string>();
  #next = new Set<string>();
  readonly #strings = new Map<string, string>();

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#rows = options.repositories.map(() => new Map());
    this.#found = options.repositories.map(() => new Map());
  }

  async load(): Promise<Universe> {
    const { names, capabilities, repositories, installed } = this.#options;
    await this.#takeNamed([...names, ...installed.map(({ name }) => name)]);
    for (const name of [...names, ...capabilities]) this.#want(name);
    while (this.#next.size > 0) {
      const wave = this.#next;
      this.#next = new Set();
      for (const batch of batches(wave)) await this.#takeProviders(batch, true);
      if (this.#options.recommends) await this.#takeSupplementers(wave);
    }
    await this.#askSilently();
    const best = await this.#bestVersions();
    const solvables = repositories.flatMap((_, i) => [...(this.#rows[i] as Map<number, Solvable>).values()].sort((a, b) => a.row - b.row));
    return this.#finish(solvables, best);
  }

  #want(name: string): void {
    if (!this.#asked.has(name)) {
      this.#asked.add(name);
      this.#next.add(name);
    }
  }

  async #takeNamed(names: string[]): Promise<void> {
    for (const [i, repository] of this.#options.repositories.entries()) {
      for (const batch of batches(names)) for (const row of await repository.named(batch)) this.#take(i, row);
    }
  }

  async #takeProviders(batch: string[], load: boolean): Promise<void> {
    for (const [i, repository] of this.#options.repositories.entries()) {
      const found = this.#found[i] as Map<string, [number, string][]>;
      const missing = new Set<number>();
      for (const { name, package: id, range } of await repository.providers(batch)) {
        const list = found.get(name);
        if (list) list.push([id, range]);
        else found.set(this.#shared(name), [[id, this.#shared(range)]]);
        if (!(this.#rows[i] as Map<number, Solvable>).has(id)) missing.add(id);
      }
      if (!load) continue;
      for (const ids of batches(missing)) for (const row of await repository.packages(ids)) this.#take(i, row);
    }
  }

  async #takeSupplementers(names: Iterable<string>): Promise<void> {
    for (const batch of batches(names))
      for (const [i, repository] of this.#options.repositories.entries()) for (const row of await repository.supplementers(batch)) this.#take(i, row);
  }

  #shared(text: string): string {
    const known = this.#strings.get(text);
    if (known !== undefined) return known;
    this.#strings.set(text, text);
    return text;
  }

  #take(i: number, row: PackageRow): void {
    const rows = this.#rows[i] as Map<number, Solvable>;
    if (rows.has(row.id) || !this.#options.arches.has(row.arch)) return;
    const data = JSON.parse(row.data) as RpmData;
    for (const kind of ["requires", "obsoletes", ...SILENT] as const) {
      const list = data[kind];
      if (list) data[kind] = list.map((text) => this.#shared(text));
    }
    const { name, arch, version } = row;
    rows.set(row.id, { id: 0, repository: this.#options.repositories[i], row: row.id, name: this.#shared(name), arch: this.#shared(arch), evr: version, data });
    for (const kind of this.#options.recommends ? WEAK : STRONG) for (const text of data[kind] ?? []) this.#wantRelation(text);
    for (const text of data.conflicts ?? []) if (text.startsWith("(")) this.#wantRelation(text);
  }

  #wantRelation(text: string): void {
    const names = text.startsWith("(") ? namesIn(text) : [text.split(" ", 1)[0] as string];
    for (const name of names) this.#want(name);
  }

  /** Conflicts and wishes need to know who among the loaded provides them, and load nobody. */
  async #askSilently(): Promise<void> {
    for (const rows of this.#rows) {
      for (const { data } of rows.values()) {
        for (const kind of SILENT) for (const text of data[kind] ?? []) this.#wantRelation(text);
      }
    }
    const wave = this.#next;
    this.#next = new Set();
    for (const batch of batches(wave)) await this.#takeProviders(batch, false);
  }

  async #bestVersions(): Promise<Map<string, { priority: number; evr: string }>> {
    const names = new Set(this.#rows.flatMap((rows) => [...rows.values()].map(({ name }) => name)));
    const best = new Map<string, { priority: number; evr: string }>();
    for (const repository of this.#options.repositories) {
      const { priority } = repository;
      for (const batch of batches(names)) {
        for (const { name, arch, version: evr } of await repository.versions(batch)) {
          const known = best.get(`${name} ${arch}`);
          const better = known === undefined || priority < known.priority || (priority === known.priority && compareEvr(evr, known.evr) > 0);
          if (better) best.set(`${name} ${arch}`, { priority, evr });
        }
      }
    }
    return best;
  }

  #finish(loaded: Solvable[], best: Map<string, { priority: number; evr: string }>): Universe {
    const { hosts, models } = hostPackages(loaded, this.#options.installed);
    const known = new Set(hosts);
    const solvables = [...hosts, ...loaded.filter((solvable) => !known.has(solvable))];
    solvables.forEach((solvable, i) => {
      solvable.id = i + 1;
    });
    const provides = new Map<string, Provide[]>();
    const add = (name: string, provide: Provide): void => {
      const list = provides.get(name);
      if (list) list.push(provide);
      else provides.set(name, [provide]);
    };
    for (const [i, found] of this.#found.entries()) {
      const rows = this.#rows[i] as Map<number, Solvable>;
      for (const [name, entries] of found) {
        for (const [row, range] of entries) {
          const solvable = rows.get(row);
          if (solvable === undefined) continue;
          const { op, version } = parseRange(range);
          add(name, { solvable, op, version });
          for (const host of models.get(solvable) ?? []) add(name, { solvable: host, op, version: version === solvable.evr ? host.evr : version });
        }
      }
    }
    for (const host of hosts) if (host.row === 0) add(host.name, { solvable: host, op: EQUAL, version: host.evr });
    const [first] = hosts;
    if (first) for (const text of this.#options.hostCapabilities) addText(text, first, add);
    return new Universe(solvables, provides, best);
  }
}

function addText(text: string, solvable: Solvable, add: (name: string, provide: Provide) => void): void {
  const relation = parseRelation(text);
  if (relation.kind === "simple") add(relation.name, { solvable, op: relation.op, version: relation.version });
}

/**
 * What hosts have, as solvables. A build that a repository has too is known from there; of another
 * one its name is known, and it is taken to provide what the nearest older build of its name does.
 */
function hostPackages(loaded: Solvable[], installed: InstalledPackage[]): { hosts: Solvable[]; models: Map<Solvable, Solvable[]> } {
  const models = new Map<Solvable, Solvable[]>();
  const byName = Map.groupBy(installed.length > 0 ? loaded : [], ({ name }) => name);
  const hosts = installed.map(({ name, arch, evr }): Solvable => {
    const same = (byName.get(name) ?? []).filter((candidate) => candidate.arch === arch || arch === "");
    const [model] = same.filter((candidate) => compareEvr(candidate.evr, evr) <= 0).sort((a, b) => compareEvr(b.evr, a.evr));
    if (model && compareEvr(model.evr, evr) === 0) {
      model.repository = undefined;
      return model;
    }
    const data: RpmData = { requires: [], provides: [], href: "", size: 0, checksum: { algorithm: "", value: "" } };
    const host: Solvable = { id: 0, repository: undefined, row: 0, name, arch, evr, data };
    if (model) models.set(model, [...(models.get(model) ?? []), host]);
    return host;
  });
  return { hosts, models };
}

/** Loads what the request can reach, by waves of capabilities. */
export function loadUniverse(options: LoadOptions): Promise<Universe> {
  return new Loader(options).load();
}
