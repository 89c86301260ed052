import { stat } from "node:fs/promises";
import type { Digest } from "../../src/oci/digest.ts";
import { childrenOf, type Index, type Manifest } from "../../src/oci/manifest.ts";
import { isManifestLike } from "../../src/oci/media-types.ts";
import { ifThere } from "./durable.ts";

/** What a collection removed. */
export interface Collected {
  manifests: number;
  /** Blobs that left the disk, and their bytes. */
  blobs: number;
  bytes: number;
}

export interface CollectOptions {
  /** Manifests too that no tag leads to. Default: only blobs that no manifest names. */
  untagged?: boolean | undefined;
  /** Milliseconds: what is younger may belong to a push that is under way. */
  grace?: number | undefined;
  now?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** A day, as unfinished uploads have. */
export const GRACE = 24 * 3600 * 1000;

/** A manifest of one repository, as far as a collection needs it. */
export interface Known {
  digest: Digest;
  content: Manifest | Index | undefined;
  subject: Digest | undefined;
}

/**
 * The manifests of a repository that something leads to: tags, indexes, and what they are attached to. What is
 * attached to something that the store does not have stays: a bundle that is served beside it may have it.
 */
export function reached(
  manifests: readonly Known[],
  tagged: ReadonlySet<Digest>,
  untagged: boolean,
): ReadonlySet<Digest> {
  const known = new Map(manifests.map((each) => [each.digest, each]));
  const alive = new Set<Digest>();
  const todo: Digest[] = manifests
    .filter(({ digest, subject }) => tagged.has(digest) || (!untagged && subject === undefined))
    .map(({ digest }) => digest);
  for (const { digest, subject } of manifests) if (subject && !known.has(subject)) todo.push(digest);
  const attached = Map.groupBy(manifests, ({ subject }) => subject);
  for (let digest = todo.pop(); digest !== undefined; digest = todo.pop()) {
    const each = known.get(digest);
    if (each === undefined || alive.has(digest)) continue;
    alive.add(digest);
    for (const child of each.content ? childrenOf(each.content) : [])
      if (isManifestLike(child.mediaType)) todo.push(child.digest);
    for (const referrer of attached.get(digest) ?? []) todo.push(referrer.digest);
  }
  return alive;
}

/** The blobs that manifests name. */
export const namedBy = (manifests: readonly Known[]): ReadonlySet<Digest> =>
  new Set(
    manifests.flatMap(({ content }) => (content ? childrenOf(content).map(({ digest }) => digest) : [])),
  );

/** Whether a file has not been touched for so long. What is gone is not old. */
export async function isOld(
  path: string,
  { grace = GRACE, now = Date.now() }: CollectOptions,
): Promise<boolean> {
  const found = await ifThere(stat(path));
  return found !== undefined && now - found.mtimeMs >= grace;
}
