import { randomBytes } from "node:crypto";
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Beside a file, so that a rename is all that is needed; like no other process's, and no other turn's. */
export const draftOf = (path: string): string =>
  `${path}.${process.pid}-${randomBytes(4).toString("hex")}.part`;

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  await file.sync().finally(() => file.close());
}

export interface PublishOptions {
  /**
   * Wait until content and name are on the disk. Default true; false for what is checked whenever it
   * is read, so that a power cut costs no more than making it again.
   */
  durable?: boolean;
}

/** Gives a finished draft its name, in the place of what had it. */
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
 * @param write is given the path of the draft; when it fails, no draft stays
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

/** The same for a text at hand. @param mode whatever the umask */
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
