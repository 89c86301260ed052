import type { PackageRow, ProvideRow, VersionRow } from "../../state/package-index.ts";
import { Provisions } from "./provisions.ts";

/** What a repository can be asked. Lists are looked up together. */
export interface Lookup {
  providers(names: string[]): Promise<ProvideRow[]>;
  packages(ids: number[]): Promise<PackageRow[]>;
  named(names: string[]): Promise<PackageRow[]>;
  /** The capabilities that packages are a supplement to, and the packages that are one to these. */
  supplemented(): Promise<string[]>;
  supplementers(names: string[]): Promise<PackageRow[]>;
  versions(names: string[]): Promise<VersionRow[]>;
}

/** How a format's packages name each other. */
export interface Vocabulary<Data> {
  /** Texts are repeated a thousandfold: `share` gives the one copy of each. */
  read(row: PackageRow, share: (text: string) => string): Data;
  /** Names whose providers a package may bring in. */
  wants(data: Data): Iterable<string>;
  /** Names that it only speaks of. */
  mentions(data: Data): Iterable<string>;
}

/** A package that may be chosen. */
export interface LoadedPackage<Data, Repository> {
  /** Its variable in the rules; 0 until it has one. */
  id: number;
  /** Absent for what hosts have installed. */
  repository: Repository | undefined;
  /** Place of the repository in the spec, and of the package in its metadata. */
  order: number;
  row: number;
  name: string;
  arch: string;
  version: string;
  data: Data;
}

export interface LoadRequest<Data, Repository> {
  repositories: Repository[];
  vocabulary: Vocabulary<Data>;
  arches: ReadonlySet<string>;
  names: Iterable<string>;
  capabilities: Iterable<string>;
  /** Capabilities of which it is to be known who of the loaded has them. */
  asides?: Iterable<string>;
  /** Also load what supplements the loaded. */
  supplements: boolean;
  /** Load every version of a name, so that the newest is known even where an older one was found. */
  allVersions: boolean;
}

const BATCH = 500;

export function* batches<T>(items: Iterable<T>): Generator<T[]> {
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

/**
 * Takes out of the indexes everything that a request can reach, in waves: who provides the names
 * known so far, what those want, and so on. Few large look-ups instead of one a package.
 */
export class Loader<Data, Repository extends Lookup> {
  readonly #request: LoadRequest<Data, Repository>;
  readonly #packages: Map<number, LoadedPackage<Data, Repository>>[];
  readonly #provisions = new Provisions<LoadedPackage<Data, Repository>>();
  #next = new Set<string>();
  /** By repository and package: which capabilities it has that some package is a supplement to. */
  readonly #supplemented: Map<number, string[]>[];
  /** Those of the loaded packages, and which of them are new. */
  readonly #capabilities = new Set<string>();
  #fresh: string[] = [];
  #strings = new Map<string, string>();

  constructor(request: LoadRequest<Data, Repository>) {
    this.#request = request;
    this.#packages = request.repositories.map(() => new Map());
    this.#supplemented = request.repositories.map(() => new Map());
  }

  async load(): Promise<void> {
    const { names, capabilities, repositories, supplements } = this.#request;
    if (supplements) await this.#findSupplemented();
    const asked = [...names];
    for (const [i, repository] of repositories.entries()) {
      for (const batch of batches(asked)) for (const row of await repository.named(batch)) this.#take(i, row);
    }
    for (const name of [...asked, ...capabilities]) this.#want(name);
    while (this.#next.size > 0) {
      const wave = this.#next;
      this.#next = new Set();
      for (const batch of batches(wave)) await this.#takeProviders(batch, true);
      if (supplements) await this.#takeSupplementers();
    }
    await this.#askSilently();
    this.#provisions.settle((repository, row) => this.#packages[repository]?.get(row));
    this.#strings = new Map();
  }

  /** The packages of a repository, in the order of its metadata. */
  packages(repository: number): LoadedPackage<Data, Repository>[] {
    return [...(this.#packages[repository] as Map<number, LoadedPackage<Data, Repository>>).values()].sort(
      (a, b) => a.row - b.row,
    );
  }

  /** Who provides a name, as far as anybody speaks of it. */
  readonly lookUp = (
    name: string,
    visit: (provider: LoadedPackage<Data, Repository>, range: string) => void,
  ): void => this.#provisions.of(name, visit);

  #want(name: string): void {
    if (this.#provisions.ask(name)) this.#next.add(name);
  }

  async #takeProviders(batch: string[], load: boolean): Promise<void> {
    for (const [i, repository] of this.#request.repositories.entries()) {
      const packages = this.#packages[i] as Map<number, LoadedPackage<Data, Repository>>;
      const missing = new Set<number>();
      for (const { name, package: row, range } of await repository.providers(batch)) {
        this.#provisions.add(name, i, row, this.#share(range));
        if (!packages.has(row)) missing.add(row);
      }
      if (!load) continue;
      for (const rows of batches(missing))
        for (const row of await repository.packages(rows)) this.#take(i, row);
    }
  }

  async #findSupplemented(): Promise<void> {
    const { repositories } = this.#request;
    const names = new Set<string>();
    for (const repository of repositories)
      for (const name of await repository.supplemented()) names.add(name);
    for (const batch of batches(names)) {
      for (const [i, repository] of repositories.entries()) {
        const own = this.#supplemented[i] as Map<number, string[]>;
        for (const { name, package: row } of await repository.providers(batch))
          own.set(row, [...(own.get(row) ?? []), name]);
      }
    }
  }

  /** Those of what was loaded since, and so on. */
  async #takeSupplementers(): Promise<void> {
    while (this.#fresh.length > 0) {
      const names = this.#fresh;
      this.#fresh = [];
      for (const batch of batches(names))
        for (const [i, repository] of this.#request.repositories.entries())
          for (const row of await repository.supplementers(batch)) this.#take(i, row);
    }
  }

  readonly #share = (text: string): string => {
    const known = this.#strings.get(text);
    if (known !== undefined) return known;
    this.#strings.set(text, text);
    return text;
  };

  #take(i: number, row: PackageRow): void {
    const packages = this.#packages[i] as Map<number, LoadedPackage<Data, Repository>>;
    if (packages.has(row.id) || !this.#request.arches.has(row.arch)) return;
    const data = this.#request.vocabulary.read(row, this.#share);
    const { id, name, arch, version } = row;
    packages.set(id, {
      id: 0,
      repository: this.#request.repositories[i],
      order: i,
      row: id,
      name: this.#share(name),
      arch: this.#share(arch),
      version,
      data,
    });
    if (this.#request.allVersions) this.#want(name);
    for (const capability of this.#supplemented[i]?.get(id) ?? []) {
      if (this.#capabilities.has(capability)) continue;
      this.#capabilities.add(capability);
      this.#fresh.push(capability);
    }
    for (const wanted of this.#request.vocabulary.wants(data)) this.#want(wanted);
  }

  /** Conflicts and the like need to know who among the loaded provides them, and load nobody. */
  async #askSilently(): Promise<void> {
    for (const name of this.#request.asides ?? []) this.#want(name);
    for (const packages of this.#packages)
      for (const { data } of packages.values())
        for (const name of this.#request.vocabulary.mentions(data)) this.#want(name);
    const wave = this.#next;
    this.#next = new Set();
    for (const batch of batches(wave)) await this.#takeProviders(batch, false);
  }
}
