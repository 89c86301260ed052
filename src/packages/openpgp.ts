import type { PrivateKey, PublicKey, Signature, VerifyMessageResult } from "openpgp";
import { AirgapError, messageOf } from "../errors.ts";
import { fingerprint, type KeyRing } from "./keys.ts";

/** Loaded when it is first needed: it is large, and many runs need no signature. */
const library = () => import("openpgp");

/**
 * What is accepted is for the hosts' own tools to narrow: keys of old distributions are DSA,
 * short, or signed with SHA-1, and their hosts take no other.
 */
async function settings() {
  const { config, enums } = await library();
  const weak = new Set([enums.hash.md5, enums.hash.ripemd]);
  return {
    ...config,
    rejectHashAlgorithms: weak,
    rejectMessageHashAlgorithms: weak,
    rejectPublicKeyAlgorithms: new Set<never>(),
    minRSABits: 1024,
    showComment: false,
    showVersion: false,
  };
}

export interface GoodSignature {
  fingerprint: string;
  key: PublicKey;
  /** `sha256`, `sha1`, … as OpenPGP names it. */
  hash: string;
  created: Date;
}

/** A reason against a signature that is good in itself, or undefined. */
export type Acceptable = (signature: GoodSignature) => Promise<string | undefined>;

const anySignature: Acceptable = async () => undefined;

export interface DetachedOptions {
  content: Uint8Array;
  /** Armoured or binary. */
  signature: Uint8Array;
  keys: KeyRing;
  what: string;
  acceptable?: Acceptable | undefined;
}

const allKeys = (ring: KeyRing): PublicKey[] => ring.files.flatMap(({ keys }) => keys);

async function readSignature(bytes: Uint8Array, what: string): Promise<Signature> {
  const openpgp = await library();
  const text = Buffer.from(bytes).toString("latin1");
  try {
    return await (text.includes("-----BEGIN PGP")
      ? openpgp.readSignature({ armoredSignature: text })
      : openpgp.readSignature({ binarySignature: bytes }));
  } catch (cause) {
    throw new AirgapError("corrupt", `The signature of ${what} can't be read: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** The first signature that one of the keys made; the others may be of keys that we were not given. */
async function firstGood(
  results: VerifyMessageResult["signatures"],
  ring: KeyRing,
  what: string,
  acceptable: Acceptable,
): Promise<GoodSignature> {
  const { enums } = await library();
  const keys = allKeys(ring);
  const failures: string[] = [];
  for (const { keyID, verified, signature } of results) {
    const id = keyID.toHex().toUpperCase();
    const key = keys.find((candidate) => candidate.getKeys(keyID).length > 0);
    try {
      await verified;
      const [packet] = (await signature).packets;
      if (!key || !packet) continue;
      const good = {
        fingerprint: fingerprint(key),
        key,
        hash: enums.read(enums.hash, packet.hashAlgorithm as number),
        created: packet.created as Date,
      };
      const objection = await acceptable(good);
      if (objection === undefined) return good;
      failures.push(`by ${good.fingerprint}, but ${objection}`);
    } catch (error) {
      failures.push(
        key ? `by ${fingerprint(key)}: ${messageOf(error)}` : `by a key that was not given, ${id}`,
      );
    }
  }
  const given = keys.length === 0 ? "no key was given" : `keys given: ${keys.map(fingerprint).join(", ")}`;
  const found = failures.length === 0 ? "there is no signature" : `signed ${failures.join("; ")}`;
  throw new AirgapError("corrupt", `The signature of ${what} is not good: ${found} (${given})`, {
    suggestions: [
      "check that the spec names the key of this repository, and fetch it anew where it has changed",
    ],
  });
}

/** @throws AirgapError `corrupt` when no key given made a good signature of the content */
export async function verifyDetached({
  content,
  signature,
  keys,
  what,
  acceptable = anySignature,
}: DetachedOptions): Promise<GoodSignature> {
  const openpgp = await library();
  const read = await readSignature(signature, what);
  const message = await openpgp.createMessage({ binary: content });
  const { signatures } = await openpgp.verify({
    message,
    signature: read,
    verificationKeys: allKeys(keys),
    format: "binary",
    config: await settings(),
  });
  return firstGood(signatures, keys, what, acceptable);
}

/** The text of a clear-signed message such as InRelease: exactly what was signed. @throws AirgapError `corrupt` */
export async function verifyCleartext(
  bytes: Uint8Array,
  keys: KeyRing,
  what: string,
  acceptable: Acceptable = anySignature,
): Promise<{ text: string; signature: GoodSignature }> {
  const openpgp = await library();
  const message = await openpgp
    .readCleartextMessage({ cleartextMessage: Buffer.from(bytes).toString("utf8") })
    .catch((cause: unknown) => {
      throw new AirgapError("corrupt", `${what} is no clear-signed text: ${messageOf(cause)}`, { cause });
    });
  const { signatures } = await openpgp.verify({
    message,
    verificationKeys: allKeys(keys),
    config: await settings(),
  });
  return { text: message.getText(), signature: await firstGood(signatures, keys, what, acceptable) };
}

/** Long past, so that hosts whose clocks are behind don't take key and signatures for ones of the future. */
const PAST = new Date("2000-01-01T00:00:00Z");

/** A key for one set of repositories. RSA, since the gpg of CentOS 7 knows no ed25519. */
export async function makeSigningKey(name: string): Promise<PrivateKey> {
  const { generateKey } = await library();
  const { privateKey } = await generateKey({
    type: "rsa",
    rsaBits: 3072,
    userIDs: [{ name }],
    subkeys: [],
    date: PAST,
    format: "object",
  });
  return privateKey;
}

/** The day of a signature: the key's own, which is the first on which it is good. */
const dayOf = (key: PrivateKey): Date =>
  new Date(
    Math.max(PAST.getTime(), ...[key, ...key.getSubkeys()].map((part) => part.getCreationTime().getTime())),
  );

export async function signDetached(content: Uint8Array, key: PrivateKey): Promise<string> {
  const openpgp = await library();
  const message = await openpgp.createMessage({ binary: content });
  return openpgp.sign({
    message,
    signingKeys: key,
    detached: true,
    date: dayOf(key),
    config: await settings(),
  });
}

export async function signCleartext(text: string, key: PrivateKey): Promise<string> {
  const openpgp = await library();
  return openpgp.sign({
    message: await openpgp.createCleartextMessage({ text }),
    signingKeys: key,
    date: dayOf(key),
    config: await settings(),
  });
}
