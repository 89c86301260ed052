import { readFileSync } from "node:fs";
import { AirgapError, Exit, messageOf } from "../errors.ts";
import { type Item, itemsOf, type Lock } from "../lock/lock.ts";
import { parseLock } from "../lock/parse.ts";
import type { Digest } from "../oci/digest.ts";
import { encodeLock } from "./layout.ts";
import { BundleReader, type Opening } from "./reader.ts";

export interface ItemChange {
  kind: Item["kind"];
  name: string;
  change: "added" | "removed" | "changed";
  from?: Digest;
  to?: Digest;
}

/** A package of a set that changed; several versions of one name are one entry each. */
export interface PackageChange {
  set: string;
  name: string;
  arch: string;
  /** Versions. */
  from?: string;
  to?: string;
}

export interface LockDiff {
  changes: ItemChange[];
  packages: PackageChange[];
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
  return {
    changes,
    packages: packageChanges(from, to),
    bytesAdded: bytesMissing(from, to),
    bytesRemoved: bytesMissing(to, from),
  };
}

type Versions = Map<string, { set: string; name: string; arch: string; versions: string[] }>;

function versionsIn(lock: Lock): Versions {
  const found: Versions = new Map();
  for (const { name: set, facts } of itemsOf(lock, "packages"))
    for (const { name, arch, version } of facts.packages) {
      const key = `${set} ${name} ${arch}`;
      const entry = found.get(key) ?? { set, name, arch, versions: [] };
      entry.versions.push(version);
      found.set(key, entry);
    }
  return found;
}

/** Packages that were added, removed, or have another version; sorted by set and name. */
function packageChanges(from: Lock, to: Lock): PackageChange[] {
  const [old, now] = [versionsIn(from), versionsIn(to)];
  return [...new Set([...old.keys(), ...now.keys()])].sort().flatMap((key) => {
    const entry = now.get(key) ?? old.get(key);
    if (entry === undefined) return [];
    const { set, name, arch } = entry;
    const before = old.get(key)?.versions ?? [];
    const after = now.get(key)?.versions ?? [];
    const gone = before.filter((version) => !after.includes(version));
    const come = after.filter((version) => !before.includes(version));
    return Array.from({ length: Math.max(gone.length, come.length) }, (_, i) => ({
      ...{ set, name, arch },
      ...(gone[i] === undefined ? {} : { from: gone[i] }),
      ...(come[i] === undefined ? {} : { to: come[i] }),
    }));
  });
}

/** What a delta would carry for somebody who has all this: the items that are not there whole are not known. */
export const diffHolding = (blobs: ReadonlyMap<Digest, number>, to: Lock): LockDiff => ({
  changes: [],
  packages: [],
  bytesAdded: to.blobs.reduce((sum, { digest, size }) => (blobs.has(digest) ? sum : sum + size), 0),
  bytesRemoved: 0,
});

/** Bytes of the blobs of `whole` that `base` does not have. */
function bytesMissing(base: Lock, whole: Lock): number {
  const have = new Set(base.blobs.map(({ digest }) => digest));
  return whole.blobs.reduce((sum, { digest, size }) => (have.has(digest) ? sum : sum + size), 0);
}

/**
 * The lock of a bundle or of a lock file; of a bundle it reads the first kilobytes only. A lock's own signatures lie
 * beside it, and are over its canonical form.
 * @throws AirgapError
 */
export function readLockOf(path: string, opening: Opening = {}): Lock {
  return path.endsWith(".json") ? readLockFile(path, opening) : lockIn(BundleReader.open(path, opening));
}

/** Like `readLockOf`, but handles a signal that arrives while it reads. */
export async function readLockUnless(
  signal: AbortSignal | undefined,
  path: string,
  opening: Opening = {},
): Promise<Lock> {
  return path.endsWith(".json")
    ? readLockFile(path, opening)
    : lockIn(await BundleReader.openUnless(signal, path, opening));
}

function lockIn(bundle: BundleReader): Lock {
  bundle.close();
  return bundle.lock;
}

function readLockFile(path: string, { trust }: Opening): Lock {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    const exit = (cause as NodeJS.ErrnoException).code === "ENOENT" ? Exit.usage : Exit.failed;
    throw new AirgapError("disk", `Cannot read the lock ${path}: ${messageOf(cause)}`, { cause, exit });
  }
  const lock = parseLock(bytes, path);
  if (trust) trust.settle(trust.examine(path, encodeLock(lock)), lock.name);
  return lock;
}
