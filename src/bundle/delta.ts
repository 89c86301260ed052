import { reference } from "../lock/carried-facts.ts";
import { LOCK_LIMITS, parseLimitedJson } from "../lock/json.ts";
import type { Lock, LockedBlob } from "../lock/lock.ts";
import { Cursor, corrupt, count, digest, listOf, object, oneOf } from "../lock/shape.ts";
import { canonicalBytes } from "../oci/canonical-json.ts";
import type { Digest } from "../oci/digest.ts";

export const DELTA_ARTIFACT_TYPE = "application/vnd.airgap.delta.v1";
export const DELTA_MEDIA_TYPE = "application/vnd.airgap.delta.v1+json";

/** What a delta bundle leaves out: the blobs of its lock that the other side has already. */
export interface Delta {
  apiVersion: "airgap/v1";
  kind: "Delta";
  /** The lock, or the receipt, that says what the other side has. */
  since: Digest;
  /** Blobs of the lock that are not in the delta, in the order of the lock. */
  blobs: LockedBlob[];
  /** Images that the other side had, by name: under them a registry may have the blobs. Sorted. */
  images: string[];
}

/** What somebody has already. */
export interface Holding {
  since: Digest;
  /** Sizes by digest. Bytes. */
  blobs: ReadonlyMap<Digest, number>;
  images: string[];
}

const delta = object<Delta>(
  {
    apiVersion: oneOf(["airgap/v1"]),
    kind: oneOf(["Delta"]),
    since: digest,
    blobs: listOf(object<LockedBlob>({ digest, size: count }, {}), LOCK_LIMITS.blobs),
    images: listOf(reference, LOCK_LIMITS.items),
  },
  {},
);

/** What a delta for somebody who has all this leaves out. */
export const deltaOf = (lock: Lock, { since, blobs, images }: Holding): Delta => ({
  apiVersion: "airgap/v1",
  kind: "Delta",
  since,
  blobs: lock.blobs.filter(({ digest: each, size }) => blobs.get(each) === size),
  images: images.toSorted(),
});

export const encodeDelta = (value: Delta): Buffer => canonicalBytes(value);

/**
 * Parses and checks the list of what a delta counts on: each entry is a blob of its lock, in the lock's order.
 * @throws AirgapError `corrupt`
 */
export function parseDelta(bytes: Uint8Array, lock: Lock, where: string): Delta {
  const what = `The list of what ${where} counts on`;
  const parsed = delta(parseLimitedJson(bytes, what), new Cursor(what));
  let at = 0;
  for (const each of parsed.blobs) {
    while (at < lock.blobs.length && lock.blobs[at]?.digest !== each.digest) at++;
    if (lock.blobs[at]?.size !== each.size)
      throw corrupt(`${what} names ${each.digest}, which is not a blob of its lock in that place`);
    at++;
  }
  return parsed;
}

/** Bytes of what a delta leaves out. */
export const bytesOf = (blobs: readonly LockedBlob[]): number =>
  blobs.reduce((sum, { size }) => sum + size, 0);
