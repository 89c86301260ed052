import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { replaceFileSync } from "../atomic.ts";
import { AirgapError, Exit, messageOf } from "../errors.ts";
import type { PublicKey } from "./key.ts";
import { isOfOther, parseSignature, type Signature } from "./sigstore.ts";
import { MAX_SIGNATURE_FILE } from "./sigstore-bundle.ts";

export const SUFFIX = ".sigstore.json";
/** Signers of one bundle. */
const MAX_FILES = 64;

/** A signature beside a file, as it was read. */
export interface SignatureFile {
  path: string;
  signature: Signature;
}

/**
 * Paths of the signatures of a file: `site.tar.sigstore.json`, and `site.tar.NAME.sigstore.json` of further signers.
 * @param folders where else they may lie: the folders of the file's volumes
 * @throws AirgapError `check-failed` when there are too many
 */
export function signaturePaths(path: string, folders: readonly string[] = []): string[] {
  const name = basename(path);
  const found = [...new Set([dirname(path), ...folders])].flatMap((folder) =>
    namesIn(folder)
      .filter((each) => each.startsWith(`${name}.`) && each.endsWith(SUFFIX))
      .filter((each) => /^(?:[A-Za-z0-9_-]+\.)?$/.test(each.slice(name.length + 1, 1 - SUFFIX.length)))
      .map((each) => join(folder, each)),
  );
  if (found.length <= MAX_FILES) return found.toSorted();
  throw new AirgapError("check-failed", `${path} has more than ${MAX_FILES} files with signatures`, {
    exit: Exit.check,
  });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** @throws AirgapError `check-failed` when one cannot be read or is not a signature */
export function readSignatures(path: string, folders?: readonly string[]): SignatureFile[] {
  return signaturePaths(path, folders).map((file) => ({ path: file, signature: readSignature(file) }));
}

/** @throws AirgapError `check-failed` */
export function readSignature(path: string): Signature {
  let bytes: Buffer;
  try {
    const { size } = statSync(path);
    bytes = size > MAX_SIGNATURE_FILE ? Buffer.alloc(MAX_SIGNATURE_FILE + 1) : readFileSync(path);
  } catch (cause) {
    throw new AirgapError("check-failed", `Cannot read the signature ${path}: ${messageOf(cause)}`, {
      cause,
      exit: Exit.check,
    });
  }
  return parseSignature(bytes, path);
}

/**
 * Writes a signature beside a file. An earlier one of the same key, or of other content, is replaced;
 * another signer's stays, and the new one gets the key's name.
 * @returns its path
 */
export function writeSignature(
  path: string,
  content: Uint8Array,
  key: Pick<PublicKey, "hint">,
  text: string,
): string {
  removeStale(path, content);
  const plain = `${path}${SUFFIX}`;
  const present = signaturePaths(path);
  const own = present.find((each) => readSignature(each).hint === key.hint);
  const file = own ?? (present.includes(plain) ? `${path}.${shortName(key)}${SUFFIX}` : plain);
  try {
    replaceFileSync(file, text);
  } catch (cause) {
    throw new AirgapError("disk", `Cannot write the signature ${file}: ${messageOf(cause)}`, { cause });
  }
  return file;
}

const shortName = ({ hint }: Pick<PublicKey, "hint">): string =>
  Buffer.from(hint, "base64").toString("hex").slice(0, 12) || "other";

/** Removes signatures of what the file held before. @returns their paths */
export function removeStale(path: string, content: Uint8Array): string[] {
  const stale = signaturePaths(path).filter((each) => {
    try {
      return isOfOther(readSignature(each), content);
    } catch {
      return true;
    }
  });
  for (const each of stale) rmSync(each, { force: true });
  return stale;
}
