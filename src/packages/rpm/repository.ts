import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../../atomic.ts";
import { AirgapError } from "../../errors.ts";
import type { Http } from "../../http.ts";
import {
  PackageIndex,
  type PackageRow,
  type ProvideRow,
  type VersionRow,
} from "../../state/package-index.ts";
import { decompress } from "../decompress.ts";
import { below, checkedContent, placesBelow } from "../locations.ts";
import { dateOf } from "../metadata-dates.ts";
import { fromMirrors } from "../mirrors.ts";
import { findOwners, isPrimaryPath } from "./filelists.ts";
import { type HiddenBy, type ModuleDocuments, readModules } from "./modulemd.ts";
import { type RpmData, type RpmDetail, readPrimary } from "./primary.ts";
import { newestOf, type RepomdData } from "./repomd.ts";

const MAX_UNPACKED = 8 * 2 ** 30;

export interface RpmRepositoryOptions {
  id: string;
  /** As the spec names it: whatever mirror answers, it is the same repository. */
  place: string;
  priority: number;
  /** Where the repository is, in the order to try. */
  bases: string[];
  /** Digest of repomd.xml: what the index is made for. */
  revision: string;
  metadata: Map<string, RepomdData>;
  moduleHotfixes: boolean;
  http: Http;
  /** Folder of the index files. */
  indexDir: string;
  signal?: AbortSignal | undefined;
}

/** An opened rpm-md repository: its packages through the index, its other metadata on demand. */
export class RpmRepository {
  readonly id: string;
  readonly priority: number;
  /** For the lock: what its date is kept under. */
  readonly dated: string;
  readonly date: string | undefined;
  readonly http: Http;
  readonly bases: string[];
  /** Paths that some repository of the set requires and primary.xml does not list. */
  wantedPaths: ReadonlySet<string> = new Set();
  /** Rows that modules keep from being seen. */
  hidden: ReadonlyMap<number, HiddenBy> = new Map();
  /** Its packages are seen whatever modules say. */
  readonly moduleHotfixes: boolean;
  readonly #options: RpmRepositoryOptions;
  readonly #index: PackageIndex;
  readonly #file: string;
  #owners: Promise<Map<string, number[]>> | undefined;

  private constructor(options: RpmRepositoryOptions, index: PackageIndex, file: string) {
    this.id = options.id;
    this.priority = options.priority;
    this.dated = options.id;
    this.date = dateOf(newestOf(options.metadata));
    this.http = options.http;
    this.bases = options.bases;
    this.moduleHotfixes = options.moduleHotfixes;
    this.#options = options;
    this.#index = index;
    this.#file = file;
  }

  static async open(options: RpmRepositoryOptions): Promise<RpmRepository> {
    const key = createHash("sha256").update(options.place).digest("hex").slice(0, 16);
    const file = join(options.indexDir, `rpm-${options.id}-${key}.sqlite`);
    const index = await PackageIndex.open(file, options.revision, async (writer) => {
      const paths = new Set<string>();
      const what = `primary.xml of ${options.id}`;
      await readPrimary(open(options, "primary"), what, (entry) => {
        for (const text of (entry.data as RpmData).requires)
          if (text.startsWith("/") && !isPrimaryPath(text)) paths.add(text);
        return writer.add(entry);
      });
      await writer.note("paths", [...paths]);
      if (options.metadata.has("modules"))
        await writer.note(
          "modules",
          await readModules(open(options, "modules"), `modules.yaml of ${options.id}`),
        );
    });
    return new RpmRepository(options, index, file);
  }

