import { createHash, type Hash } from "node:crypto";
import { AirgapError } from "../errors.ts";

/**
 * `algorithm:hex`, sha256 or sha512, lower case.
 * https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md#digests
 */
export type Digest = `${"sha256" | "sha512"}:${string}`;

const PATTERN = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function isDigest(text: unknown): text is Digest {
  return typeof text === "string" && PATTERN.test(text);
}

/** @throws AirgapError `protocol` when `text` is not a digest; `where` names what was read. */
export function parseDigest(text: unknown, where = "digest"): Digest {
  if (isDigest(text)) return text;
  throw new AirgapError("protocol", `${where}: ${JSON.stringify(text)} is not a sha256 or sha512 digest`);
}

export function algorithmOf(digest: Digest): "sha256" | "sha512" {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}

export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

export function digestOf(bytes: Uint8Array | string, algorithm: "sha256" | "sha512" = "sha256"): Digest {
  return finish(createHash(algorithm).update(bytes), algorithm);
}

export function hasher(digest: Digest): Hash {
  return createHash(algorithmOf(digest));
}

export function finish(hash: Hash, algorithm: "sha256" | "sha512" = "sha256"): Digest {
  return `${algorithm}:${hash.digest("hex")}`;
}

/** @throws AirgapError `corrupt` when the bytes do not have the digest. */
export function checkDigest(bytes: Uint8Array, digest: Digest, what: string): void {
  const found = digestOf(bytes, algorithmOf(digest));
  if (found === digest) return;
  throw new AirgapError(
    "corrupt",
    `${what} does not match its digest: expected ${digest}, found ${found} (${bytes.length} bytes)`,
  );
}
