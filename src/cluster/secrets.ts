import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { encodeBase64, hashSync } from "bcryptjs";
import { AirgapError, messageOf } from "../errors.ts";
import { isRecord } from "../oci/descriptor.ts";
import { type KeyedCertificate, makeAuthority, makeKeyPair } from "../pki/certificate.ts";
import type { StateDir } from "../plan/state-dir.ts";
import type { Cluster } from "./cluster.ts";
import { fromEnvironment } from "./environment.ts";
import { type EtcdTls, type KeptEtcdTls, makeEtcdTls, readEtcdTls } from "./etcd-tls.ts";
import { type HarborSecrets, harborSecrets, type KeptHarbor } from "./harbor-secrets.ts";
import { type ExistingTls, type KeptTls, type SiteTls, siteTls } from "./site-tls.ts";

/** The keys, tokens and passwords of a cluster. Made before the plan, so that no step needs a value from an earlier one. */
export interface ClusterKeys {
  ca: KeyedCertificate;
  etcdCa: KeyedCertificate;
  frontProxyCa: KeyedCertificate;
  serviceAccount: { publicKey: string; privateKey: string };
}

export interface Secrets {
  /** Absent when the cluster exists and was made on another machine: it keeps its own. */
  keys?: ClusterKeys;
  /** PEM of the authority that API clients trust. */
  ca: string;
  /** The token with which hosts join: `abcdef.0123456789abcdef`. */
  joinToken: string;
  /** The certificate of the server that airgap starts. */
  tls?: SiteTls;
  /** Of an etcd that is not on the control planes. Absent when the cluster was made on another machine: hosts keep theirs. */
  etcd?: EtcdTls;
  /** PEM of the authority that signed the site registry's certificate, unless it is a public one. */
  registryCa?: string;
  registryPassword?: string;
  /** A line of an htpasswd file, for the server that airgap starts. */
  htpasswd?: string;
  /** Of the Harbor that airgap installs. */
  harbor?: HarborSecrets;
}

const FILE = "secrets.json";
const CA_DAYS = 3650;

interface Kept extends KeptTls {
  keys?: ClusterKeys;
  joinToken?: string;
  etcd?: KeptEtcdTls;
  harbor?: KeptHarbor;
}

function readKept(home: StateDir): Kept {
  const text = home.read(FILE);
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value as Kept;
  } catch {
    // Reported below.
  }
  throw new AirgapError("corrupt", `${home.path(FILE)} is damaged`, {
    suggestions: [
      `if the cluster does not exist yet, remove the file: rm ${home.path(FILE)}`,
      "if the cluster exists, move the file away: airgap reads the keys from the first control plane",
    ],
  });
}

async function makeKeys(): Promise<ClusterKeys> {
  // The names that kubeadm gives.
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

/**
 * A line of an htpasswd file. Its salt depends on the site only, so the same user and password give
 * the same line on every operator's machine.
 */
function htpasswd({ name, registry }: Cluster, password: string | undefined, ca: string): string | undefined {
  if (registry.user === undefined || password === undefined || registry.mode !== "serve") return undefined;
  const salt = createHash("sha256")
    .update(JSON.stringify([name, registry.host, registry.user, ca]))
    .digest()
    .subarray(0, 16);
  return `${registry.user}:${hashSync(password, `$2b$10$${encodeBase64(salt, 16)}`)}`;
}

/** The authority that nodes must trust for the site's registry; undefined for a public one and for http. */
function registryCaOf({ registry }: Cluster, tls: SiteTls | undefined): string | undefined {
  const { mode, scheme, caFile, harbor } = registry;
  const ours = mode === "serve" || (harbor !== undefined && harbor.certFile === undefined);
  if (ours) return scheme === "https" ? tls?.ca : undefined;
  return caFile ? readCa(caFile) : undefined;
}

/** One or several certificates, PEM or DER, as PEM in its usual form: some systems compare its lines. */
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
      `registry.caFile: ${file} is not a readable certificate: ${messageOf(cause)}`,
      { cause },
    );
  }
}

/** What the hosts have already. */
export interface Existing {
  /** PEM of the cluster's authority. */
  ca?: string;
  /** The certificate of the site's server. */
  tls?: ExistingTls;
  /** The Harbor that airgap installed: it has its accounts. */
  harbor?: boolean;
}

