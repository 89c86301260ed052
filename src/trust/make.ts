import { writeFileSync } from "node:fs";
import { AirgapError, messageOf } from "../errors.ts";
import { type KeyType, makeKeyPair, parsePublicKey } from "./key.ts";

export interface MadeKey {
  /** Path of the private key, which only its owner can read. */
  key: string;
  /** Path of the public key. */
  pub: string;
  type: KeyType;
  fingerprint: string;
  encrypted: boolean;
}

/**
 * Makes a key pair as NAME.key and NAME.pub. Existing files stay.
 * @param passphrase encrypts the private key; undefined leaves it as it is
 * @throws AirgapError `usage` when a file is there already, `disk`
 */
export function makeKeyFiles(name: string, type: KeyType, passphrase: string | undefined): MadeKey {
  const { secret, pub } = makeKeyPair(type, passphrase);
  const paths = { key: `${name}.key`, pub: `${name}.pub` };
  writeNew(paths.key, secret, 0o600);
  writeNew(paths.pub, pub, 0o644);
  const { fingerprint } = parsePublicKey(pub, paths.pub);
  return { ...paths, type, fingerprint, encrypted: passphrase !== undefined };
}

function writeNew(path: string, text: string, mode: number): void {
  try {
    writeFileSync(path, text, { flag: "wx", mode });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST")
      throw new AirgapError("usage", `${path} exists already; airgap does not overwrite keys`, {
        suggestions: ["choose another name, or move the old key away"],
      });
    throw new AirgapError("disk", `Cannot write ${path}: ${messageOf(cause)}`, { cause });
  }
}
