import { randomBytes } from "node:crypto";
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** A path beside a file, so that a rename is enough; unique for each process and each call. */
export const draftOf = (path: string): string =>
  `${path}.${process.pid}-${randomBytes(4).toString("hex")}.part`;

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  await file.sync().finally(() => file.close());
}

export interface PublishOptions {
  /**
   * Wait until content and name are on the disk. Default true; false for files that are checked whenever
   * they are read: after a power cut they are only made again.
   */
  durable?: boolean;
}

/** Gives a finished draft its name; replaces a file of that name. */
export async function publish(
  draft: string,
  path: string,
  { durable = true }: PublishOptions = {},
): Promise<void> {
  if (durable) await sync(draft);
  await rename(draft, path);
  if (durable) await sync(dirname(path));
}

/**
 * Writes a file whole or not at all.
 * @param write is given the path of the draft; when it fails, the draft is removed
 */
export async function replaceFile(
  path: string,
  write: (draft: string) => Promise<unknown>,
  options?: PublishOptions,
): Promise<void> {
  const draft = draftOf(path);
  try {
    await write(draft);
    await publish(draft, path, options);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

export function syncFolder(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The same for a text in memory. @param mode set regardless of the umask */
export function replaceFileSync(path: string, text: string, mode = 0o644): void {
  const draft = draftOf(path);
  try {
    const fd = openSync(draft, "wx", mode);
    try {
      fchmodSync(fd, mode);
      writeFileSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(draft, path);
    syncFolder(dirname(path));
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}
