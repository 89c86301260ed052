import type { Entry } from "./layout.ts";
import { BLOCK, readHeader } from "./tar.ts";

const TYPES: Record<string, string> = {
  "1": "a hard link",
  "2": "a symbolic link",
  "3": "a device",
  "4": "a device",
  "5": "a directory",
  "6": "a pipe",
  S: "a sparse file",
  x: "an extended header",
  g: "a global header",
  L: "a GNU long name",
};

/** What is wrong with the header of an entry. */
export function describeHeader(bytes: Buffer, entry: Entry): string {
  const found = bytes.length >= BLOCK ? readHeader(bytes) : undefined;
  if (found === undefined) return `the tar header of ${entry.name} is damaged`;
  const type = TYPES[found.type];
  if (type !== undefined) return `${JSON.stringify(found.name)}, ${type}, is where ${entry.name} is expected`;
  if (found.name !== entry.name) return `${JSON.stringify(found.name)} is where ${entry.name} is expected`;
  if (found.size !== entry.size)
    return `${entry.name} claims ${found.size} bytes; its lock says ${entry.size}`;
  return `the tar header of ${entry.name} is not the one that airgap writes (owner, mode or time)`;
}
