import { randomBytes, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { hashSync } from "bcryptjs";
import { AirgapError, messageOf } from "../errors.ts";
import { isRecord } from "../oci/descriptor.ts";
import { type KeyedCertificate, makeAuthority, makeCertificate, makeKeyPair } from "../pki/certificate.ts";
import type { Cluster } from "./cluster.ts";
import type { Home } from "./home.ts";

/** What makes a cluster trust itself. Made before anything is planned, so that no step needs a value from an earlier one. */
export interface ClusterKeys {
  ca: KeyedCertificate;
  etcdCa: KeyedCertificate;
  frontProxyCa: KeyedCertificate;
  serviceAccount: { publicKey: string; privateKey: string };
}

/** The registry's certificate, and what its clients have to trust for that. */
export interface SiteTls {
  authority: KeyedCertificate;
  server: KeyedCertificate;
}

export interface Secrets {
  /** Absent where a cluster stands that others made: it keeps its own. */
  keys?: ClusterKeys;
  /** PEM of the authority that API clients trust. */
  ca: string;
  /** Lets hosts join: `abcdef.0123456789abcdef`. */
  joinToken: string;
  /** Of the server that we start. */
  tls?: SiteTls;
  /** PEM of the authority that signed the certificate of the site's registry, where it is not a public one. */
  registryCa?: string;
  registryPassword?: string;
  /** A line for an htpasswd file, for the server that we start. */
  htpasswd?: string;
}

const FILE = "secrets.json";
const CA_DAYS = 3650;
const SERVER_DAYS = 3650;
const AUTHORITY = (cluster: string) => ({ commonName: `airgap ${cluster}`, organization: "airgap", days: CA_DAYS });

interface Kept {
  keys?: ClusterKeys;
  joinToken?: string;
  authority?: KeyedCertificate;
  server?: KeyedCertificate & { hosts: string[] };
  htpasswd?: { user: string; line: string; password: string };
}

function readKept(home: Home): Kept {
  const text = home.read(FILE);
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value as Kept;
  } catch {
    // Told below.
  }
  throw new AirgapError("corrupt", `${home.path(FILE)} is damaged`, {
    suggestions: [
      `if its cluster does not stand, remove it: rm ${home.path(FILE)}`,
      "if it stands, its keys are read from its first control plane: move the file away",
    ],
  });
}

async function makeKeys(): Promise<ClusterKeys> {
  // Names as kubeadm gives them.
  const make = (commonName: string): Promise<KeyedCertificate> => makeAuthority({ commonName, days: CA_DAYS });
  const [ca, etcdCa, frontProxyCa, serviceAccount] = await Promise.all([make("kubernetes"), make("etcd-ca"), make("front-proxy-ca"), makeKeyPair()]);
  return { ca, etcdCa, frontProxyCa, serviceAccount };
}

/** kubeadm's form: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/ */
export function newToken(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  const word = (length: number): string => [...randomBytes(length)].map((byte) => letters[byte % letters.length]).join("");
  return `${word(6)}.${word(16)}`;
}

/** Under which names and addresses our server is asked for. */
function serverNames({ registry, repository, hosts }: Cluster): string[] {
  const host = hosts.find(({ name }) => name === repository.host);
  const own = registry.mode === "serve" ? [registry.host, ...(registry.address ? [registry.address] : [])] : [];
  return [...new Set([...own, ...(host ? [host.name, host.address] : []), "localhost", "127.0.0.1"])];
}

const servesTls = ({ registry }: Cluster): boolean => registry.scheme === "https" || registry.mode !== "serve";

async function makeTls(cluster: Cluster, kept: Kept): Promise<SiteTls> {
  const authority = kept.authority ?? (await makeAuthority(AUTHORITY(cluster.name)));
  const hosts = serverNames(cluster);
  const fits = kept.server !== undefined && hosts.every((host) => kept.server?.hosts.includes(host)) && stillValid(kept.server.cert);
  const server =
    fits && kept.server
      ? kept.server
      : await makeCertificate(
          { ...authority, name: AUTHORITY(cluster.name) },
          { commonName: hosts.find((host) => !isIP(host)) ?? "airgap", days: SERVER_DAYS, hosts, usage: ["server"] },
        );
  kept.authority = authority;
  kept.server = { ...server, hosts };
  return { authority, server: { cert: server.cert, key: server.key } };
}

