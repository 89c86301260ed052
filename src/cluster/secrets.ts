import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { encodeBase64, hashSync } from "bcryptjs";
import { AirgapError, messageOf } from "../errors.ts";
import { isRecord } from "../oci/descriptor.ts";
import { type KeyedCertificate, makeAuthority, makeKeyPair } from "../pki/certificate.ts";
import type { StateDir } from "../plan/state-dir.ts";
import type { Cluster } from "./cluster.ts";
import { type KeptTls, type SiteTls, type StandingTls, siteTls } from "./site-tls.ts";

/** What makes a cluster trust itself. Made before anything is planned, so that no step needs a value from an earlier one. */
export interface ClusterKeys {
  ca: KeyedCertificate;
  etcdCa: KeyedCertificate;
  frontProxyCa: KeyedCertificate;
  serviceAccount: { publicKey: string; privateKey: string };
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

interface Kept extends KeptTls {
  keys?: ClusterKeys;
  joinToken?: string;
}

function readKept(home: StateDir): Kept {
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
  const make = (commonName: string): Promise<KeyedCertificate> =>
    makeAuthority({ commonName, days: CA_DAYS });
  const [ca, etcdCa, frontProxyCa, serviceAccount] = await Promise.all([
    make("kubernetes"),
    make("etcd-ca"),
    make("front-proxy-ca"),
    makeKeyPair(),
  ]);
  return { ca, etcdCa, frontProxyCa, serviceAccount };
}

/** kubeadm's form: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/ */
export function newToken(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  const word = (length: number): string =>
    [...randomBytes(length)].map((byte) => letters[byte % letters.length]).join("");
  return `${word(6)}.${word(16)}`;
}

const servesTls = ({ registry }: Cluster): boolean =>
  registry.scheme === "https" || registry.mode !== "serve";

function variable(name: string, key: string): string {
  const value = process.env[name];
  if (value !== undefined && value !== "") return value;
  throw new AirgapError("usage", `${key} names the variable ${name}, which is not set`, {
    suggestions: [`export ${name}=…`],
  });
}

/** The value of a variable that the cluster file names; undefined when it names none. @throws AirgapError `usage` */
export function fromEnvironment(name: string | undefined, key: string): string | undefined {
  return name === undefined ? undefined : variable(name, key);
}

/**
 * A line for an htpasswd file. Its salt is the site's own and the same each time, so the same user
 * and password give the same line from every operator's machine.
 */
function htpasswd({ name, registry }: Cluster, password: string | undefined, ca: string): string | undefined {
  if (registry.user === undefined || password === undefined || registry.mode !== "serve") return undefined;
  const salt = createHash("sha256")
    .update(JSON.stringify([name, registry.host, registry.user, ca]))
    .digest()
    .subarray(0, 16);
  return `${registry.user}:${hashSync(password, `$2b$10$${encodeBase64(salt, 16)}`)}`;
}

/** One certificate or several, PEM or DER, as PEM of the usual form: systems look for its very lines. */
function readCa(file: string): string {
  try {
    const bytes = readFileSync(file);
    const found = bytes
      .toString("latin1")
      .match(/-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE)-----[^-]+-----END \1-----/g);
    const certificates = found ?? [bytes];
    return certificates.map((each) => new X509Certificate(each).toString()).join("");
  } catch (cause) {
    throw new AirgapError(
      "spec",
      `registry.caFile: ${file} is no readable certificate: ${messageOf(cause)}`,
      { cause },
    );
  }
}

/** What stands already. */
export interface Standing {
  /** PEM of the cluster's authority. */
  ca?: string;
  /** Of the site's server. */
  tls?: StandingTls;
}

/**
 * Secrets of a cluster: those kept beside the cluster file, made where they are missing. Where a
 * cluster stands, its own authorities win, from whichever machine it was set up, and tokens are made
 * anew for each run.
 * @throws AirgapError
 */
export async function loadSecrets(cluster: Cluster, home: StateDir, standing: Standing): Promise<Secrets> {
  const kept = readKept(home);
  const foreign = standing.ca !== undefined && kept.keys?.ca.cert.trim() !== standing.ca.trim();
  if (!foreign) kept.keys ??= await makeKeys();
  kept.joinToken ??= newToken();
  const password = fromEnvironment(cluster.registry.passwordEnv, "registry.passwordEnv");
  const tls = servesTls(cluster) ? await siteTls(cluster, kept, standing.tls) : undefined;
  const line = htpasswd(cluster, password, tls?.ca ?? "");
  home.write(FILE, `${JSON.stringify(kept, undefined, 1)}\n`);
  const { caFile, mode, scheme } = cluster.registry;
  const registryCa =
    mode === "serve" ? (scheme === "https" ? tls?.ca : undefined) : caFile ? readCa(caFile) : undefined;
  return {
    ...(foreign || !kept.keys ? {} : { keys: kept.keys }),
    ca: standing.ca ?? kept.keys?.ca.cert ?? "",
    joinToken: standing.ca === undefined ? kept.joinToken : newToken(),
    ...(tls ? { tls } : {}),
    ...(registryCa ? { registryCa } : {}),
    ...(password === undefined ? {} : { registryPassword: password }),
    ...(line === undefined ? {} : { htpasswd: line }),
  };
}

/**
 * What base64 makes of a text, wherever in a longer text it begins: `user:password` of a login among
 * them. Only the letters that are the text's own.
 */
function inBase64(text: string): string[] {
  const bytes = Buffer.from(text);
  return [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
    return encoded.slice(Math.ceil((before * 4) / 3), Math.floor(((before + bytes.length) * 4) / 3));
  });
}

/** Everything that must not be seen: for logs, messages and shown files. */
export function secretTexts(secrets: Secrets): string[] {
  const { keys, tls } = secrets;
  const privateKeys = [
    keys?.ca.key,
    keys?.etcdCa.key,
    keys?.frontProxyCa.key,
    keys?.serviceAccount.privateKey,
    tls?.server.key,
  ];
  const password = secrets.registryPassword;
  return [
    ...privateKeys.flatMap((key) =>
      key ? key.split("\n").filter((line) => line.length > 20 && !line.startsWith("-----")) : [],
    ),
    secrets.joinToken,
    secrets.joinToken.slice(7),
    ...inBase64(secrets.joinToken.slice(7)),
    ...(password ? [password, JSON.stringify(password).slice(1, -1), ...inBase64(password)] : []),
    ...(secrets.htpasswd ? [secrets.htpasswd.slice(secrets.htpasswd.indexOf(":") + 1)] : []),
  ];
}
