import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat, unlink, utimes } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { eventually, say } from "./shell.ts";

const LONG_UNUSED = 2 * 24 * 3600 * 1000;

/** Where compiled programs, base systems and packages are kept between runs. */
export const cacheFolder =
  process.env["AIRGAP_RIG_CACHE"] ??
  join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "airgap-rig");

const alive = (pid: number): boolean => existsSync(`/proc/${pid}`);

/** Holds a lock file for the time of `work`; one whose owner is gone is taken over. */
async function locked<T>(file: string, seconds: number, work: () => Promise<T>): Promise<T> {
  await eventually(`the lock ${file}`, seconds, async () => {
    const handle = await open(file, "wx").catch(() => undefined);
    if (handle !== undefined) {
      await handle.writeFile(String(process.pid));
      await handle.close();
      return true;
    }
    const owner = Number((await readFile(file, "utf8").catch(() => "")) || 0);
    const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: Date.now() }));
    // An empty file is one that its maker is about to fill.
    if (owner === 0 ? Date.now() - mtimeMs > 10_000 : !alive(owner)) await unlink(file).catch(() => {});
    return undefined;
  });
  try {
    return await work();
  } finally {
    await unlink(file).catch(() => {});
  }
}

/** Removes what nobody used for a while of other recipes of this name, and what an ended process left half made. */
async function prune(name: string, keep: string, unusedMs: number): Promise<void> {
  for (const entry of await readdir(cacheFolder)) {
    if (
      !entry.startsWith(`${name}-`) ||
      entry === keep ||
      entry.slice(name.length + 1).replace(/^([0-9a-f]{12}).*/, "$1").length !== 12
    )
      continue;
    const path = join(cacheFolder, entry);
    const half = /\.making\.(\d+)$/.exec(entry);
    const old = Date.now() - (await stat(path)).mtimeMs > unusedMs;
    if (half ? !alive(Number(half[1])) : old) await rm(path, { recursive: true, force: true });
  }
}

const entryOf = (name: string, recipe: unknown): string =>
  `${name}-${createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 12)}`;

/** Whether the cache has what this recipe makes. */
export const isCached = (name: string, recipe: unknown): boolean =>
  existsSync(join(cacheFolder, entryOf(name, recipe)));

/**
 * A folder of the cache that is made once for each `recipe` (anything that JSON can hold). `make` fills an
 * empty folder, which takes its place only when it is complete.
 * @param keptMs how long others of this name are kept that nobody uses any more
 * @returns its path
 */
export async function cached(
  name: string,
  recipe: unknown,
  make: (folder: string) => Promise<void>,
  keptMs = LONG_UNUSED,
): Promise<string> {
  await mkdir(cacheFolder, { recursive: true });
  const entry = entryOf(name, recipe);
  const path = join(cacheFolder, entry);
  const used = async (): Promise<string> => {
    await utimes(path, new Date(), new Date());
    return path;
  };
  if (existsSync(path)) return used();
  return locked(`${path}.lock`, 3600, async () => {
    if (existsSync(path)) return used();
    const started = Date.now();
    say(`${name}: not in the cache, making it …`);
    const making = `${path}.making.${process.pid}`;
    await rm(making, { recursive: true, force: true });
    await mkdir(making, { recursive: true });
    try {
      await make(making);
      await rename(making, path);
    } finally {
      await rm(making, { recursive: true, force: true });
    }
    say(`${name}: made in ${Math.round((Date.now() - started) / 1000)} s`);
    await prune(name, entry, keptMs);
    return path;
  });
}
