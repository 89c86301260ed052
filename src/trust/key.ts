import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { readFileSync } from "node:fs";
import { AirgapError, messageOf } from "../errors.ts";

export const KEY_TYPES = ["p256", "ed25519"] as const;
export type KeyType = (typeof KEY_TYPES)[number];

/** Bytes; keys in PEM have some hundreds. */
const MAX_KEY = 64 * 1024;

/** A public key with the names under which people and programs know it. */
export interface PublicKey {
  key: KeyObject;
  type: KeyType;
  /** SubjectPublicKeyInfo, RFC 5280 4.1. */
  spki: Buffer;
  /** `SHA256:` and base64 without padding, as ssh-keygen prints it; of `spki`. */
  fingerprint: string;
  /** How a Sigstore bundle names the key: base64 of the SHA-256 of `spki`. */
  hint: string;
}

/** A private key that is ready to sign. */
export interface Signer {
  publicKey: PublicKey;
  /** ECDSA with SHA-256 in DER, or pure Ed25519. */
  sign(content: Uint8Array): Buffer;
}

/** Asks for a passphrase; undefined when there is nobody to ask and no variable. */
export type AskPassphrase = (question: string) => Promise<string | undefined>;

function typeOf(key: KeyObject): KeyType | undefined {
  if (key.asymmetricKeyType === "ed25519") return "ed25519";
  const p256 = key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1";
  return p256 ? "p256" : undefined;
}

function asPublicKey(key: KeyObject, what: string): PublicKey {
  const type = typeOf(key);
  if (type === undefined)
    throw new AirgapError(
      "usage",
      `${what} is a key of another kind: airgap uses ECDSA P-256 and Ed25519 keys`,
      { suggestions: ["airgap keys make site"] },
    );
  const spki = key.export({ type: "spki", format: "der" });
  const hint = createHash("sha256").update(spki).digest("base64");
  return { key, type, spki, hint, fingerprint: `SHA256:${hint.replace(/=+$/, "")}` };
}

/** @param what names it in messages @throws AirgapError `usage` when it is not a public key in PEM that airgap can use */
export function parsePublicKey(pem: string, what: string): PublicKey {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem))
    throw new AirgapError("usage", `${what} is a private key; airgap needs the public key here`, {
      suggestions: ["use the file that ends in .pub"],
    });
  if (!pem.includes("-----BEGIN PUBLIC KEY-----"))
    throw new AirgapError("usage", `${what} is not a public key in PEM (-----BEGIN PUBLIC KEY-----)`);
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (cause) {
    throw new AirgapError("usage", `${what} is not a public key: ${messageOf(cause)}`, { cause });
  }
  return asPublicKey(key, what);
}

/** @throws AirgapError `usage` when the file cannot be read or does not hold a public key */
export const readPublicKey = (path: string): PublicKey =>
  parsePublicKey(readKeyFile(path, "public"), `The public key ${path}`);

function readKeyFile(path: string, what: string): string {
  try {
    const text = readFileSync(path, "utf8");
    if (text.length <= MAX_KEY) return text;
  } catch (cause) {
    throw new AirgapError("usage", `Cannot read the ${what} key ${path}: ${messageOf(cause)}`, { cause });
  }
  throw new AirgapError("usage", `${path} is too large for a key`);
}

/** Whether the signature is this key's over this content. Never throws: whatever a signature holds. */
export function verifies(publicKey: PublicKey, content: Uint8Array, signature: Uint8Array): boolean {
  try {
    return publicKey.type === "ed25519"
      ? verify(null, content, publicKey.key, signature)
      : verify("sha256", content, { key: publicKey.key, dsaEncoding: "der" }, signature);
  } catch {
    return false;
  }
}

/**
 * Opens a private key: PKCS#8 in PEM, encrypted or not.
 * @throws AirgapError `usage`: another format, no passphrase, a wrong one
 */
export async function openSigner(path: string, ask: AskPassphrase): Promise<Signer> {
  const pem = readKeyFile(path, "private");
  if (/ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY/.test(pem))
    throw new AirgapError(
      "usage",
      `${path} is a private key in cosign's own format, which airgap cannot open`,
      {
        suggestions: ["sign with cosign, then: airgap sign BUNDLE --attach FILE", "airgap keys make site"],
        ref: "docs/security.md",
      },
    );
  if (pem.includes("-----BEGIN PUBLIC KEY-----"))
    throw new AirgapError("usage", `${path} is a public key; signing needs the private key`);
  const encrypted = pem.includes("-----BEGIN ENCRYPTED PRIVATE KEY-----");
  const passphrase = encrypted ? await ask(`Passphrase of ${path}`) : undefined;
  if (encrypted && passphrase === undefined)
    throw new AirgapError("usage", `The private key ${path} needs its passphrase`, {
      suggestions: ["set AIRGAP_KEY_PASSPHRASE, or run the command on a terminal"],
    });
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, ...(passphrase === undefined ? {} : { passphrase }) });
  } catch (cause) {
    const why = encrypted
      ? "the passphrase is wrong, or the file is damaged"
      : "it is not a private key in PEM";
    throw new AirgapError("usage", `Cannot open the private key ${path}: ${why}`, { cause });
  }
  const publicKey = asPublicKey(createPublicKey(key), path);
  return {
    publicKey,
    sign: (content) =>
      publicKey.type === "ed25519"
        ? sign(null, content, key)
        : sign("sha256", content, { key, dsaEncoding: "der" }),
  };
}

/** A new key pair in PEM: PKCS#8, encrypted with AES-256 when there is a passphrase, and SPKI. */
export function makeKeyPair(type: KeyType, passphrase: string | undefined): { secret: string; pub: string } {
  const { privateKey, publicKey } =
    type === "ed25519"
      ? generateKeyPairSync("ed25519")
      : generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const locked = passphrase === undefined ? {} : { cipher: "aes-256-cbc", passphrase };
  return {
    secret: privateKey.export({ type: "pkcs8", format: "pem", ...locked }) as string,
    pub: publicKey.export({ type: "spki", format: "pem" }) as string,
  };
}
