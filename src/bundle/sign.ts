import { readFileSync } from "node:fs";
import { AirgapError, messageOf } from "../errors.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import { type PublicKey, readPublicKey, type Signer } from "../trust/key.ts";
import { writeSignature } from "../trust/signature-files.ts";
import { encodeSignature, isBy, isOfOther, parseSignature, signContent } from "../trust/sigstore.ts";
import { readLockUnless } from "./diff.ts";
import { encodeLock } from "./layout.ts";
import type { Opening } from "./reader.ts";
import { encodeReceipt, readReceipt } from "./receipt.ts";
import { encodeRehearsal, readRehearsal } from "./rehearsal.ts";

/** What a signature is over, and the file that it lies beside. */
export interface Signable {
  /** A bundle, a lock or a public key. */
  path: string;
  content: Buffer;
}

export interface SignResult {
  /** The file that was signed. */
  signed: string;
  /** SHA-256 of what the signature is over: of a bundle, the digest of its lock. */
  digest: Digest;
  /** Where the signature is; absent with `--print-digest`. */
  signature?: string;
  /** Of the key; absent where it is not known. */
  fingerprint?: string;
}

/**
 * What to sign of a file: the canonical form of a bundle's lock, of a lock, of a receipt or of a rehearsal; the SubjectPublicKeyInfo of a public key, for
 * which an older key vouches.
 * @throws AirgapError
 */
export async function signable(path: string, opening: Opening, signal?: AbortSignal): Promise<Signable> {
  if (path.endsWith(".pub")) return { path, content: readPublicKey(path).spki };
  const receipt = path.endsWith(".json") ? readReceipt(path) : undefined;
  if (receipt) return { path, content: encodeReceipt(receipt) };
  const rehearsal = path.endsWith(".json") ? readRehearsal(path) : undefined;
  if (rehearsal) return { path, content: encodeRehearsal(rehearsal) };
  return { path, content: encodeLock(await readLockUnless(signal, path, opening)) };
}

/** Signs with a key at hand. No byte of the signed file changes. @throws AirgapError `disk` */
export function signWith(signer: Signer, { path, content }: Signable): SignResult {
  const text = signContent(signer, content);
  return {
    signed: path,
    digest: digestOf(content),
    signature: writeSignature(path, content, signer.publicKey, text),
    fingerprint: signer.publicKey.fingerprint,
  };
}

/**
 * Puts a signature that was made elsewhere beside the file: a Sigstore bundle of cosign, or the bare signature of a
 * token or a KMS, in DER or base64.
 * @param key needed for a bare signature, and to check any
 * @throws AirgapError `check-failed` when it is of other content or another key
 */
export function attach({ path, content }: Signable, file: string, key: PublicKey | undefined): SignResult {
  const bytes = readGiven(file);
  const isBundle = bytes.subarray(0, 64).toString("latin1").trimStart().startsWith("{");
  if (!isBundle && key === undefined)
    throw new AirgapError("usage", `${file} is a bare signature: airgap needs the public key to check it`, {
      suggestions: [`airgap sign ${path} --attach ${file} --key KEY.pub`],
    });
  const text = isBundle ? bytes.toString("utf8") : encodeSignature(key as PublicKey, content, bare(bytes));
  const signature = parseSignature(Buffer.from(text), file);
  if (isOfOther(signature, content) || (key && !isBy(key, signature, content)))
    throw new AirgapError(
      "check-failed",
      `${file} is not a signature ${key ? "of that key " : ""}over ${path}`,
      {
        suggestions: [`airgap sign ${path} --print-digest  # what must be signed`],
      },
    );
  const hint = key?.hint ?? signature.hint ?? "";
  const known = key ?? { hint, fingerprint: `SHA256:${hint.replace(/=+$/, "")}` };
  const written = writeSignature(path, content, known, text.endsWith("\n") ? text : `${text}\n`);
  return { signed: path, digest: digestOf(content), signature: written, fingerprint: known.fingerprint };
}

function readGiven(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new AirgapError("usage", `Cannot read the signature ${file}: ${messageOf(cause)}`, { cause });
  }
}

/** DER and Ed25519 signatures as they are, or in base64, as KMS tools print them. */
function bare(bytes: Buffer): Buffer {
  const text = bytes.toString("latin1").trim();
  return /^[A-Za-z0-9+/\s]+={0,2}$/.test(text) && text.length > 64 ? Buffer.from(text, "base64") : bytes;
}
