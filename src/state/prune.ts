import { lstat, readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { AirgapError, messageOf } from "../errors.ts";

/** A part of the cache: `content`, `packages`, … */
export interface CachePart {
  name: string;
  files: number;
  bytes: number;
}

export interface CacheListing {
  dir: string;
  parts: CachePart[];
  bytes: number;
}

export interface PruneResult {
  dir: string;
  /** What was removed. */
  files: number;
  bytes: number;
  /** What stays. */
  keptBytes: number;
}

interface CachedFile {
  path: string;
  part: string;
  bytes: number;
  /** When it was last read or written, as far as the file system notes that. Milliseconds since 1970. */
  usedAt: number;
}

/** Every file below the cache; links are not followed. */
async function filesIn(dir: string, part?: string): Promise<CachedFile[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new AirgapError("disk", `Cannot read the cache ${dir}: ${messageOf(error)}`, { cause: error });
  });
  const found = await Promise.all(
    entries.map(async (entry): Promise<CachedFile[]> => {
      const path = join(dir, entry.name);
      if (entry.isDirectory()) return filesIn(path, part ?? entry.name);
      const stat = await lstat(path).catch(() => undefined);
      if (stat === undefined) return [];
      const usedAt = Math.max(stat.atimeMs, stat.mtimeMs);
      return [{ path, part: part ?? "other", bytes: stat.size, usedAt }];
    }),
  );
  return found.flat();
}

const sum = (files: readonly CachedFile[]): number => files.reduce((bytes, file) => bytes + file.bytes, 0);

/** What is kept between builds, by part, the largest first. */
export async function listCache(dir: string): Promise<CacheListing> {
  const files = await filesIn(dir);
  const parts = [...Map.groupBy(files, ({ part }) => part)].map(([name, list]) => ({
    name,
    files: list.length,
    bytes: sum(list),
  }));
  return { dir, parts: parts.sort((a, b) => b.bytes - a.bytes), bytes: sum(files) };
}

/**
 * Removes what was not used for so many days. Nothing in the cache is needed: it is fetched again.
 * @param now milliseconds since 1970
 */
export async function pruneCache(dir: string, olderThanDays: number, now: number): Promise<PruneResult> {
  const files = await filesIn(dir);
  const limit = now - olderThanDays * 24 * 3600 * 1000;
  const old = files.filter(({ usedAt }) => usedAt <= limit);
  for (const { path } of old) await rm(path, { force: true });
  await removeEmpty(dir);
  return { dir, files: old.length, bytes: sum(old), keptBytes: sum(files) - sum(old) };
}

/** Folders without files, from the bottom up; the cache itself stays. */
async function removeEmpty(dir: string): Promise<void> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (!entry.isDirectory()) continue;
    await removeEmpty(join(dir, entry.name));
    await rmdir(join(dir, entry.name)).catch(() => {});
  }
}
