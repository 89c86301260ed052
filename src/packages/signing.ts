import { readFile } from "node:fs/promises";
import type { PrivateKey } from "openpgp";
import { AirgapError } from "../errors.ts";
import { keyRing, readPrivateKey } from "./keys.ts";
import { makeSigningKey, signCleartext, signDetached, verifyCleartext, verifyDetached } from "./openpgp.ts";

/** Something of ours that is to be signed: `path` is where the signature goes. */
export interface ToSign {
  path: string;
  content: Uint8Array;
  /** The signed text with its signature in one file, as InRelease has it. */
  inline?: boolean;
}

export interface Signatures {
  publicKey: string;
  /** By path: ASCII armour. */
  signatures: Record<string, string>;
}

/** The user's key, when the spec names one. */
export async function readRepositoryKey(file: string): Promise<PrivateKey> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new AirgapError("spec", `repositoryKey: ${file} can't be read`, { cause });
  });
  return readPrivateKey(bytes, `repositoryKey ${file}`);
}

/**
 * Signs the metadata of our repositories once. Without a key of the user's one is made for this
 * and kept nowhere: the lock holds the signatures and the public key, which is all that hosts need.
 */
export async function signAll(
  name: string,
  items: ToSign[],
  userKey: PrivateKey | undefined,
): Promise<Signatures> {
  const key = userKey ?? (await makeSigningKey(`airgap ${name}`));
  const signatures: Record<string, string> = {};
  for (const { path, content, inline } of items) {
    signatures[path] = inline
      ? await signCleartext(Buffer.from(content).toString("utf8"), key)
      : await signDetached(content, key);
  }
  return { publicKey: key.toPublic().armor(), signatures };
}

/** Whether signatures that stand in a lock are good ones of what is to be signed now, and of nothing else. */
export async function signaturesFit(
  items: ToSign[],
  { publicKey, signatures }: Signatures,
): Promise<boolean> {
  if (Object.keys(signatures).length !== items.length) return false;
  try {
    const keys = keyRing("the lock", publicKey);
    for (const { path, content, inline } of items) {
      const signature = Buffer.from(signatures[path] ?? "");
      if (!inline) await verifyDetached({ content, signature, keys: await keys, what: path });
      else if (
        !sameText(
          (await verifyCleartext(signature, await keys, path)).text,
          Buffer.from(content).toString("utf8"),
        )
      )
        return false;
    }
    return true;
  } catch {
    return false;
  }
}

/** Clear-signed text is compared as it is signed: without white space at the ends of lines. */
function sameText(a: string, b: string): boolean {
  const canonical = (text: string): string => text.replace(/[ \t\r]+$/gm, "").trimEnd();
  return canonical(a) === canonical(b);
}
