import { readFileSync } from "node:fs";
import { AirgapError, messageOf } from "../errors.ts";
import type { Item, Lock } from "../lock/lock.ts";
import { parseLock } from "../lock/parse.ts";
import type { Digest } from "../oci/digest.ts";
import { BundleReader } from "./reader.ts";

export interface ItemChange {
  kind: Item["kind"];
  name: string;
  change: "added" | "removed" | "changed";
  from?: Digest;
  to?: Digest;
}

export interface LockDiff {
  changes: ItemChange[];
  /** Bytes of blobs that only the second has; what a delta would carry. */
  bytesAdded: number;
  bytesRemoved: number;
}

const keyOf = (item: Item): string => `${item.kind} ${item.name}`;

/** What changed from one lock to another, sorted by kind and name. */
export function diffLocks(from: Lock, to: Lock): LockDiff {
  const old = new Map(from.items.map((item) => [keyOf(item), item]));
  const changes: ItemChange[] = [];
  for (const item of to.items) {
    const previous = old.get(keyOf(item));
    old.delete(keyOf(item));
    const { kind, name } = item;
    if (previous === undefined) changes.push({ kind, name, change: "added", to: item.root.digest });
    else if (previous.root.digest !== item.root.digest)
      changes.push({ kind, name, change: "changed", from: previous.root.digest, to: item.root.digest });
  }
  for (const { kind, name, root } of old.values())
    changes.push({ kind, name, change: "removed", from: root.digest });
  changes.sort((a, b) => (`${a.kind} ${a.name}` < `${b.kind} ${b.name}` ? -1 : 1));
  return { changes, bytesAdded: bytesMissing(from, to), bytesRemoved: bytesMissing(to, from) };
}

/** Bytes of the blobs of `whole` that `base` does not have. */
function bytesMissing(base: Lock, whole: Lock): number {
  const have = new Set(base.blobs.map(({ digest }) => digest));
  return whole.blobs.reduce((sum, { digest, size }) => (have.has(digest) ? sum : sum + size), 0);
}

/** The lock of a bundle or of a lock file; reads the first kilobytes only. @throws AirgapError */
export function readLockOf(path: string): Lock {
  return path.endsWith(".json") ? readLockFile(path) : lockIn(BundleReader.open(path));
}

/** Like `readLockOf`, but handles a signal that arrives while it reads. */
export async function readLockUnless(signal: AbortSignal | undefined, path: string): Promise<Lock> {
  return path.endsWith(".json") ? readLockFile(path) : lockIn(await BundleReader.openUnless(signal, path));
}

function lockIn(bundle: BundleReader): Lock {
  bundle.close();
  return bundle.lock;
}

function readLockFile(path: string): Lock {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new AirgapError("disk", `Cannot read the lock ${path}: ${messageOf(cause)}`, { cause });
  }
  return parseLock(bytes, path);
}
