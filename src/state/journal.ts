import { Sqlite } from "./sqlite.ts";

/** What a run knew of a host: enough to reach it after it is gone from the cluster file. */
export interface KnownHost {
  name: string;
  /** JSON of the cluster file's entry, without secrets. */
  settings: string;
  /** JSON of the facts from before anything was changed. */
  facts: string;
}

export interface JournalStep {
  run: number;
  host: string;
  step: string;
  state: string;
  ms: number;
}

const TABLES = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS run (id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, command TEXT NOT NULL, outcome TEXT, log TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS step (run INTEGER NOT NULL, host TEXT NOT NULL, step TEXT NOT NULL, state TEXT NOT NULL, ms INTEGER NOT NULL, at TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS host (name TEXT PRIMARY KEY, settings TEXT NOT NULL, facts TEXT NOT NULL) WITHOUT ROWID;`;

/** What runs did, on which hosts. The present state is always read from the hosts themselves. */
export class Journal {
  readonly #database: Sqlite;
  #run = 0;
  #pending: Promise<void> = Promise.resolve();

  private constructor(database: Sqlite) {
    this.#database = database;
  }

  /** @throws AirgapError `environment` without SQLite, `disk`, `corrupt` */
  static async open(file: string): Promise<Journal> {
    const database = await Sqlite.open(file, "create");
    try {
      await database.script(TABLES);
    } catch (error) {
      await database.close();
      throw error;
    }
    return new Journal(database);
  }

  async begin(command: string, log: string): Promise<void> {
    await this.#database.run(
      "INSERT INTO run (started, command, log) VALUES (?, ?, ?)",
      new Date().toISOString(),
      command,
      log,
    );
    const [row] = await this.#database.all<{ id: number }>("SELECT max(id) AS id FROM run");
    this.#run = row?.id ?? 0;
  }

  async end(outcome: string): Promise<void> {
    await this.#pending;
    await this.#database.run(
      "UPDATE run SET ended = ?, outcome = ? WHERE id = ?",
      new Date().toISOString(),
      outcome,
      this.#run,
    );
  }

  /** Records a step, in the order of the calls, without waiting. */
  step(host: string, step: string, state: string, ms: number): void {
    const values = [this.#run, host, step, state, Math.round(ms), new Date().toISOString()];
    this.#pending = this.#pending.then(() =>
      this.#database.run("INSERT INTO step VALUES (?, ?, ?, ?, ?, ?)", ...values),
    );
    // `end` reports the error.
    this.#pending.catch(() => {});
  }

  /** Records a host; its facts stay those of the first run. */
  async remember({ name, settings, facts }: KnownHost): Promise<void> {
    await this.#database.run(
      "INSERT INTO host VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET settings = excluded.settings",
      name,
      settings,
      facts,
    );
  }

  async forget(name: string): Promise<void> {
    await this.#database.run("DELETE FROM host WHERE name = ?", name);
  }

  hosts(): Promise<KnownHost[]> {
    return this.#database.all("SELECT name, settings, facts FROM host ORDER BY name");
  }

  /** Steps of the last runs, newest first. */
  steps(limit: number): Promise<JournalStep[]> {
    return this.#database.all(
      "SELECT run, host, step, state, ms FROM step ORDER BY rowid DESC LIMIT ?",
      limit,
    );
  }

  async close(): Promise<void> {
    await this.#pending.catch(() => {});
    await this.#database.close();
  }
}