const stillValid = (cert: string): boolean => Date.parse(new X509Certificate(cert).validTo) - Date.now() > 90 * 86_400_000;

function variable(name: string, key: string): string {
  const value = process.env[name];
  if (value !== undefined && value !== "") return value;
  throw new AirgapError("usage", `${key} names the variable ${name}, which is not set`, { suggestions: [`export ${name}=…`] });
}

/** The value of a variable that the cluster file names; undefined when it names none. @throws AirgapError `usage` */
export function fromEnvironment(name: string | undefined, key: string): string | undefined {
  return name === undefined ? undefined : variable(name, key);
}

function htpasswd({ registry }: Cluster, password: string | undefined, kept: Kept): string | undefined {
  if (registry.user === undefined || password === undefined || registry.mode !== "serve") return undefined;
  // The salt is random: the line stays as long as user and password do.
  if (kept.htpasswd?.user !== registry.user || kept.htpasswd.password !== password) {
    kept.htpasswd = { user: registry.user, password, line: `${registry.user}:${hashSync(password, 10)}` };
  }
  return kept.htpasswd.line;
}

function readCa(file: string): string {
  try {
    const text = readFileSync(file, "utf8");
    void new X509Certificate(text);
    return text.endsWith("\n") ? text : `${text}\n`;
  } catch (cause) {
    throw new AirgapError("spec", `registry.caFile: ${file} is no readable certificate: ${messageOf(cause)}`, { cause });
  }
}

/** A cluster that stands already. */
export interface Standing {
  /** PEM. */
  ca: string;
}

/**
 * Secrets of a cluster: those kept beside the cluster file, made where they are missing. Where a
 * cluster stands, its own authority wins, and tokens are made anew for each run.
 * @throws AirgapError
 */
export async function loadSecrets(cluster: Cluster, home: Home, standing: Standing | undefined): Promise<Secrets> {
  const kept = readKept(home);
  const foreign = standing !== undefined && kept.keys?.ca.cert.trim() !== standing.ca.trim();
  if (!foreign) kept.keys ??= await makeKeys();
  kept.joinToken ??= newToken();
  const password = fromEnvironment(cluster.registry.passwordEnv, "registry.passwordEnv");
  const tls = servesTls(cluster) ? await makeTls(cluster, kept) : undefined;
  const line = htpasswd(cluster, password, kept);
  home.write(FILE, `${JSON.stringify(kept, undefined, 1)}\n`);
  const { caFile, mode, scheme } = cluster.registry;
  const registryCa = mode === "serve" ? (scheme === "https" ? tls?.authority.cert : undefined) : caFile ? readCa(caFile) : undefined;
  return {
    ...(foreign || !kept.keys ? {} : { keys: kept.keys }),
    ca: standing?.ca ?? kept.keys?.ca.cert ?? "",
    joinToken: standing === undefined ? kept.joinToken : newToken(),
    ...(tls ? { tls } : {}),
    ...(registryCa ? { registryCa } : {}),
    ...(password === undefined ? {} : { registryPassword: password }),
    ...(line === undefined ? {} : { htpasswd: line }),
  };
}

/** Everything that must not be seen: for logs, messages and shown files. */
export function secretTexts(secrets: Secrets): string[] {
  const { keys, tls } = secrets;
  const privateKeys = [keys?.ca.key, keys?.etcdCa.key, keys?.frontProxyCa.key, keys?.serviceAccount.privateKey, tls?.authority.key, tls?.server.key];
  const password = secrets.registryPassword;
  return [
    ...privateKeys.flatMap((key) => (key ? key.split("\n").filter((line) => line.length > 20 && !line.startsWith("-----")) : [])),
    secrets.joinToken,
    secrets.joinToken.slice(7),
    ...(password ? [password, Buffer.from(password).toString("base64")] : []),
    ...(secrets.htpasswd ? [secrets.htpasswd.slice(secrets.htpasswd.indexOf(":") + 1)] : []),
  ];
}
