import { createHash } from "node:crypto";
import { AirgapError } from "../../errors.ts";
import type { KeyRing } from "../keys.ts";
import { verifyDetached } from "../openpgp.ts";
import { type RpmHeaders, SignatureTag, Tag } from "./header.ts";
import { formatEvr } from "./version.ts";

/** rpm's numbers of hash algorithms are OpenPGP's. */
const HASHES: Record<number, string> = {
  1: "md5",
  2: "sha1",
  8: "sha256",
  9: "sha384",
  10: "sha512",
  11: "sha224",
};

/** Who signed a package, and how. */
export interface PackageSignature {
  /** Fingerprint of the key. */
  key: string;
  hash: string;
}

/** What follows from a package's own header. */
export interface RpmFacts {
  signature?: PackageSignature;
  /** Digest of the payload as the signed header has it: algorithm as Node's crypto calls it, and hex digits. */
  payload?: { algorithm: string; value: string };
  /** `rpmlib(...)` requirements: what the rpm that installs it must be able to do. */
  rpmlib: string[];
  modularityLabel?: string;
}

export interface InspectOptions {
  headers: RpmHeaders;
  /** As the metadata say. */
  expected: { name: string; version: string; arch: string };
  keys: KeyRing;
  /** The spec accepts it without a signature. */
  mayBeUnsigned: boolean;
  what: string;
}

/**
 * Checks a package's header: its own digest, name, version and architecture against the
 * repository's metadata, and its signature against the repository's keys.
 * @throws AirgapError `corrupt`
 */
export async function inspectRpm({
  headers,
  expected,
  keys,
  mayBeUnsigned,
  what,
}: InspectOptions): Promise<RpmFacts> {
  const { main, signature, region } = headers;
  const found = {
    name: main.string(Tag.name) ?? "",
    version: formatEvr(
      String(main.number(Tag.epoch) ?? 0),
      main.string(Tag.version) ?? "",
      main.string(Tag.release),
    ),
    arch: main.string(Tag.arch) ?? "",
  };
  for (const key of ["name", "version", "arch"] as const) {
    if (found[key] !== expected[key])
      throw new AirgapError(
        "corrupt",
        `${what} is not the package that its repository says: expected ${key} ${expected[key]}, found ${JSON.stringify(found[key].slice(0, 200))}`,
      );
  }
  const digest = signature.string(SignatureTag.sha256);
  const actual = createHash("sha256").update(region).digest("hex");
  if (digest !== undefined && digest !== actual)
    throw new AirgapError(
      "corrupt",
      `${what} has a changed header: expected sha256 ${digest.slice(0, 64)}, found ${actual}`,
    );
  const signedBy = await checkSignature({ headers, keys, mayBeUnsigned, what });
  const label = main.string(Tag.modularityLabel);
  const payload = payloadDigest(headers);
  return {
    ...(signedBy ? { signature: signedBy } : {}),
    ...(payload ? { payload } : {}),
    rpmlib: main.strings(Tag.requireName).filter((name) => name.startsWith("rpmlib(")),
    ...(label && label !== "(none)" ? { modularityLabel: label } : {}),
  };
}

function payloadDigest({ main }: RpmHeaders): RpmFacts["payload"] {
  const value = main.string(Tag.payloadDigest);
  const algorithm = HASHES[main.number(Tag.payloadDigestAlgorithm) ?? 8];
  return value !== undefined && algorithm !== undefined && /^[0-9a-f]+$/.test(value)
    ? { algorithm, value }
    : undefined;
}

async function checkSignature({
  headers,
  keys,
  mayBeUnsigned,
  what,
}: Omit<InspectOptions, "expected">): Promise<PackageSignature | undefined> {
  const { signature, region } = headers;
  const armored = signature.has(SignatureTag.openpgp) ? signature.string(SignatureTag.openpgp) : undefined;
  const bytes =
    signature.bytes(SignatureTag.rsa) ??
    signature.bytes(SignatureTag.dsa) ??
    (armored ? Buffer.from(armored, "base64") : undefined);
  if (bytes !== undefined && !mayBeUnsigned) {
    const good = await verifyDetached({ content: region, signature: bytes, keys, what });
    return { key: good.fingerprint, hash: good.hash };
  }
  if (mayBeUnsigned) {
    const good =
      bytes && keys.files.length > 0
        ? await verifyDetached({ content: region, signature: bytes, keys, what }).catch(() => undefined)
        : undefined;
    return good && { key: good.fingerprint, hash: good.hash };
  }
  const old = signature.has(SignatureTag.pgp) || signature.has(SignatureTag.gpg);
  throw new AirgapError(
    "corrupt",
    `${what} ${old ? "is signed in a way that rpm gave up in 2001, over header and payload together" : "has no signature"}, and hosts with gpgcheck=1 refuse it`,
    {
      suggestions: [
        `unsigned: ["${what.split(" ")[0]?.replace(/-[^-]+-[^-]+$/, "") ?? "NAME"}"]  # in the set, when it is to be carried all the same`,
      ],
    },
  );
}
