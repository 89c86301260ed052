import type { Emit } from "../../events.ts";
import { run } from "../../host/process.ts";
import { Http } from "../../http.ts";
import { Registries } from "../../transport/registry/registries.ts";
import type { LoadOptions } from "./load.ts";
import { readText } from "./read.ts";

/** Options of every command that reads paths. */
export interface PathOptions {
  paths: string[];
  /** Values files for charts; later files override earlier ones. */
  values: string[];
  /** `key.path=value` for charts. */
  set: string[];
  emit: Emit;
  signal?: AbortSignal | undefined;
}

export type Outside = Pick<LoadOptions, "values" | "set" | "strict" | "reach" | "note"> & {
  registries: Registries;
};

/** Calls `use` with what it takes to load paths, then closes all connections. */
export async function withOutside<Result>(
  { values, set, emit, signal }: PathOptions,
  use: (outside: Outside) => Promise<Result>,
): Promise<Result> {
  const http = new Http({ emit, retries: 1 });
  const registries = Registries.forUser(run, { emit });
  try {
    return await use({
      values: await Promise.all(values.map(async (file) => ({ file, text: await readText(file) }))),
      set,
      strict: false,
      reach: {
        baseDir: process.cwd(),
        http: () => http,
        registry: (host, repository) => registries.source(host, repository),
        emit,
        signal,
      },
      note: (message) => emit({ type: "note", message }),
      registries,
    });
  } finally {
    await registries.close();
    await http.close();
  }
}
