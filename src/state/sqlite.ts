import type { Database as SqliteDatabase } from "sqlite3";
import { AirgapError, messageOf } from "../errors.ts";

type Value = string | number | null | Uint8Array;

interface Driver {
  Database: new (file: string, mode: number, done: (error: Error | null) => void) => SqliteDatabase;
  OPEN_READONLY: number;
  OPEN_READWRITE: number;
  OPEN_CREATE: number;
}

let driver: Promise<Driver> | undefined;

/**
 * The native module, loaded on first use: most commands, and everything that runs on the site's
 * hosts, do not need it.
 * @throws AirgapError `environment`
 */
function load(): Promise<Driver> {
  driver ??= import("sqlite3").then(
    (module) => module.default as unknown as Driver,
    (cause: unknown) => {
      driver = undefined;
      throw new AirgapError(
        "environment",
        `Working out packages needs the native module sqlite3, which did not load: ${messageOf(cause)}`,
        {
          cause,
          suggestions: ["npm install sqlite3", "npm rebuild sqlite3 --build-from-source"],
        },
      );
    },
  );
  return driver;
}

/** One SQLite file, with promises. Values are parameters, never part of a statement's text. */
export class Sqlite {
  readonly file: string;
  readonly #database: SqliteDatabase;

  private constructor(file: string, database: SqliteDatabase) {
    this.file = file;
    this.#database = database;
  }

  /** @throws AirgapError `environment` without the module, `disk` when the file cannot be opened */
  static async open(file: string, mode: "read" | "create"): Promise<Sqlite> {
    const { Database, OPEN_READONLY, OPEN_READWRITE, OPEN_CREATE } = await load();
    return new Promise((resolve, reject) => {
      const database = new Database(
        file,
        mode === "read" ? OPEN_READONLY : OPEN_READWRITE | OPEN_CREATE,
        (cause) => {
          if (cause) reject(new AirgapError("disk", `Cannot open ${file}`, { cause }));
          else resolve(new Sqlite(file, database));
        },
      );
    });
  }

  run(statement: string, ...values: Value[]): Promise<void> {
    return this.#call((done) => this.#database.run(statement, values, done));
  }

  script(statements: string): Promise<void> {
    return this.#call((done) => this.#database.exec(statements, done));
  }

  all<Row>(statement: string, ...values: Value[]): Promise<Row[]> {
    return new Promise((resolve, reject) => {
      this.#database.all(statement, values, (cause: Error | null, rows: unknown[]) => {
        if (cause) reject(this.#failed(cause));
        else resolve(rows as Row[]);
      });
    });
  }

  close(): Promise<void> {
    return this.#call((done) => this.#database.close(done));
  }

  #call(action: (done: (error: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) =>
      action((cause) => (cause ? reject(this.#failed(cause)) : resolve())),
    );
  }

  #failed(cause: Error & { code?: string }): AirgapError {
    const damaged = cause.code === "SQLITE_CORRUPT" || cause.code === "SQLITE_NOTADB";
    return new AirgapError(damaged ? "corrupt" : "disk", `${this.file}: ${cause.message}`, { cause });
  }
}
