import { AirgapError } from "../errors.ts";
import type { Item } from "../lock/lock.ts";
import type { Digest } from "../oci/digest.ts";
import { nearest } from "../schema/nearest.ts";
import { readLockUnless } from "./diff.ts";

export interface ListedItem {
  kind: Item["kind"];
  name: string;
  digest: Digest;
  origins: string[];
  wantedBy: string[];
}

export interface Listing {
  name: string;
  platforms: string[];
  items: ListedItem[];
  blobs: number;
  /** Bytes of all blobs. */
  size: number;
}

/** Contents of a bundle or lock; reads the first kilobytes only. */
export async function listBundle(path: string, signal?: AbortSignal): Promise<Listing> {
  const lock = await readLockUnless(signal, path);
  return {
    name: lock.name,
    platforms: lock.platforms,
    items: lock.items.map(({ kind, name, root, origins, wantedBy }) => ({
      kind,
      name,
      digest: root.digest,
      origins,
      wantedBy,
    })),
    blobs: lock.blobs.length,
    size: lock.blobs.reduce((sum, { size }) => sum + size, 0),
  };
}

/**
 * Who asked for an item: by its name, its short name or a digest.
 * @throws AirgapError `not-found` with the nearest name
 */
export function why(
  path: string,
  listing: Listing,
  item: string,
  canonical: string | undefined,
): ListedItem[] {
  const found = listing.items.filter(
    ({ name, digest }) =>
      name === item || name === canonical || digest === item || name.startsWith(`${canonical ?? item}:`),
  );
  if (found.length > 0) return found;
  const names = listing.items.map(({ name }) => name);
  const near = nearest(item, names) ?? nearest(canonical ?? item, names);
  throw new AirgapError("not-found", `The bundle has no item ${item}`, {
    suggestions: [near ? `airgap list ${path} --why ${near}` : `airgap list ${path}`],
  });
}
