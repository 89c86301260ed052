import { createHash } from "node:crypto";
import type { PublicKey, Signer } from "./key.ts";
import { verifies } from "./key.ts";
import { at, decoded, encodeBundle, openBundle } from "./sigstore-bundle.ts";

/** What a Sigstore bundle says about a file that was signed with a key. Nothing of it is proven. */
export interface Signature {
  /** base64 of the SHA-256 of the key's SPKI; absent when the signer did not say it. */
  hint: string | undefined;
  /** SHA-256 of what was signed, as the signer says. */
  digest: Buffer | undefined;
  signature: Buffer;
}

/** A signature as cosign writes it. */
export function encodeSignature(key: PublicKey, content: Uint8Array, signature: Buffer): string {
  const digest = createHash("sha256").update(content).digest("base64");
  return encodeBundle(key, {
    messageSignature: {
      messageDigest: { algorithm: "SHA2_256", digest },
      signature: signature.toString("base64"),
    },
  });
}

/** Signs content, and gives the text of the signature's file. */
export const signContent = (signer: Signer, content: Uint8Array): string =>
  encodeSignature(signer.publicKey, content, signer.sign(content));

/**
 * @param what names the file in messages
 * @throws AirgapError `check-failed` when it is not a Sigstore bundle with a signature over a file
 */
export function parseSignature(bytes: Uint8Array, what: string): Signature {
  const { value, hint, bad } = openBundle(bytes, what);
  if (at(value, "dsseEnvelope") !== undefined)
    return bad("it holds an attestation, not a signature of a file");
  const signature = decoded(at(value, "messageSignature", "signature"));
  if (signature === undefined || signature.length === 0) return bad("it holds no signature");
  const given = at(value, "messageSignature", "messageDigest");
  const digest = given === undefined ? undefined : decoded(at(given, "digest"));
  if (given !== undefined && (at(given, "algorithm") !== "SHA2_256" || digest?.length !== 32))
    return bad("its digest is not a SHA-256");
  return { hint, digest, signature };
}

/** Whether what the signature says about its content is about other content. */
export const isOfOther = ({ digest }: Signature, content: Uint8Array): boolean =>
  digest !== undefined && !createHash("sha256").update(content).digest().equals(digest);

/** Whether a key made this signature over this content. */
export const isBy = (key: PublicKey, signature: Signature, content: Uint8Array): boolean =>
  !isOfOther(signature, content) && verifies(key, content, signature.signature);
