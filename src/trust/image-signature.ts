import { isAirgapError, messageOf } from "../errors.ts";
import { isStatedBy, parseAttestation, signStatement } from "./attestation.ts";
import type { PublicKey, Signer } from "./key.ts";
import { verifies } from "./key.ts";
import { at, decoded } from "./sigstore-bundle.ts";

/** The statement of `cosign sign`: that its subject is signed, and nothing more. */
export const SIGNED_IMAGE = "https://sigstore.dev/cosign/sign/v1";
/** The annotation of a layer that holds the signature of its payload, in the older form. */
export const SIMPLE_SIGNATURE = "dev.cosignproject.cosign/signature";
/** The media type of that payload. */
export const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIMPLE_TYPE = "cosign container image signature";

/** `sha256:…` as a subject. */
const subjectOf = (digest: string): { algorithm: string; hex: string } => {
  const colon = digest.indexOf(":");
  return { algorithm: digest.slice(0, colon), hex: digest.slice(colon + 1) };
};

/** Signs an image by its digest, as `cosign sign --key` does: the text of a Sigstore bundle. */
export const signImage = (signer: Signer, digest: string): string =>
  signStatement(signer, subjectOf(digest), SIGNED_IMAGE, {});

/**
 * Why a Sigstore bundle is not a signature of this key over this image; undefined when it is one.
 * An attestation about the image, such as its SBOM, is not a signature of it.
 */
export function whyNotSigned(key: PublicKey, bytes: Uint8Array, digest: string): string | undefined {
  try {
    const attestation = parseAttestation(bytes, "the signature");
    if (attestation.predicateType !== SIGNED_IMAGE)
      return `it is an attestation (${attestation.predicateType}), not a signature`;
    const { algorithm, hex } = subjectOf(digest);
    if (!attestation.subjects.some((each) => each.algorithm === algorithm && each.hex === hex))
      return "it is a signature of other content";
    return isStatedBy(key, attestation) ? undefined : "another key made it, or it was changed";
  } catch (error) {
    if (!isAirgapError(error)) throw error;
    return messageOf(error);
  }
}

/**
 * The same for the older form: a payload of "simple signing", whose signature stands beside it.
 * The name in the payload is not compared: images keep their signatures when they are copied.
 * https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
 */
export function whyNotSimplySigned(
  key: PublicKey,
  payload: Uint8Array,
  signature: unknown,
  digest: string,
): string | undefined {
  const bytes = decoded(signature);
  if (bytes === undefined || bytes.length === 0) return "it holds no signature";
  if (!verifies(key, payload, bytes)) return "another key made it, or it was changed";
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    return "its payload is not JSON";
  }
  if (at(value, "critical", "type") !== SIMPLE_TYPE) return "its payload is not of an image's signature";
  return at(value, "critical", "image", "docker-manifest-digest") === digest
    ? undefined
    : "it is a signature of other content";
}
