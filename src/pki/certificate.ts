import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import { isIP } from "node:net";
import { promisify } from "node:util";
import { addressBytes } from "../address.ts";
import {
  bits,
  boolean,
  explicit,
  implicit,
  integer,
  nothing,
  octets,
  oid,
  sequence,
  set,
  time,
  utf8,
} from "./der.ts";

/** A certificate and its key, both PEM; the key is PKCS #8. */
export interface KeyedCertificate {
  cert: string;
  key: string;
}

export interface Subject {
  commonName: string;
  organization?: string;
}

export interface AuthorityOptions extends Subject {
  /** Validity from now, in days. */
  days: number;
}

export interface LeafOptions extends AuthorityOptions {
  /** Names and addresses of the certificate. */
  hosts: string[];
  usage: ("server" | "client")[];
}

const DAY = 86_400_000;
/** Validity begins in the past, because hosts' clocks may be behind ours. */
const BACKDATED = 3_600_000;
const SHA256_WITH_RSA = sequence(oid("1.2.840.113549.1.1.11"), nothing());
const ID = {
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  server: "1.3.6.1.5.5.7.3.1",
  client: "1.3.6.1.5.5.7.3.2",
};

const generate = promisify(generateKeyPair);

async function rsaKey(): Promise<KeyObject> {
  return (await generate("rsa", { modulusLength: 2048 })).privateKey;
}

function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

const keyPem = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();
const spki = (key: KeyObject): Buffer => createPublicKey(key).export({ type: "spki", format: "der" });

function nameOf({ commonName, organization }: Subject): Buffer {
  const part = (id: string, value: string): Buffer => set(sequence(oid(id), utf8(value)));
  return sequence(
    ...(organization ? [part(ID.organization, organization)] : []),
    part(ID.commonName, commonName),
  );
}

/** RFC 5280, 4.2.1.2: the hash of the key's bits without the ASN.1 header. */
function keyId(key: KeyObject): Buffer {
  const { n = "", e = "" } = createPublicKey(key).export({ format: "jwk" });
  return createHash("sha1")
    .update(sequence(integer(Buffer.from(n, "base64url")), integer(Buffer.from(e, "base64url"))))
    .digest();
}

const extension = (id: string, critical: boolean, value: Uint8Array): Buffer =>
  sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));

const altNames = (hosts: string[]): Buffer =>
  sequence(
    ...hosts.map((host) => (isIP(host) ? implicit(7, addressBytes(host)) : implicit(2, Buffer.from(host)))),
  );

interface Issued {
  subject: AuthorityOptions;
  issuerName: Buffer;
  issuerKey: KeyObject;
  key: KeyObject;
  extensions: Buffer[];
}

function issue({ subject, issuerName, issuerKey, key, extensions }: Issued): string {
  const now = Date.now();
  // RFC 5280, 4.1.2.2: positive, at most 20 bytes.
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const all = [
    extension("2.5.29.14", false, octets(keyId(key))),
    extension("2.5.29.35", false, sequence(implicit(0, keyId(issuerKey)))),
    ...extensions,
  ];
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(serial),
    SHA256_WITH_RSA,
    issuerName,
    sequence(time(new Date(now - BACKDATED)), time(new Date(now + subject.days * DAY))),
    nameOf(subject),
    spki(key),
    explicit(3, sequence(...all)),
  );
  return pem("CERTIFICATE", sequence(body, SHA256_WITH_RSA, bits(sign("sha256", body, issuerKey))));
}

/** A new self-signed authority. RSA 2048, like kubeadm's. */
export async function makeAuthority(options: AuthorityOptions): Promise<KeyedCertificate> {
  const key = await rsaKey();
  // keyUsage: digitalSignature, keyEncipherment, keyCertSign; kubeadm's authorities have the same.
  const extensions = [
    extension("2.5.29.19", true, sequence(boolean(true))),
    extension("2.5.29.15", true, bits(Buffer.from([0xa4]), 2)),
  ];
  return {
    cert: issue({ subject: options, issuerName: nameOf(options), issuerKey: key, key, extensions }),
    key: keyPem(key),
  };
}

/** A certificate with a new key, signed by `authority`. */
export async function makeCertificate(
  authority: KeyedCertificate & { name: Subject },
  options: LeafOptions,
): Promise<KeyedCertificate> {
  const key = await rsaKey();
  const extensions = [
    extension("2.5.29.19", true, sequence()),
    extension("2.5.29.15", true, bits(Buffer.from([0xa0]), 5)),
    extension("2.5.29.37", false, sequence(...options.usage.map((usage) => oid(ID[usage])))),
    ...(options.hosts.length > 0 ? [extension("2.5.29.17", false, altNames(options.hosts))] : []),
  ];
  const cert = issue({
    subject: options,
    issuerName: nameOf(authority.name),
    issuerKey: createPrivateKey(authority.key),
    key,
    extensions,
  });
  return { cert, key: keyPem(key) };
}

/** A key pair for signing service accounts' tokens. */
export async function makeKeyPair(): Promise<{ publicKey: string; privateKey: string }> {
  const key = await rsaKey();
  return {
    privateKey: keyPem(key),
    publicKey: createPublicKey(key).export({ type: "spki", format: "pem" }).toString(),
  };
}

/** The last answer of `publicKeyHash`: a plan asks about one authority, once for each host. */
let lastHash = { cert: "", hash: "" };

/** `sha256:…` of an authority's public key, for kubeadm's `caCertHashes`. */
export function publicKeyHash(cert: string): string {
  if (lastHash.cert !== cert) {
    const key = new X509Certificate(cert).publicKey.export({ type: "spki", format: "der" });
    lastHash = { cert, hash: `sha256:${createHash("sha256").update(key).digest("hex")}` };
  }
  return lastHash.hash;
}
