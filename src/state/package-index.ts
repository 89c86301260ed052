import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { replaceFile } from "../atomic.ts";
import { AirgapError, isAirgapError } from "../errors.ts";
import { Sqlite } from "./sqlite.ts";

/** Raised when the tables or their content change, so that older files are rebuilt. */
const SCHEMA = "3";
/** Bytes of JSON sent to SQLite at once. */
const BATCH = 128 << 10;

/** A package in the index. `id` is its position in the repository's metadata, from 1. */
export interface VersionRow {
  id: number;
  name: string;
  arch: string;
  /** In the format's own form: `[epoch:]version-release`, or Debian's. */
  version: string;
}

export interface PackageRow extends VersionRow {
  /** JSON in the format's own form: what a solver needs of every package. */
  data: string;
}

/** The rest, for chosen packages: location, size, checksum. JSON too. */
export interface DetailRow {
  id: number;
  detail: string;
}

export interface ProvideRow {
  name: string;
  package: number;
  /** `= 1.0-1`, or empty: any version. */
  range: string;
}

/** The data of one package for the index. */
export interface IndexEntry {
  name: string;
  arch: string;
  version: string;
  data: unknown;
  detail: unknown;
  /** Capability, range. */
  provides: [string, string][];
  /** Names that it obsoletes or replaces. */
  obsoletes: string[];
  /** Names in its Supplements: packages that pull it in. */
  supplements: string[];
}

/** Takes entries in the order of the metadata; `note` keeps a value that is read back by `value`. */
export interface IndexWriter {
  add(entry: IndexEntry): Promise<void>;
  note(key: string, value: unknown): Promise<void>;
}

const TABLES = `
  PRAGMA journal_mode = OFF;
  PRAGMA synchronous = OFF;
  CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE package (id INTEGER PRIMARY KEY, name TEXT NOT NULL, arch TEXT NOT NULL, version TEXT NOT NULL, data TEXT NOT NULL, detail TEXT NOT NULL);
  CREATE TABLE provide (name TEXT NOT NULL, package INTEGER NOT NULL, range TEXT NOT NULL);
  CREATE TABLE obsolete (name TEXT NOT NULL, package INTEGER NOT NULL);
  CREATE TABLE supplement (name TEXT NOT NULL, package INTEGER NOT NULL);
  BEGIN;`;

const INDEXES = `
  CREATE INDEX package_name ON package (name);
  CREATE INDEX provide_name ON provide (name, package, range);
  CREATE INDEX obsolete_name ON obsolete (name, package);
  CREATE INDEX supplement_name ON supplement (name, package);
  COMMIT;`;

const PACKAGES = "SELECT p.id, p.name, p.arch, p.version, p.data FROM";
const WANTED = "(SELECT DISTINCT value FROM json_each(?)) w";

/**
 * The packages of one repository in one SQLite file, for look-ups by name and capability in bulk.
 * A file holds the metadata with digest `revision`. It is written under another name and renamed when
 * it is complete, so a run can be killed at any time and several runs can read it.
 */
export class PackageIndex {
  readonly #database: Sqlite;

  private constructor(database: Sqlite) {
    this.#database = database;
  }

  /**
   * Opens the index in `file`, or makes it with `build` if it does not have this revision.
   * @param revision digest of the metadata behind the index
   */
  static async open(
    file: string,
    revision: string,
    build: (writer: IndexWriter) => Promise<void>,
  ): Promise<PackageIndex> {
    const present = await PackageIndex.#present(file, revision);
    if (present) return present;
    await mkdir(dirname(file), { recursive: true });
    await replaceFile(file, async (partial) => {
      const database = await Sqlite.open(partial, "create");
      try {
        await database.script(TABLES);
        const writer = new Writer(database);
        await build(writer);
        await writer.note("schema", SCHEMA);
        await writer.note("revision", revision);
        await writer.flush();
        await database.script(INDEXES);
      } finally {
        await database.close();
      }
    });
    const made = await PackageIndex.#present(file, revision);
    if (made) return made;
    throw new AirgapError("disk", `Another run replaced the package index ${file} during this run`, {
      suggestions: ["run the same command again"],
    });
  }

