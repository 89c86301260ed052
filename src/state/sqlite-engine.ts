/** A value of a column, or of a parameter. */
export type Value = string | number | null | Uint8Array;

/** What both engines of SQLite can do with a file that is open. */
export interface Engine {
  run(statement: string, values: Value[]): Promise<void>;
  script(statements: string): Promise<void>;
  all(statement: string, values: Value[]): Promise<unknown[]>;
  close(): Promise<void>;
}

/** Opens or makes a file. */
export type OpenEngine = (file: string, mode: "read" | "create") => Promise<Engine>;
