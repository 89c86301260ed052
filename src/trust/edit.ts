import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type Document, parseDocument, type YAMLSeq } from "yaml";
import { replaceFileSync } from "../atomic.ts";
import { AirgapError, Exit, messageOf } from "../errors.ts";
import { type PublicKey, parsePublicKey, readPublicKey } from "./key.ts";
import { KEY_NAME, type Policy, policyPath, readPolicyFile, type TrustedKey, whyNot } from "./policy.ts";
import { readSignature } from "./signature-files.ts";
import { isBy, type Signature } from "./sigstore.ts";

const HEAD = `# Whose bundles this machine uses. docs/security.md explains every key.
`;

export interface NewKey {
  /** Path of the public key. */
  pub: string;
  /** Default: the file's name without its ending. */
  name?: string | undefined;
  bundles?: string[] | undefined;
  notAfter?: string | undefined;
  /** From now on the policy refuses bundles without a signature that counts. */
  require?: boolean | undefined;
}

/** A name for a key, after its file. @throws AirgapError `usage` */
export function nameFor({ pub, name }: Pick<NewKey, "pub" | "name">): string {
  const found = name ?? pub.replace(/^.*\//, "").replace(/\.(?:pub|pem)$/, "");
  if (KEY_NAME.test(found)) return found;
  throw new AirgapError(
    "usage",
    `'${found}' is not a name for a key: use letters, digits, '.', '_' and '-'`,
    {
      suggestions: [`airgap trust add ${pub} --name site`],
    },
  );
}

/**
 * The known key that vouches for a new one: it signed the new key's SubjectPublicKeyInfo, as `airgap sign NEW.pub`
 * does, or its file, as `cosign sign-blob` does.
 * @throws AirgapError `check-failed` when no key that counts today made the signature
 */
export function voucherOf(policy: Policy, pub: string, file: string): TrustedKey {
  const key = readPublicKey(pub);
  const signature = readSignature(file);
  const contents = [key.spki, readFileSync(pub)];
  const made = (each: TrustedKey): boolean =>
    contents.some((content) => isBy(each.publicKey, signature, content));
  const voucher = policy.keys.find(made);
  const why = voucher === undefined ? unknownSigner(signature) : expired(voucher);
  if (voucher && why === undefined) return voucher;
  throw new AirgapError("check-failed", `${file} does not vouch for ${pub}: ${why}`, {
    exit: Exit.check,
    suggestions: ["airgap trust list", `airgap sign ${pub} --key OLD.key  # where the old private key is`],
  });
}

const unknownSigner = ({ hint }: Signature): string =>
  `it is not a signature over that key by a key that is trusted here${hint ? ` (it names SHA256:${hint.replace(/=+$/, "")})` : ""}`;

/** Whether a key may still vouch: its bundles do not matter, since the new key gets them. */
const expired = ({ bundles: _, ...key }: TrustedKey): string | undefined => {
  const why = whyNot(key, "");
  return why && `the key ${key.name} does not count any more: ${why}`;
};

/**
 * Adds a key to the policy of a folder. Comments and order of the file stay.
 * @throws AirgapError `usage` when a key of that name or that fingerprint is there already, `disk`
 */
export function addKey(folder: string, name: string, { pub, bundles, notAfter, require }: NewKey): PublicKey {
  const key = readPublicKey(pub);
  const path = policyPath(folder);
  const present = existsSync(path) ? readPolicyFile(path).keys : [];
  const same = present.find((each) => each.name === name || each.publicKey.fingerprint === key.fingerprint);
  if (same)
    throw new AirgapError(
      "usage",
      `${path} has the key ${same.name} (${same.publicKey.fingerprint}) already`,
      {
        suggestions:
          same.publicKey.fingerprint === key.fingerprint
            ? ["airgap trust list"]
            : [`airgap trust add ${pub} --name OTHER`, `airgap trust remove ${same.name}`],
      },
    );
  const file = join("trust", `${name}.pub`);
  const entry = { name, file, ...(bundles ? { bundles } : {}), ...(notAfter ? { notAfter } : {}) };
  writing(folder, () => {
    mkdirSync(join(folder, "trust"), { recursive: true });
    replaceFileSync(join(folder, file), key.key.export({ type: "spki", format: "pem" }) as string);
    edit(path, (keys, document) => {
      keys.add(document.createNode(entry));
      if (require) document.set("requireSignature", true);
    });
  });
  readPolicyFile(path);
  return key;
}

/**
 * Takes a key out of the policy of a folder: by its name, its fingerprint or its file.
 * @returns the key that was there @throws AirgapError `usage` when there is none
 */
export function removeKey(folder: string, which: string): TrustedKey {
  const path = policyPath(folder);
  const { keys } = existsSync(path) ? readPolicyFile(path) : { keys: [] };
  const fingerprint = existsSync(which) && which.includes(".") ? fingerprintOf(which) : which;
  const index = keys.findIndex((key) => key.name === which || key.publicKey.fingerprint === fingerprint);
  const found = keys[index];
  if (found === undefined)
    throw new AirgapError("usage", `${path} has no key ${which}`, { suggestions: ["airgap trust list"] });
  writing(folder, () => {
    let file: unknown;
    edit(path, (entries) => {
      file = entries.getIn([index, "file"]);
      entries.delete(index);
    });
    // Only the copy that `trust add` made; a file that somebody named in the policy is theirs.
    if (file === join("trust", `${found.name}.pub`))
      rmSync(resolve(dirname(path), file as string), { force: true });
  });
  return found;
}

function fingerprintOf(path: string): string {
  return parsePublicKey(readFileSync(path, "utf8"), path).fingerprint;
}

function edit(path: string, change: (keys: YAMLSeq, document: Document) => void): void {
  const document = parseDocument(
    existsSync(path) ? readFileSync(path, "utf8") : `${HEAD}requireSignature: false\nkeys: []\n`,
  );
  if (!document.has("keys") || document.get("keys") === null) document.set("keys", document.createNode([]));
  const keys = document.get("keys") as YAMLSeq;
  keys.flow = false;
  change(keys, document);
  replaceFileSync(path, document.toString());
}

function writing(folder: string, work: () => void): void {
  try {
    work();
  } catch (cause) {
    if (cause instanceof AirgapError) throw cause;
    throw new AirgapError("disk", `Cannot change the policy in ${folder}: ${messageOf(cause)}`, { cause });
  }
}
