import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { type KeyedCertificate, makeAuthority, makeCertificate } from "../pki/certificate.ts";
import { type Cluster, serversOf } from "./cluster.ts";

/** The certificate of the server that airgap starts, and the authority that its clients must trust. */
export interface SiteTls {
  /** PEM of the authority. */
  ca: string;
  /** Without its key when another operator's machine made it: then its host keeps the certificate that it has. */
  server: { cert: string; key?: string };
}

/** The public part that a site has already. PEM. */
export interface ExistingTls {
  ca: string;
  cert: string;
}

/** The part that this machine keeps. */
export interface KeptTls {
  authority?: KeyedCertificate;
  server?: KeyedCertificate;
}

const DAYS = 3650;
/** Days before its expiry that a certificate is renewed. */
const RENEWED = 90;

/** Names and addresses of the server, and of Harbor where it gets this certificate too. */
function serverNames(cluster: Cluster): string[] {
  const { registry } = cluster;
  const servers = serversOf(cluster).flatMap(({ name, address }) => [name, address]);
  const served = registry.mode === "serve" || registry.harbor !== undefined;
  const own =
    served && registry.harbor?.certFile === undefined
      ? [registry.host, ...(registry.address ? [registry.address] : [])]
      : [];
  return [...new Set([...own, ...servers, "localhost", "127.0.0.1"])];
}

/** Whether a certificate has these names, is not about to expire, and is signed by that authority. */
function fits(cert: string, ca: string, names: string[]): boolean {
  try {
    const [own, authority] = [new X509Certificate(cert), new X509Certificate(ca)];
    const named = names.every((name) => (isIP(name) ? own.checkIP(name) : own.checkHost(name)) !== undefined);
    const lasts = Date.parse(own.validTo) - Date.now() > RENEWED * 86_400_000;
    return named && lasts && own.checkIssued(authority) && own.verify(authority.publicKey);
  } catch {
    return false;
  }
}

/**
 * The authority and certificate of a site: those that the site has, else those that this machine made
 * before, else new ones, which are added to `kept`.
 * @param existing what the serving host has, if it serves already
 */
export async function siteTls(
  cluster: Cluster,
  kept: KeptTls,
  existing: ExistingTls | undefined,
): Promise<SiteTls> {
  const names = serverNames(cluster);
  const ours = kept.authority !== undefined && existing?.ca.trim() === kept.authority.cert.trim();
  if (existing !== undefined && fits(existing.cert, existing.ca, names)) {
    const key = ours && kept.server?.cert.trim() === existing.cert.trim() ? kept.server.key : undefined;
    return { ca: existing.ca, server: { cert: existing.cert, ...(key ? { key } : {}) } };
  }
  const subject = { commonName: `airgap ${cluster.name}`, organization: "airgap", days: DAYS };
  kept.authority ??= await makeAuthority(subject);
  if (kept.server === undefined || !fits(kept.server.cert, kept.authority.cert, names)) {
    kept.server = await makeCertificate(
      { ...kept.authority, name: subject },
      {
        commonName: names.find((name) => !isIP(name)) ?? "airgap",
        days: DAYS,
        hosts: names,
        usage: ["server"],
      },
    );
  }
  return { ca: kept.authority.cert, server: { cert: kept.server.cert, key: kept.server.key } };
}
