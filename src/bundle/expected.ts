import { AirgapError } from "../errors.ts";
import type { Lock } from "../lock/lock.ts";
import { algorithmOf, type Digest, digestOf, isDigest } from "../oci/digest.ts";
import { diffLocks, readLockOf } from "./diff.ts";
import { encodeLock } from "./layout.ts";
import type { BundleReader } from "./reader.ts";

/** The lock that a bundle must have: of a file, or by its digest. */
export interface ExpectedLock {
  /** For messages: `site.lock.json`, `--lock-digest`. */
  what: string;
  digest: Digest;
  /** Absent when only the digest is known. */
  lock?: Lock;
}

/** @throws AirgapError `check-failed` */
export function checkExpected({ path, lock, layout }: BundleReader, expected: ExpectedLock): void {
  if (layout.lockDigest === expected.digest) return;
  const changes = expected.lock ? diffLocks(expected.lock, lock).changes : [];
  const what = changes
    .slice(0, 5)
    .map(({ kind, name, change }) => `${kind} ${name} ${change}`)
    .join(", ");
  throw new AirgapError(
    "check-failed",
    `${path} is not the bundle of ${expected.what}: its lock is ${layout.lockDigest}, not ${expected.digest}${what ? ` (${what}${changes.length > 5 ? ` and ${changes.length - 5} more` : ""})` : ""}`,
    {
      suggestions: ["copy the bundle of that lock, or name the lock that was built last"],
      data: { lockDigest: layout.lockDigest, expected: expected.digest, changes },
    },
  );
}

/**
 * The locks that flags name.
 * @throws AirgapError `usage` when a digest is not one, `corrupt` when a lock cannot be read
 */
export function expectedLocks(named: {
  file?: string | undefined;
  digest?: string | undefined;
}): ExpectedLock[] {
  const { file, digest } = named;
  if (digest !== undefined && !(isDigest(digest) && algorithmOf(digest) === "sha256"))
    throw new AirgapError("usage", `'${digest}' is not a digest of a lock`, {
      suggestions: ["write it as build printed it: sha256: and 64 digits of hexadecimal"],
    });
  const lock = file === undefined ? undefined : readLockOf(file);
  return [
    ...(file !== undefined && lock ? [{ what: file, lock, digest: digestOf(encodeLock(lock)) }] : []),
    ...(digest === undefined ? [] : [{ what: "--lock-digest", digest: digest as Digest }]),
  ];
}
