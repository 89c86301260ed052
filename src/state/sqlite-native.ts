import type { Database as SqliteDatabase } from "sqlite3";
import type { Engine, OpenEngine, Value } from "./sqlite-engine.ts";

interface Driver {
  Database: new (file: string, mode: number, done: (error: Error | null) => void) => SqliteDatabase;
  OPEN_READONLY: number;
  OPEN_READWRITE: number;
  OPEN_CREATE: number;
}

type Done = (cause: Error | null) => void;

class Native implements Engine {
  readonly #database: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  run(statement: string, values: Value[]): Promise<void> {
    return call((done) => this.#database.run(statement, values, done));
  }

  script(statements: string): Promise<void> {
    return call((done) => this.#database.exec(statements, done));
  }

  all(statement: string, values: Value[]): Promise<unknown[]> {
    return new Promise((resolve, reject) => {
      this.#database.all(statement, values, (cause: Error | null, rows: unknown[]) =>
        cause ? reject(cause) : resolve(rows),
      );
    });
  }

  close(): Promise<void> {
    return call((done) => this.#database.close(done));
  }
}

function call(action: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => action((cause) => (cause ? reject(cause) : resolve())));
}

/** The npm module sqlite3. Rejects where it is not installed or not compiled for this machine. */
export async function loadNative(): Promise<OpenEngine> {
  const { default: driver } = (await import("sqlite3")) as unknown as { default: Driver };
  const { Database, OPEN_READONLY, OPEN_READWRITE, OPEN_CREATE } = driver;
  return (file, mode) =>
    new Promise((resolve, reject) => {
      const flags = mode === "read" ? OPEN_READONLY : OPEN_READWRITE | OPEN_CREATE;
      const database = new Database(file, flags, (cause) =>
        cause ? reject(cause) : resolve(new Native(database)),
      );
    });
}
