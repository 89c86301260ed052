import type { Key, PrivateKey } from "openpgp";
import { AirgapError, messageOf } from "../errors.ts";
import { type Emit, silent } from "../events.ts";
import type { Http } from "../http.ts";
import { describePlace, isRemote, readPlace } from "../transport/url.ts";

const MAX_KEYS = 4 << 20;

/** Public keys, and the file they come from as it was read: hosts get the same. */
export interface KeyFile {
  place: string;
  /** ASCII armour, whatever the source was. */
  armored: string;
  keys: Key[];
}

export interface KeyRing {
  files: KeyFile[];
}

export const fingerprint = (key: { getFingerprint(): string }): string => key.getFingerprint().toUpperCase();

/** Loaded when it is first needed: it is large, and many runs need no key. */
const library = () => import("openpgp");

async function parse(bytes: Buffer, what: string): Promise<Key[]> {
  const text = bytes.toString("latin1");
  const openpgp = await library();
  try {
    if (!text.includes("-----BEGIN PGP")) return await openpgp.readKeys({ binaryKeys: bytes });
    const blocks =
      text.match(/-----BEGIN PGP PUBLIC KEY BLOCK-----[\s\S]*?-----END PGP PUBLIC KEY BLOCK-----/g) ?? [];
    const keys = await Promise.all(blocks.map((armoredKeys) => openpgp.readKeys({ armoredKeys })));
    return keys.flat();
  } catch (cause) {
    throw new AirgapError("corrupt", `${what} is no OpenPGP public key: ${messageOf(cause)}`, { cause });
  }
}

/** What was fetched in this run, so that one key is asked for, and warned of, once. */
const known = new WeakMap<Http, Map<string, Promise<KeyFile>>>();

/** Reads public keys from files or URLs, armoured or binary. @throws AirgapError `corrupt`, `not-found` */
export async function readKeys(
  places: string[],
  http: Http,
  { emit = silent, signal }: { emit?: Emit; signal?: AbortSignal | undefined } = {},
): Promise<KeyRing> {
  const read = known.get(http) ?? new Map<string, Promise<KeyFile>>();
  known.set(http, read);
  const files: KeyFile[] = [];
  for (const place of places) {
    const file = read.get(place) ?? readKeyFile(place, http, emit, signal);
    if (isRemote(place)) read.set(place, file);
    file.catch(() => read.delete(place));
    files.push(await file);
  }
  return { files };
}

async function readKeyFile(place: string, http: Http, emit: Emit, signal?: AbortSignal): Promise<KeyFile> {
  const what = `The key ${describePlace(place)}`;
  if (/^http:/i.test(place))
    emit({
      type: "warning",
      message: `${what} comes over plain http: whoever is on the way can put in another one`,
      suggestion: "name it by https, or keep it as a file beside the spec",
    });
  const keys = await parse(await readPlace(http, place, MAX_KEYS, undefined, signal), what);
  if (keys.length === 0) throw new AirgapError("corrupt", `${what} holds no OpenPGP public key`);
  if (keys.some((key) => key.isPrivate()))
    throw new AirgapError("spec", `${what} is a private key; the public one is wanted here`);
  return { place: describePlace(place), armored: keys.map((key) => key.armor()).join(""), keys };
}

/** Keys from their text. */
export async function keyRing(place: string, armored: string): Promise<KeyRing> {
  return { files: [{ place, armored, keys: await parse(Buffer.from(armored), `The key of ${place}`) }] };
}

/** A private key that signs our repositories. @throws AirgapError `spec` */
export async function readPrivateKey(bytes: Buffer, what: string): Promise<PrivateKey> {
  const { readKey } = await library();
  const text = bytes.toString("latin1");
  const key = await (text.includes("-----BEGIN PGP")
    ? readKey({ armoredKey: text })
    : readKey({ binaryKey: bytes })
  ).catch((cause: unknown) => {
    throw new AirgapError("spec", `${what} is no OpenPGP key: ${messageOf(cause)}`, { cause });
  });
  if (!key.isPrivate())
    throw new AirgapError("spec", `${what} is a public key; the private one is needed to sign with`);
  if (!key.isDecrypted())
    throw new AirgapError("spec", `${what} is protected by a passphrase, which a build can't ask for`, {
      suggestions: [
        "gpg --export-secret-keys --armor KEYID > keys/site.asc  # of a key made for this, without a passphrase",
      ],
    });
  return key;
}