/**
 * Secrets of a cluster: read from beside the cluster file, and made where they are missing. An
 * existing cluster keeps its own authorities, whichever machine made it; tokens are made for each run.
 * With `renew` certificates of etcd are made again, where this machine has the authority's key.
 * @throws AirgapError
 */
export async function loadSecrets(
  cluster: Cluster,
  home: StateDir,
  existing: Existing,
  { renew = false }: { renew?: boolean } = {},
): Promise<Secrets> {
  const kept = readKept(home);
  const foreign = existing.ca !== undefined && kept.keys?.ca.cert.trim() !== existing.ca.trim();
  if (!foreign) kept.keys ??= await makeKeys();
  kept.joinToken ??= newToken();
  const etcd = await etcdTls(cluster, foreign ? undefined : kept.keys, kept, renew);
  const password = fromEnvironment(cluster.registry.passwordEnv, "registry.passwordEnv");
  const tls = servesTls(cluster) ? await siteTls(cluster, kept, existing.tls) : undefined;
  const line = htpasswd(cluster, password, tls?.ca ?? "");
  const harbor = harborSecrets(cluster, kept, existing.harbor === true);
  home.write(FILE, `${JSON.stringify(kept, undefined, 1)}\n`);
  const registryCa = registryCaOf(cluster, tls);
  return {
    ...(foreign || !kept.keys ? {} : { keys: kept.keys }),
    ca: existing.ca ?? kept.keys?.ca.cert ?? "",
    joinToken: existing.ca === undefined ? kept.joinToken : newToken(),
    ...(tls ? { tls } : {}),
    ...(etcd ? { etcd } : {}),
    ...(registryCa ? { registryCa } : {}),
    ...(password === undefined ? {} : { registryPassword: password }),
    ...(line === undefined ? {} : { htpasswd: line }),
    ...(harbor ? { harbor } : {}),
  };
}

/** Puts authorities in the place of those that are kept, for a cluster that is made again. */
export function keepKeys(home: StateDir, keys: ClusterKeys): void {
  home.write(FILE, `${JSON.stringify({ ...readKept(home), keys }, undefined, 1)}\n`);
}

async function etcdTls(
  cluster: Cluster,
  keys: ClusterKeys | undefined,
  kept: Kept,
  renew: boolean,
): Promise<EtcdTls | undefined> {
  if (cluster.etcd.mode === "given") return readEtcdTls(cluster.etcd);
  if (cluster.etcd.mode === "stacked" || keys === undefined) return undefined;
  kept.etcd ??= {};
  return makeEtcdTls(cluster, keys.etcdCa, kept.etcd, renew);
}

/**
 * The base64 forms of a text at each offset in a longer text, such as `user:password` in a login.
 * Only the letters that depend on this text alone.
 */
function inBase64(text: string): string[] {
  const bytes = Buffer.from(text);
  return [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
    return encoded.slice(Math.ceil((before * 4) / 3), Math.floor(((before + bytes.length) * 4) / 3));
  });
}

/** Everything to mask in logs, messages and shown files. */
export function secretTexts(secrets: Secrets): string[] {
  const { keys, tls, etcd } = secrets;
  const privateKeys = [
    keys?.ca.key,
    keys?.etcdCa.key,
    keys?.frontProxyCa.key,
    keys?.serviceAccount.privateKey,
    tls?.server.key,
    etcd?.client.key,
    ...Object.values(etcd?.members ?? {}).map(({ key }) => key),
    secrets.harbor?.key,
  ];
  const { harbor } = secrets;
  const passwords = [
    secrets.registryPassword,
    ...(harbor ? [harbor.admin, harbor.initial, ...Object.values(harbor.users)] : []),
  ].filter((password) => password !== undefined);
  return [
    ...privateKeys.flatMap((key) =>
      key ? key.split("\n").filter((line) => line.length > 20 && !line.startsWith("-----")) : [],
    ),
    secrets.joinToken,
    secrets.joinToken.slice(7),
    ...inBase64(secrets.joinToken.slice(7)),
    ...passwords.flatMap((password) => [
      password,
      JSON.stringify(password).slice(1, -1),
      ...inBase64(password),
    ]),
    ...(secrets.htpasswd ? [secrets.htpasswd.slice(secrets.htpasswd.indexOf(":") + 1)] : []),
  ];
}
