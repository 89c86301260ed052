import { createPrivateKey, randomBytes, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { AirgapError, messageOf } from "../errors.ts";
import type { Cluster, HarborSettings } from "./cluster.ts";
import { fromEnvironment } from "./environment.ts";

/** Passwords and the certificate of the Harbor that airgap installs. */
export interface HarborSecrets {
  /** The administrator's password. It never reaches the registry host's disks. */
  admin: string;
  /** The one that Harbor starts with for the first time, and keeps in its files: it is worthless once `admin` is set. */
  initial: string;
  /** Passwords of users that Harbor may not have yet, by name. */
  users: Record<string, string>;
  /** The user's own certificate with its chain, and its key. PEM. Absent when airgap's authority makes it. */
  cert?: string;
  key?: string;
}

/** What this machine keeps of them. */
export interface KeptHarbor {
  /** Absent while a variable has it. */
  admin?: string;
  initial: string;
}

/** Has letters of both cases and a digit, as Harbor requires. */
const newPassword = (): string => `Aa1${randomBytes(18).toString("base64url").replace(/[-_]/g, "x")}`;

/** Harbor's rule: 8 to 128 characters, with both cases and a digit. */
function checkPassword(password: string, variable: string): string {
  const good = /[a-z]/.test(password) && /[A-Z]/.test(password) && /\d/.test(password);
  if (good && password.length >= 8 && password.length <= 128) return password;
  throw new AirgapError(
    "usage",
    `Harbor does not take the password in ${variable}: it needs 8 to 128 characters, with an upper-case letter, a lower-case letter and a digit`,
    { suggestions: [`set another password: export ${variable}=…`] },
  );
}

/** A user that Harbor has needs no password: airgap does not change it. */
function passwordsOf({ users }: HarborSettings, stands: boolean): Record<string, string> {
  const entries = users.flatMap(({ name, passwordEnv }) => {
    const isSet = (process.env[passwordEnv] ?? "") !== "";
    if (stands && !isSet) return [];
    const password = fromEnvironment(passwordEnv, `registry.harbor.users: ${name}: passwordEnv`) ?? "";
    return [[name, checkPassword(password, passwordEnv)] as const];
  });
  return Object.fromEntries(entries);
}

const wrongFile = (key: string, file: string, why: string, cause?: unknown): AirgapError =>
  new AirgapError("spec", `registry.harbor.${key}: ${file} ${why}`, cause === undefined ? {} : { cause });

function readText(key: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw wrongFile(key, file, `cannot be read: ${messageOf(cause)}`, cause);
  }
}

/** The user's own certificate. @throws AirgapError `spec` when it is not one, is not for the registry's name, or the key is another's */
function ownCertificate({ registry }: Cluster): { cert: string; key: string } | undefined {
  const { certFile, keyFile } = registry.harbor ?? {};
  if (certFile === undefined || keyFile === undefined) return undefined;
  const [cert, key] = [readText("certFile", certFile), readText("keyFile", keyFile)];
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(cert);
  } catch (cause) {
    throw wrongFile("certFile", certFile, `is not a PEM certificate: ${messageOf(cause)}`, cause);
  }
  let fits: boolean;
  try {
    fits = leaf.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw wrongFile("keyFile", keyFile, "is not a PEM key without a passphrase, as Harbor needs it", cause);
  }
  if (!fits) throw wrongFile("keyFile", keyFile, `is not the key of ${certFile}`);
  if (leaf.checkHost(registry.host) === undefined && leaf.checkIP(registry.host) === undefined)
    throw wrongFile(
      "certFile",
      certFile,
      `is not for ${registry.host}: its names are ${leaf.subjectAltName ?? "none"}. The first certificate in the file must be Harbor's own, the chain follows it`,
    );
  if (Date.parse(leaf.validTo) < Date.now())
    throw wrongFile("certFile", certFile, `has expired on ${leaf.validTo}`);
  const withEnd = (text: string): string => `${text.trim()}\n`;
  return { cert: withEnd(cert), key: withEnd(key) };
}

/**
 * Harbor's secrets; made where they are missing, and added to `kept`.
 * @param stands Harbor is installed: it has its administrator's password
 * @throws AirgapError `usage` for variables, `spec` for files
 */
export function harborSecrets(
  cluster: Cluster,
  kept: { harbor?: KeptHarbor },
  stands: boolean,
): HarborSecrets | undefined {
  const { harbor } = cluster.registry;
  if (harbor === undefined) return undefined;
  const key = "registry.harbor.adminPasswordEnv";
  const given = fromEnvironment(harbor.adminPasswordEnv, key);
  if (given !== undefined) checkPassword(given, harbor.adminPasswordEnv ?? "");
  const own = kept.harbor ?? { initial: newPassword() };
  if (given === undefined && own.admin === undefined && stands)
    throw new AirgapError(
      "usage",
      "Harbor is installed, and this machine does not have its administrator's password: the machine that installed it keeps it beside the cluster file",
      { suggestions: [`set \`${key}: NAME\` in the cluster file, and export NAME=…`] },
    );
  if (given === undefined) own.admin ??= newPassword();
  kept.harbor = own;
  return {
    admin: given ?? own.admin ?? "",
    initial: own.initial,
    users: passwordsOf(harbor, stands),
    ...ownCertificate(cluster),
  };
}
