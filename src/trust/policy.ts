import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { AirgapError, messageOf } from "../errors.ts";
import { readDocument } from "../schema/document.ts";
import {
  type Infer,
  integer,
  list,
  object,
  string,
  withDefault,
  boolean as yesNo,
} from "../schema/schema.ts";
import { type PublicKey, readPublicKey } from "./key.ts";

export const KEY_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

const keyName = string({
  pattern: KEY_NAME,
  means: "a name of letters, digits, '.', '_' and '-'",
});

/** `2027-12-31`, and a day that exists. */
export function isDay(text: string): boolean {
  const time = Date.parse(`${text}T00:00:00Z`);
  return /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(time) && new Date(time).toJSON().startsWith(text);
}

const day = string({
  means: "a day like 2027-12-31",
  check: (text) => (isDay(text) ? undefined : `must be a day like 2027-12-31, not ${JSON.stringify(text)}`),
});

const keySchema = object(
  { name: keyName, file: string({ description: "The public key in PEM; relative to this file" }) },
  {
    bundles: list(
      string({ pattern: /^[a-z0-9*._-]{1,63}$/, means: "a bundle's name; * stands for any characters" }),
      {
        min: 1,
        description: "Names of the bundles that this key may sign; all by default",
      },
    ),
    notAfter: day,
  },
);

/** `trust.yaml`: whose signatures count on this machine. */
export const policySchema = object(
  {},
  {
    requireSignature: withDefault(yesNo("Refuse bundles without a signature of a key below"), false),
    threshold: withDefault(
      integer({ min: 1, max: 16, description: "How many of the keys must have signed" }),
      1,
    ),
    keys: withDefault(list(keySchema), []),
  },
);

export type PolicyFile = Infer<typeof policySchema>;

/** A key that counts, and for what. */
export interface TrustedKey {
  name: string;
  publicKey: PublicKey;
  /** Patterns of bundles' names; absent: every bundle. */
  bundles?: string[];
  /** The last day on which it counts, `2027-12-31`, UTC. */
  notAfter?: string;
  /** Which file says so: a policy, or `--key`. */
  from: string;
}

export interface Policy {
  /** The files that it was read from. */
  files: string[];
  requireSignature: boolean;
  threshold: number;
  keys: TrustedKey[];
}

/** The folder of the system's policy. Tests set another one by their options, never by a variable. */
export const SYSTEM_FOLDER = "/etc/airgap";

/** The folder of the user's own policy (XDG base directories). */
export const userFolder = (): string =>
  join(process.env["XDG_CONFIG_HOME"] || join(homedir(), ".config"), "airgap");

export const policyPath = (folder: string): string => join(folder, "trust.yaml");

/** @throws AirgapError `spec` with line and column, `usage` when a key cannot be read */
export function readPolicyFile(path: string): Policy {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new AirgapError("spec", `Cannot read the policy ${path}: ${messageOf(cause)}`, { cause });
  }
  const { requireSignature, threshold, keys } = readDocument(text, path, policySchema);
  const read = keys.map(
    ({ name, file, bundles, notAfter }): TrustedKey => ({
      name,
      publicKey: readPublicKey(resolve(dirname(path), file)),
      from: path,
      ...(bundles ? { bundles } : {}),
      ...(notAfter ? { notAfter } : {}),
    }),
  );
  for (const [i, { name, publicKey }] of read.entries())
    for (const other of read.slice(0, i))
      if (other.name === name || other.publicKey.fingerprint === publicKey.fingerprint)
        throw new AirgapError("spec", `${path} has the key ${name} (${publicKey.fingerprint}) twice`);
  return { files: [path], requireSignature, threshold, keys: read };
}

/**
 * What the system's and the user's policy say together: the stricter demand, and the keys of both.
 * The system's word about a key counts.
 */
export function readPolicy(folders: readonly string[] = [SYSTEM_FOLDER, userFolder()]): Policy {
  const all = [...new Set(folders)]
    .map(policyPath)
    .filter((path) => existsSync(path))
    .map(readPolicyFile);
  const keys = new Map<string, TrustedKey>();
  for (const key of all.flatMap((each) => each.keys))
    if (!keys.has(key.publicKey.fingerprint)) keys.set(key.publicKey.fingerprint, key);
  return {
    files: all.flatMap(({ files }) => files),
    requireSignature: all.some((each) => each.requireSignature),
    threshold: Math.max(1, ...all.map(({ threshold }) => threshold)),
    keys: [...keys.values()],
  };
}

/** Why a key does not count for a bundle today; undefined when it does. */
export function whyNot(key: TrustedKey, bundle: string, today = new Date()): string | undefined {
  if (key.notAfter !== undefined && today.toJSON().slice(0, 10) > key.notAfter)
    return `its last day was ${key.notAfter}`;
  if (key.bundles !== undefined && !key.bundles.some((pattern) => matches(pattern, bundle)))
    return `it may sign ${key.bundles.join(", ")} only`;
  return undefined;
}

function matches(pattern: string, name: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  if (rest.length === 0) return name === first;
  if (!name.startsWith(first)) return false;
  const last = rest.pop() ?? "";
  let from = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, from);
    if (found < 0) return false;
    from = found + part.length;
  }
  return name.length - last.length >= from && name.endsWith(last);
}
