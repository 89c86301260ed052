import { AirgapError, messageOf } from "../errors.ts";
import type { Engine, OpenEngine, Value } from "./sqlite-engine.ts";
import { loadNative } from "./sqlite-native.ts";
import { loadNode } from "./sqlite-node.ts";

interface Loaded {
  name: "native" | "node";
  open: OpenEngine;
}

let engine: Promise<Loaded> | undefined;

/**
 * The native module where it is installed: it works in threads of its own. Elsewhere (`npm install
 * --ignore-scripts`, no compiler, another architecture) the SQLite that is built into Node. On first use, since
 * most commands, and everything that runs on the site's hosts, need neither.
 * @throws AirgapError `environment`
 */
function load(): Promise<Loaded> {
  const named =
    (name: Loaded["name"]) =>
    (open: OpenEngine): Loaded => ({ name, open });
  engine ??= loadNative().then(named("native"), (native: unknown) =>
    loadNode().then(named("node"), (cause: unknown) => {
      engine = undefined;
      throw new AirgapError(
        "environment",
        `This command needs SQLite, and neither the module sqlite3 (${messageOf(native)}) nor Node's own (${messageOf(cause)}) works here`,
        { cause, suggestions: ["npm rebuild sqlite3 --build-from-source", "use Node 22.19 or newer"] },
      );
    }),
  );
  return engine;
}

/** Which SQLite works here. @throws AirgapError `environment` when none does */
export const engineInUse = async (): Promise<Loaded["name"]> => (await load()).name;

/** One SQLite file, with promises. Values are parameters, never part of a statement's text. */
export class Sqlite {
  readonly file: string;
  readonly #engine: Engine;

  private constructor(file: string, open: Engine) {
    this.file = file;
    this.#engine = open;
  }

  /** @throws AirgapError `environment` without SQLite, `disk` when the file cannot be opened */
  static async open(file: string, mode: "read" | "create"): Promise<Sqlite> {
    const { open } = await load();
    try {
      return new Sqlite(file, await open(file, mode));
    } catch (cause) {
      throw new AirgapError("disk", `Cannot open ${file}`, { cause });
    }
  }

  run(statement: string, ...values: Value[]): Promise<void> {
    return this.#told(this.#engine.run(statement, values));
  }

  script(statements: string): Promise<void> {
    return this.#told(this.#engine.script(statements));
  }

  async all<Row>(statement: string, ...values: Value[]): Promise<Row[]> {
    return (await this.#told(this.#engine.all(statement, values))) as Row[];
  }

  close(): Promise<void> {
    return this.#told(this.#engine.close());
  }

  async #told<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (cause) {
      const damaged = isDamage(cause as Error & { code?: string; errcode?: number });
      throw new AirgapError(damaged ? "corrupt" : "disk", `${this.file}: ${(cause as Error).message}`, {
        cause,
      });
    }
  }
}

/** SQLITE_CORRUPT and SQLITE_NOTADB, by name or by number. https://sqlite.org/rescode.html */
const isDamage = ({ code, errcode }: { code?: string; errcode?: number }): boolean =>
  code === "SQLITE_CORRUPT" ||
  code === "SQLITE_NOTADB" ||
  (errcode !== undefined && [11, 26].includes(errcode & 0xff));
