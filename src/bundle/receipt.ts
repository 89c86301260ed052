import { replaceFileSync } from "../atomic.ts";
import { AirgapError, messageOf } from "../errors.ts";
import { reference } from "../lock/carried-facts.ts";
import { LOCK_LIMITS, readLimitedJson } from "../lock/json.ts";
import type { LockedBlob } from "../lock/lock.ts";
import { Cursor, count, digest, line, listOf, object, oneOf } from "../lock/shape.ts";
import { canonicalBytes, canonicalJson } from "../oci/canonical-json.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import type { Holding } from "./delta.ts";
import { readLockUnless } from "./diff.ts";
import { encodeLock } from "./layout.ts";
import type { Opening } from "./reader.ts";

/** What a registry or a set of bundles holds, to be carried out to where deltas are built. */
export interface Receipt {
  apiVersion: "airgap/v1";
  kind: "Receipt";
  /** What was asked: `bundle site sha256:…`, `registry harbor.site`. */
  from: string[];
  /** Sorted by digest. */
  blobs: LockedBlob[];
  /** Names of images, as bundles call them. Sorted. */
  images: string[];
}

const receipt = object<Receipt>(
  {
    apiVersion: oneOf(["airgap/v1"]),
    kind: oneOf(["Receipt"]),
    from: listOf(line, 1000),
    blobs: listOf(object<LockedBlob>({ digest, size: count }, {}), LOCK_LIMITS.blobs),
    images: listOf(reference, LOCK_LIMITS.items),
  },
  {},
);

/** What is signed of a receipt, and what its digest is of. */
export const encodeReceipt = (value: Receipt): Buffer => canonicalBytes(value);

/** Puts in order what was found. */
export function makeReceipt(from: string[], blobs: Iterable<LockedBlob>, images: Iterable<string>): Receipt {
  const sizes = new Map([...blobs].map(({ digest: each, size }) => [each, size]));
  return {
    apiVersion: "airgap/v1",
    kind: "Receipt",
    from: [...from].toSorted(),
    blobs: [...sizes]
      .map(([each, size]) => ({ digest: each, size }))
      .toSorted((a, b) => (a.digest < b.digest ? -1 : 1)),
    images: [...new Set(images)].toSorted(),
  };
}

/** The file is indented, so that people can read what they carry out. @throws AirgapError `disk` */
export function writeReceipt(path: string, value: Receipt): void {
  try {
    replaceFileSync(path, `${JSON.stringify(JSON.parse(canonicalJson(value)), undefined, 1)}\n`);
  } catch (cause) {
    throw new AirgapError("disk", `Cannot write the receipt ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** A receipt in a file; undefined when the file is another kind of JSON. @throws AirgapError `corrupt`, `disk` */
export function readReceipt(path: string): Receipt | undefined {
  const value = readLimitedJson(path);
  return value["kind"] === "Receipt" ? receipt(value, new Cursor(`The receipt ${path}`)) : undefined;
}

/**
 * What the owner of a lock, a bundle or a receipt has.
 * @throws AirgapError
 */
export async function readHolding(
  path: string,
  opening: Opening = {},
  signal?: AbortSignal,
): Promise<Holding> {
  const found = path.endsWith(".json") ? readReceipt(path) : undefined;
  if (found) {
    const content = encodeReceipt(found);
    const { trust } = opening;
    // Nobody's policy names receipts; a bad signature is refused, and an absent one where a flag asks.
    if (trust) trust.examine(path, content);
    return holding(digestOf(content), found.blobs, found.images);
  }
  const lock = await readLockUnless(signal, path, opening);
  const images = lock.items.filter(({ kind }) => kind === "image").map(({ name }) => name);
  return holding(digestOf(encodeLock(lock)), lock.blobs, images);
}

const holding = (since: Digest, blobs: LockedBlob[], images: string[]): Holding => ({
  since,
  blobs: new Map(blobs.map(({ digest: each, size }) => [each, size])),
  images,
});
