import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AirgapError, messageOf } from "../errors.ts";
import { type Issuer, issueCertificate, type KeyPair, nameOf, newKey, type Subject, subjectName } from "./certificate.ts";

const DAY = 24 * 3600 * 1000;
const YEARS = 10 * 365 * DAY;
/** Clocks of isolated hosts are off by a time zone, or by a day. */
const BACKDATE = 2 * DAY;

/** A certificate authority that stands in a directory, and signs what this machine serves. */
export interface Authority {
  /** PEM; what clients are told to trust. */
  cert: string;
  certFile: string;
  /** SHA-256 of the certificate, `AB:CD:…`. */
  fingerprint: string;
  issuer: Issuer;
  notAfter: Date;
}

function create(subject: Subject): KeyPair {
  const { key, publicKey } = newKey();
  const notBefore = new Date(Date.now() - BACKDATE);
  const cert = issueCertificate({
    subject,
    publicKey,
    issuer: { name: nameOf(subject), key, publicKey },
    notBefore,
    notAfter: new Date(Date.now() + YEARS),
    authority: true,
  });
  return { key: key.export({ type: "pkcs8", format: "pem" }) as string, cert };
}

function keep(path: string, text: string, mode: number): void {
  const draft = `${path}.${process.pid}.new`;
  writeFileSync(draft, text, { mode });
  chmodSync(draft, mode);
  renameSync(draft, path);
}

/**
 * The authority of a directory (`ca.crt`, `ca.key`), made there when there is none.
 * @throws AirgapError `disk` when it can't be read or written, `environment` when it has expired
 */
export function keptAuthority(directory: string, subject: Subject): Authority {
  const certFile = join(directory, "ca.crt");
  const keyFile = join(directory, "ca.key");
  try {
    if (!existsSync(certFile) || !existsSync(keyFile)) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      const made = create(subject);
      keep(keyFile, made.key, 0o600);
      keep(certFile, made.cert, 0o644);
    }
    return read(certFile, keyFile);
  } catch (cause) {
    if (cause instanceof AirgapError) throw cause;
    throw new AirgapError("disk", `The certificate authority in ${directory} can't be used: ${messageOf(cause)}`, { cause });
  }
}

function read(certFile: string, keyFile: string): Authority {
  const cert = readFileSync(certFile, "utf8");
  const certificate = new X509Certificate(cert);
  const key = createPrivateKey(readFileSync(keyFile));
  const notAfter = new Date(certificate.validTo);
  if (!certificate.checkPrivateKey(key)) throw new AirgapError("environment", `${keyFile} is not the key of ${certFile}`);
  if (notAfter.getTime() < Date.now()) {
    throw new AirgapError("environment", `The authority ${certFile} has expired on ${certificate.validTo}`, { suggestions: [`rm ${certFile} ${keyFile}`] });
  }
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  return { cert, certFile, fingerprint: certificate.fingerprint256, issuer: { name: subjectName(certificate), key, publicKey }, notAfter };
}

/**
 * A new server certificate, as long valid as its authority, so that nothing has to be restarted in between.
 * @param names host names and IP addresses under which it is reached
 */
export function issueServer(authority: Authority, names: string[]): KeyPair {
  const { key, publicKey } = newKey();
  const cert = issueCertificate({
    subject: { commonName: names[0] ?? "localhost" },
    publicKey,
    issuer: authority.issuer,
    notBefore: new Date(Date.now() - BACKDATE),
    notAfter: authority.notAfter,
    names,
    usages: ["server"],
  });
  return { key: key.export({ type: "pkcs8", format: "pem" }) as string, cert: cert + authority.cert };
}
