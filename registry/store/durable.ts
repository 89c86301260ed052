import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Waits until names made, changed or removed in a directory are on the disk. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Makes a directory with its parents so that it survives a power cut. */
export async function makeDirectory(path: string): Promise<void> {
  const topmost = await mkdir(path, { recursive: true });
  if (topmost === undefined) return;
  for (let made = path; ; made = dirname(made)) {
    await syncDirectory(dirname(made));
    if (made === topmost) return;
  }
}

/** Writes a temporary file and flushes it. @returns its path, for a rename */
export async function writeDraft(content: string | Buffer, temporary: string): Promise<string> {
  const path = join(temporary, randomUUID());
  const file = await open(path, "wx", 0o644);
  try {
    await file.writeFile(content);
    await file.datasync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  return path;
}

/** Writes a small file whole or not at all. Its directory must be there. */
export async function writeWhole(path: string, text: string, temporary: string): Promise<void> {
  await rename(await writeDraft(text, temporary), path);
}

const isAbsent = (error: unknown): boolean =>
  ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");

/** The answer of `ask`, or undefined when the file or directory is not there. */
export async function ifThere<T>(ask: Promise<T>): Promise<T | undefined> {
  try {
    return await ask;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

export const namesIn = async (path: string): Promise<string[]> => (await ifThere(readdir(path))) ?? [];
export const textOf = (path: string): Promise<string | undefined> => ifThere(readFile(path, "utf8"));

/** @returns whether there was something to remove */
export async function removeFile(path: string): Promise<boolean> {
  return (await ifThere(rm(path).then(() => true))) ?? false;
}
