import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { replaceFileSync } from "../../atomic.ts";
import { AirgapError, messageOf } from "../../errors.ts";
import { type KeyedCertificate, makeAuthority, makeCertificate } from "../../pki/certificate.ts";

/** Ten years, for both, so that nobody has to restart a server in between. */
const DAYS = 3650;
/** A certificate that is this close to its end is made again. Milliseconds. */
const RENEW = 365 * 24 * 3600 * 1000;

/** A server's certificate, and the authority that its clients need. */
export interface SelfSigned {
  tls: KeyedCertificate;
  authority: {
    /** PEM. */
    cert: string;
    file: string;
    /** SHA-256 of the certificate, `AB:CD:…`. */
    fingerprint: string;
  };
}

function kept(directory: string, name: string): KeyedCertificate | undefined {
  try {
    return {
      cert: readFileSync(join(directory, `${name}.crt`), "utf8"),
      key: readFileSync(join(directory, `${name}.key`), "utf8"),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The key first: a certificate without its key is not looked for. */
function keepPair(directory: string, name: string, pair: KeyedCertificate): KeyedCertificate {
  replaceFileSync(join(directory, `${name}.key`), pair.key, 0o600);
  replaceFileSync(join(directory, `${name}.crt`), pair.cert, 0o644);
  return pair;
}

/** Whether a certificate can still be used: it is signed by this authority, for all these names, and valid for long enough. */
function stillGood({ cert, key }: KeyedCertificate, authority: X509Certificate, names: string[]): boolean {
  const own = new X509Certificate(cert);
  const covers = (name: string): boolean =>
    (isIP(name) ? own.checkIP(name) : own.checkHost(name)) !== undefined;
  const fresh = new Date(own.validTo).getTime() - Date.now() > RENEW;
  return (
    fresh &&
    own.checkPrivateKey(createPrivateKey(key)) &&
    own.verify(authority.publicKey) &&
    names.every(covers)
  );
}

/** The name in a certificate that we have made: a line for each part. */
function nameIn(certificate: X509Certificate): { commonName: string; organization?: string } {
  const part = (attribute: string): string | undefined =>
    new RegExp(`^${attribute}=(.*)$`, "m").exec(certificate.subject)?.[1];
  const organization = part("O");
  return { commonName: part("CN") ?? "", ...(organization === undefined ? {} : { organization }) };
}

/**
 * A server certificate by an authority that is kept in a directory (`ca.crt`, `ca.key`,
 * `server.crt`, `server.key`); both are made when they are missing.
 * @param names host names and addresses under which clients come
 * @throws AirgapError `disk`; `environment` when the authority has expired or does not fit its key
 */
export async function selfSigned(
  directory: string,
  names: string[],
  commonName: string,
): Promise<SelfSigned> {
  const file = join(directory, "ca.crt");
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const pair =
      kept(directory, "ca") ??
      keepPair(directory, "ca", await makeAuthority({ commonName, organization: "airgap", days: DAYS }));
    const authority = new X509Certificate(pair.cert);
    checkAuthority(directory, authority, pair.key);
    const server = kept(directory, "server");
    const tls =
      server && stillGood(server, authority, names)
        ? server
        : keepPair(directory, "server", await issue(pair, authority, names));
    return { tls, authority: { cert: pair.cert, file, fingerprint: authority.fingerprint256 } };
  } catch (cause) {
    if (cause instanceof AirgapError) throw cause;
    throw new AirgapError("disk", `The certificates in ${directory} cannot be used: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function checkAuthority(directory: string, authority: X509Certificate, key: string): void {
  const suggestions = [`rm ${join(directory, "ca.crt")} ${join(directory, "ca.key")}`];
  if (!authority.checkPrivateKey(createPrivateKey(key)))
    throw new AirgapError("environment", `ca.key in ${directory} is not the key of ca.crt`, { suggestions });
  if (new Date(authority.validTo).getTime() > Date.now()) return;
  throw new AirgapError(
    "environment",
    `The authority ${join(directory, "ca.crt")} has expired on ${authority.validTo}`,
    { suggestions },
  );
}

async function issue(
  pair: KeyedCertificate,
  authority: X509Certificate,
  names: string[],
): Promise<KeyedCertificate> {
  const days = Math.floor((new Date(authority.validTo).getTime() - Date.now()) / 86_400_000);
  const made = await makeCertificate(
    { ...pair, name: nameIn(authority) },
    { commonName: names[0] ?? "localhost", hosts: names, usage: ["server"], days },
  );
  return { key: made.key, cert: made.cert + pair.cert };
}
