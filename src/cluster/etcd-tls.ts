import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { AirgapError, messageOf } from "../errors.ts";
import { type KeyedCertificate, makeCertificate } from "../pki/certificate.ts";
import { type Cluster, hostsOf } from "./cluster.ts";

/** What the members of an external etcd and the API server show each other. PEM. */
export interface EtcdTls {
  /** The authority that both sides trust. */
  ca: string;
  /** The API server's own certificate. */
  client: KeyedCertificate;
  /** By host; one certificate for clients and peers. Empty when somebody else's etcd is used. */
  members: Record<string, KeyedCertificate>;
}

/** The part that this machine keeps. */
export interface KeptEtcdTls {
  client?: KeyedCertificate;
  members?: Record<string, KeyedCertificate>;
}

/** kubeadm's name for its own etcd authority. */
const AUTHORITY = { commonName: "etcd-ca" };
const DAY = 86_400_000;

/** Most days before its expiry that a certificate is renewed. */
const RENEWED = 90;

interface Wanted {
  hosts: string[];
  days: number;
}

/** Whether a certificate has these names, was signed by that authority, and has a third of its time or 90 days left. */
function fits({ cert }: KeyedCertificate, ca: string, { hosts, days }: Wanted): boolean {
  try {
    const [own, authority] = [new X509Certificate(cert), new X509Certificate(ca)];
    const named = hosts.every((name) => (isIP(name) ? own.checkIP(name) : own.checkHost(name)) !== undefined);
    const lasts = Date.parse(own.validTo) - Date.now() > Math.min(RENEWED, days / 3) * DAY;
    return named && lasts && own.checkIssued(authority) && own.verify(authority.publicKey);
  } catch {
    return false;
  }
}

/** Names and addresses of a member: etcd also dials itself, by loopback. */
const namesOf = ({ name, address }: { name: string; address: string }): string[] => [
  name,
  address,
  "localhost",
  "127.0.0.1",
  "::1",
];

/**
 * Certificates of the members that airgap installs: those that were made before and still fit, else new ones, which are
 * added to `kept`. None is valid longer than the authority.
 * @param renew makes all of them again
 */
export async function makeEtcdTls(
  cluster: Cluster,
  authority: KeyedCertificate,
  kept: KeptEtcdTls,
  renew = false,
): Promise<EtcdTls> {
  const { etcd } = cluster;
  const most = Math.floor((Date.parse(new X509Certificate(authority.cert).validTo) - Date.now()) / DAY);
  const days = Math.max(1, Math.min(etcd.mode === "external" ? etcd.certificateDays : RENEWED, most));
  const make = async (
    old: KeyedCertificate | undefined,
    commonName: string,
    hosts: string[],
    usage: ("server" | "client")[],
    organization?: string,
  ): Promise<KeyedCertificate> =>
    !renew && old && fits(old, authority.cert, { hosts, days })
      ? old
      : makeCertificate(
          { ...authority, name: AUTHORITY },
          { commonName, ...(organization ? { organization } : {}), days, hosts, usage },
        );
  const members = await Promise.all(
    hostsOf(cluster, "etcd").map(
      async (host) =>
        [
          host.name,
          await make(kept.members?.[host.name], host.name, namesOf(host), ["server", "client"]),
        ] as const,
    ),
  );
  kept.members = { ...kept.members, ...Object.fromEntries(members) };
  kept.client = await make(
    kept.client,
    "kube-apiserver-etcd-client",
    [],
    ["client"],
    // As kubeadm's own; etcd itself looks at the authority only.
    "system:masters",
  );
  return { ca: authority.cert, client: kept.client, members: Object.fromEntries(members) };
}

/** The files of an etcd that exists already. @throws AirgapError `spec` for one that is not what it must be */
export function readEtcdTls({
  caFile,
  certFile,
  keyFile,
}: {
  caFile: string;
  certFile: string;
  keyFile: string;
}): EtcdTls {
  const read = <T>(key: string, file: string, what: string, parse: (text: string) => T): T => {
    try {
      return parse(readFileSync(file, "utf8"));
    } catch (cause) {
      throw new AirgapError("spec", `etcd.${key}: ${file} is not a readable ${what}: ${messageOf(cause)}`, {
        cause,
      });
    }
  };
  const certificate = (text: string): string => new X509Certificate(text) && withEnd(text);
  const ca = read("caFile", caFile, "certificate", certificate);
  const cert = read("certFile", certFile, "certificate", certificate);
  const key = read("keyFile", keyFile, "private key", (text) => createPrivateKey(text) && withEnd(text));
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
    throw new AirgapError("spec", `etcd: the key ${keyFile} does not belong to the certificate ${certFile}`);
  return { ca, client: { cert, key }, members: {} };
}

const withEnd = (text: string): string => `${text.trimEnd()}\n`;
