import { AirgapError, Exit } from "../errors.ts";
import type { PublicKey } from "./key.ts";

/** https://github.com/sigstore/protobuf-specs, bundle.proto: both spellings of version 0.3 are in use. */
export const BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const OTHER_SPELLING = "application/vnd.dev.sigstore.bundle+json;version=0.3";

/** Bytes. Those with a transparency log's proofs have some ten thousand. */
export const MAX_SIGNATURE_FILE = 1024 * 1024;

/** A Sigstore bundle as JSON. Nothing of it is proven. */
export interface OpenedBundle {
  value: unknown;
  /** base64 of the SHA-256 of the key's SPKI; absent when the signer did not say it. */
  hint: string | undefined;
  /** @throws AirgapError `check-failed` */
  bad(why: string): never;
}

/** The text of a Sigstore bundle with a key's hint and no log entry, as cosign writes it. */
export const encodeBundle = ({ hint }: PublicKey, content: Record<string, unknown>): string =>
  `${JSON.stringify({
    mediaType: BUNDLE_TYPE,
    verificationMaterial: { publicKey: { hint }, tlogEntries: [], timestampVerificationData: {} },
    ...content,
  })}\n`;

/**
 * @param what names the file in messages
 * @throws AirgapError `check-failed` when it is not a Sigstore bundle of version 0.3
 */
export function openBundle(bytes: Uint8Array, what: string): OpenedBundle {
  const bad = (why: string): never => {
    throw new AirgapError("check-failed", `${what} is not a signature that airgap can check: ${why}`, {
      exit: Exit.check,
      suggestions: ["copy it again from where it was made, or remove the file"],
    });
  };
  if (bytes.length > MAX_SIGNATURE_FILE) return bad(`it has more than ${MAX_SIGNATURE_FILE} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return bad("it is not JSON");
  }
  const mediaType = at(value, "mediaType");
  if (mediaType !== BUNDLE_TYPE && mediaType !== OTHER_SPELLING)
    return bad("it is not a Sigstore bundle of version 0.3");
  const hint = at(value, "verificationMaterial", "publicKey", "hint");
  return { value, hint: typeof hint === "string" ? hint : undefined, bad };
}

/** A value in JSON. Own keys only, so that no prototype answers. */
export function at(value: unknown, ...path: string[]): unknown {
  return path.reduce<unknown>(
    (found, key) =>
      typeof found === "object" && found !== null && Object.hasOwn(found, key)
        ? (found as Record<string, unknown>)[key]
        : undefined,
    value,
  );
}

/** base64 with or without padding; undefined for anything else. */
export function decoded(value: unknown): Buffer | undefined {
  if (typeof value !== "string" || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) return undefined;
  return Buffer.from(value, "base64");
}