  static async #present(file: string, revision: string): Promise<PackageIndex | undefined> {
    let database: Sqlite | undefined;
    try {
      database = await Sqlite.open(file, "read");
      const index = new PackageIndex(database);
      if ((await index.value("schema")) === SCHEMA && (await index.value("revision")) === revision)
        return index;
    } catch (error) {
      if (!isAirgapError(error, "disk", "corrupt")) throw error;
    }
    await database?.close();
    return undefined;
  }

  /** A value that `note` stored. */
  async value(key: string): Promise<unknown> {
    const [row] = await this.#database.all<{ value: string }>("SELECT value FROM note WHERE key = ?", key);
    return row === undefined ? undefined : JSON.parse(row.value);
  }

  /** The packages that provide these capabilities, by capability and then in the order of the metadata. */
  providers(names: Iterable<string>): Promise<ProvideRow[]> {
    return this.#database.all(
      `SELECT p.name, p.package, p.range FROM ${WANTED} CROSS JOIN provide p ON p.name = w.value ORDER BY p.name, p.package`,
      JSON.stringify([...names]),
    );
  }

  packages(ids: Iterable<number>): Promise<PackageRow[]> {
    return this.#database.all(
      `${PACKAGES} ${WANTED} CROSS JOIN package p ON p.id = w.value ORDER BY p.id`,
      JSON.stringify([...ids]),
    );
  }

  details(ids: Iterable<number>): Promise<DetailRow[]> {
    return this.#database.all(
      `SELECT p.id, p.detail FROM ${WANTED} CROSS JOIN package p ON p.id = w.value`,
      JSON.stringify([...ids]),
    );
  }

  named(names: Iterable<string>): Promise<PackageRow[]> {
    return this.#database.all(
      `${PACKAGES} ${WANTED} CROSS JOIN package p ON p.name = w.value ORDER BY p.id`,
      JSON.stringify([...names]),
    );
  }

  /** All versions of these packages. */
  versions(names: Iterable<string>): Promise<VersionRow[]> {
    return this.#database.all(
      `SELECT p.id, p.name, p.arch, p.version FROM ${WANTED} CROSS JOIN package p ON p.name = w.value ORDER BY p.id`,
      JSON.stringify([...names]),
    );
  }

  /** Names that match a shell pattern. */
  async globbed(pattern: string): Promise<string[]> {
    const rows = await this.#database.all<{ name: string }>(
      "SELECT DISTINCT name FROM package WHERE name GLOB ? ORDER BY name",
      pattern,
    );
    return rows.map((row) => row.name);
  }

  /** Capabilities that match a shell pattern. */
  async capabilities(pattern: string): Promise<string[]> {
    const rows = await this.#database.all<{ name: string }>(
      "SELECT DISTINCT name FROM provide WHERE name GLOB ? ORDER BY name",
      pattern,
    );
    return rows.map((row) => row.name);
  }

  /** Packages that obsolete one of these names. */
  obsoleters(names: Iterable<string>): Promise<PackageRow[]> {
    return this.#related("obsolete", names);
  }

  /** Capabilities that some package names in its Supplements. */
  async supplemented(): Promise<string[]> {
    const rows = await this.#database.all<{ name: string }>("SELECT DISTINCT name FROM supplement");
    return rows.map((row) => row.name);
  }

  /** Packages that name one of these capabilities in their Supplements. */
  supplementers(names: Iterable<string>): Promise<PackageRow[]> {
    return this.#related("supplement", names);
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  #related(table: "obsolete" | "supplement", names: Iterable<string>): Promise<PackageRow[]> {
    return this.#database.all(
      `${PACKAGES} package p WHERE p.id IN (SELECT r.package FROM ${WANTED} CROSS JOIN ${table} r ON r.name = w.value) ORDER BY p.id`,
      JSON.stringify([...names]),
    );
  }
}

/**
 * Rows of a table on their way to SQLite. They become JSON at once, outside of the heap: objects that
 * wait for a full batch would outlive the young generation and be collected late.
 */
class Rows {
  readonly #insert: string;
  #text = Buffer.allocUnsafeSlow(BATCH);
  /** Bytes of the text. */
  size = 0;

  constructor(table: string, columns: number) {
    const fields = Array.from({ length: columns }, (_, i) => `value ->> ${i}`).join(", ");
    this.#insert = `INSERT INTO ${table} SELECT ${fields} FROM json_each(CAST(? AS TEXT))`;
  }

  add(...row: (string | number)[]): void {
    const text = JSON.stringify(row);
    const most = this.size + 3 * text.length + 2;
    if (most > this.#text.length) this.#text = Buffer.concat([this.#text.subarray(0, this.size)], 2 * most);
    this.size += this.#text.write(this.size === 0 ? "[" : ",", this.size);
    this.size += this.#text.write(text, this.size);
  }

  async flush(database: Sqlite): Promise<void> {
    if (this.size === 0) return;
    const end = this.size + this.#text.write("]", this.size);
    this.size = 0;
    await database.run(this.#insert, this.#text.subarray(0, end));
  }
}

/** Sends rows to SQLite in batches: one call per row costs more than its insertion. */
class Writer implements IndexWriter {
  readonly #database: Sqlite;
  readonly #packages = new Rows("package", 6);
  readonly #provides = new Rows("provide", 3);
  readonly #obsoletes = new Rows("obsolete", 2);
  readonly #supplements = new Rows("supplement", 2);
  #id = 0;

  constructor(database: Sqlite) {
    this.#database = database;
  }

  async add({
    name,
    arch,
    version,
    data,
    detail,
    provides,
    obsoletes,
    supplements,
  }: IndexEntry): Promise<void> {
    const id = ++this.#id;
    this.#packages.add(id, name, arch, version, JSON.stringify(data), JSON.stringify(detail));
    for (const [capability, range] of provides) this.#provides.add(capability, id, range);
    for (const obsolete of obsoletes) this.#obsoletes.add(obsolete, id);
    for (const capability of supplements) this.#supplements.add(capability, id);
    for (const rows of this.#tables()) if (rows.size >= BATCH) await rows.flush(this.#database);
  }

  note(key: string, value: unknown): Promise<void> {
    return this.#database.run("INSERT OR REPLACE INTO note VALUES (?, ?)", key, JSON.stringify(value));
  }

  async flush(): Promise<void> {
    for (const rows of this.#tables()) await rows.flush(this.#database);
  }

  #tables(): Rows[] {
    return [this.#packages, this.#provides, this.#obsoletes, this.#supplements];
  }
}
