import { chmod, cp, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** A package as both packagings know it. */
export interface Package {
  name: string;
  /** `[epoch:]version-release`, as both write it. */
  version: string;
  summary: string;
  arch: "amd64" | "all";
  /** Capabilities as this packaging writes them. */
  requires: string[];
  provides?: string[];
  /** A folder with the files as they land. */
  tree: string;
  /** Paths of configuration that an upgrade must leave alone. */
  config?: string[];
  /** Empty folders that belong to the package. */
  folders?: string[];
  /** A shell script that runs after the files are in place. */
  after?: string;
}

/** Where the files come from: a path is copied, a text is written. */
export type Files = Record<string, { from: string; mode?: number } | { text: string; mode?: number }>;

/** Lays files into a folder. */
export async function layFiles(folder: string, files: Files): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (const [path, file] of Object.entries(files)) {
    const target = join(folder, path);
    await mkdir(dirname(target), { recursive: true });
    if ("from" in file) await cp(file.from, target);
    else await writeFile(target, file.text);

    await chmod(target, file.mode ?? ("from" in file ? 0o755 : 0o644));
  }
  return folder;
}