  /** Paths that its packages require and only filelists.xml knows the owners of. */
  async requiredPaths(): Promise<string[]> {
    return ((await this.#index.value("paths")) as string[] | undefined) ?? [];
  }

  /** What its modules.yaml says, if it has one. */
  async modules(): Promise<ModuleDocuments | undefined> {
    if (!this.has("modules")) return undefined;
    return (
      ((await this.#index.value("modules")) as ModuleDocuments | undefined) ??
      this.read("modules", (chunks) => readModules(chunks, `modules.yaml of ${this.id}`))
    );
  }

  /** What modules hide of packages that are called so or provide that. */
  async hiddenOf(name: string): Promise<VersionRow[]> {
    if (this.hidden.size === 0) return [];
    const ids = (await this.#index.providers([name])).map((row) => row.package);
    return (await this.#index.packages(ids)).filter(({ id }) => this.hidden.has(id));
  }

  has(type: string): boolean {
    return this.#options.metadata.has(type);
  }

  /** Hands over the unpacked content of one of the metadata files, checked; again, from the next mirror, where that goes wrong. */
  read<T>(type: string, work: (chunks: AsyncIterable<Buffer>) => Promise<T>): Promise<T> {
    return fromMirrors(
      this.bases,
      (base) => work(open({ ...this.#options, bases: [base] }, type)),
      this.#options.signal,
    );
  }

  /** Where a package is, at every mirror. */
  places({ href, base }: RpmDetail): string[] {
    if (base === undefined) return placesBelow(this.bases, href, `repository ${this.id}`);
    const remote = /^https?:\/\//i.test(base);
    const local = !/^https?:/i.test(this.bases[0] ?? "");
    if (!remote && !local)
      throw new AirgapError(
        "corrupt",
        `Repository ${this.id} names ${JSON.stringify(base)} as the base of a package, which is not on the network`,
      );
    return placesBelow([base], href, `repository ${this.id}`);
  }

  async providers(names: string[]): Promise<ProvideRow[]> {
    const rows = this.#visible(await this.#index.providers(names), (row) => row.package);
    const paths = names.filter((name) => name.startsWith("/") && !isPrimaryPath(name));
    if (paths.length === 0 || !this.has("filelists")) return rows;
    const owners = await this.#pathOwners(paths);
    const further = paths.flatMap((path) =>
      (owners.get(path) ?? []).map((id): ProvideRow => ({ name: path, package: id, range: "" })),
    );
    return [...rows, ...this.#visible(further, (row) => row.package)];
  }

  async packages(ids: number[]): Promise<PackageRow[]> {
    return this.#visible(await this.#index.packages(ids), (row) => row.id);
  }

  async details(ids: number[]): Promise<Map<number, RpmDetail>> {
    return new Map(
      (await this.#index.details(ids)).map(({ id, detail }) => [id, JSON.parse(detail) as RpmDetail]),
    );
  }

  async named(names: string[]): Promise<PackageRow[]> {
    return this.#visible(await this.#index.named(names), (row) => row.id);
  }

  async versions(names: string[]): Promise<VersionRow[]> {
    return this.#visible(await this.#index.versions(names), (row) => row.id);
  }

  /** With those that are hidden. */
  allVersions(names: string[]): Promise<VersionRow[]> {
    return this.#index.versions(names);
  }

  async obsoleters(names: string[]): Promise<PackageRow[]> {
    return this.#visible(await this.#index.obsoleters(names), (row) => row.id);
  }

  supplemented(): Promise<string[]> {
    return this.#index.supplemented();
  }

  async supplementers(names: string[]): Promise<PackageRow[]> {
    return this.#visible(await this.#index.supplementers(names), (row) => row.id);
  }

  globbed(pattern: string): Promise<string[]> {
    return this.#index.globbed(pattern);
  }

  capabilities(pattern: string): Promise<string[]> {
    return this.#index.capabilities(pattern);
  }

  close(): Promise<void> {
    return this.#index.close();
  }

  #visible<Row>(rows: Row[], id: (row: Row) => number): Row[] {
    return this.hidden.size === 0 ? rows : rows.filter((row) => !this.hidden.has(id(row)));
  }

  /** Owners of paths, kept beside the index, since finding them means reading all of filelists.xml. */
  async #pathOwners(paths: string[]): Promise<Map<string, number[]>> {
    this.#owners ??= this.#savedOwners();
    let known = await this.#owners;
    if (paths.some((path) => !known.has(path))) {
      this.#owners = this.#scan(new Set([...known.keys(), ...paths, ...this.wantedPaths]));
      known = await this.#owners;
    }
    return known;
  }

  async #savedOwners(): Promise<Map<string, number[]>> {
    try {
      const saved = JSON.parse(await readFile(`${this.#file}.paths`, "utf8")) as {
        revision: string;
        owners: [string, number[]][];
      };
      return saved.revision === this.#options.revision ? new Map(saved.owners) : new Map();
    } catch {
      return new Map();
    }
  }

  async #scan(paths: Set<string>): Promise<Map<string, number[]>> {
    const found = new Map<string, number[]>([...paths].map((path) => [path, []]));
    const owners = await this.read("filelists", (chunks) =>
      findOwners(chunks, `filelists.xml of ${this.id}`, paths),
    );
    const rows = await this.#index.versions(owners.map(({ name }) => name));
    const details = await this.details(rows.map((row) => row.id));
    const byChecksum = new Map([...details].map(([id, { checksum }]) => [checksum.value, id]));
    for (const { pkgid, path } of owners) {
      const id = byChecksum.get(pkgid);
      if (id !== undefined) found.get(path)?.push(id);
    }
    const text = JSON.stringify({ revision: this.#options.revision, owners: [...found] });
    await replaceFile(`${this.#file}.paths`, (draft) => writeFile(draft, text), { durable: false });
    return found;
  }
}

/** One of the metadata files, unpacked and checked against repomd.xml while it is read. */
async function* open(options: RpmRepositoryOptions, type: string): AsyncGenerator<Buffer> {
  const data = options.metadata.get(type);
  if (data === undefined)
    throw new AirgapError("protocol", `Repository ${options.id} has no ${type} metadata`);
  const place = below(options.bases[0] as string, data.href, `repomd.xml of ${options.id}`);
  const expected = { checksums: data.checksum ? [data.checksum] : [], size: data.size };
  const content = checkedContent(options.http, place, expected, options.signal);
  yield* decompress(content, `${type} of repository ${options.id}`, data.openSize ?? MAX_UNPACKED);
}
