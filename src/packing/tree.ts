import { createHash } from "node:crypto";
import { createReadStream, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";

/** A file, folder or symbolic link of a package. */
export interface Entry {
  /** Below the root, without a slash at its start: `usr/bin/airgap`. */
  path: string;
  kind: "file" | "folder" | "link";
  mode: number;
  /** Bytes of a file; of a link, its target's length. */
  size: number;
  /** Of a link. */
  target?: string;
  /** Of a file. */
  read?: () => Readable;
}

const bytewise = (a: Entry, b: Entry): number => (a.path < b.path ? -1 : 1);

export const fileEntry = (path: string, content: string | Buffer, mode = 0o644): Entry => {
  const bytes = Buffer.from(content);
  return { path, kind: "file", mode, size: bytes.length, read: () => Readable.from([bytes]) };
};

export const linkEntry = (path: string, target: string): Entry => ({
  path,
  kind: "link",
  mode: 0o777,
  size: Buffer.byteLength(target),
  target,
});

export const folderEntry = (path: string, mode = 0o755): Entry => ({ path, kind: "folder", mode, size: 0 });

/** A file of this machine under a name of its own; a symbolic link there is followed. */
export function copyEntry(path: string, from: string, size: number, mode: number): Entry {
  return { path, kind: "file", mode, size, read: () => createReadStream(from) };
}

/** Everything below `dir`, at `prefix`: modes 0755 and 0644, links kept. */
export function treeOf(dir: string, prefix: string): Entry[] {
  return readdirSync(dir).flatMap((name): Entry[] => {
    const from = join(dir, name);
    const path = `${prefix}/${name}`;
    const stat = lstatSync(from);
    if (stat.isSymbolicLink()) return [linkEntry(path, readlinkSync(from))];
    if (stat.isDirectory()) return [folderEntry(path), ...treeOf(from, path)];
    return [copyEntry(path, from, stat.size, stat.mode & 0o100 ? 0o755 : 0o644)];
  });
}

/** Sorted by path, with the folders above each entry. */
export function withParents(entries: readonly Entry[]): Entry[] {
  const all = new Map(entries.map((entry) => [entry.path, entry]));
  for (const { path } of entries)
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
      const folder = path.slice(0, at);
      if (!all.has(folder)) all.set(folder, folderEntry(folder));
    }
  return [...all.values()].sort(bytewise);
}

/** The hexadecimal digest of a file. */
export async function hashEntry(entry: Entry, algorithm: "md5" | "sha256"): Promise<string> {
  const hash = createHash(algorithm);
  for await (const chunk of entry.read?.() ?? []) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
