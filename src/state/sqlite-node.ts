import type { DatabaseSync } from "node:sqlite";
import type { Engine, OpenEngine, Value } from "./sqlite-engine.ts";

/** Works in the main thread. Each answer is a promise all the same, so that callers need not care. */
class BuiltIn implements Engine {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  async run(statement: string, values: Value[]): Promise<void> {
    this.#database.prepare(statement).run(...values);
  }

  async script(statements: string): Promise<void> {
    this.#database.exec(statements);
  }

  async all(statement: string, values: Value[]): Promise<unknown[]> {
    // Its rows have no prototype.
    return this.#database
      .prepare(statement)
      .all(...values)
      .map((row) => ({ ...row }));
  }

  async close(): Promise<void> {
    this.#database.close();
  }
}

/** The SQLite that is built into Node 22.13 and newer. */
export async function loadNode(): Promise<OpenEngine> {
  const { emitWarning } = process;
  // Node 22 and 24 call it experimental, on stderr, at every start.
  process.emitWarning = () => {};
  try {
    const sqlite = await import("node:sqlite");
    return async (file, mode) => new BuiltIn(new sqlite.DatabaseSync(file, { readOnly: mode === "read" }));
  } finally {
    process.emitWarning = emitWarning;
  }
}
