import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { AirgapError } from "../errors.ts";
import { isRecord } from "../oci/descriptor.ts";
import type { Credential } from "./credential.ts";

/** The content of one config.json or auth.json. */
export interface CredentialFile {
  path: string;
  /** By normalised key: `host` or `host/namespace`. */
  entries: Map<string, Credential>;
  /** Names of credential helpers, by the same keys. */
  helpers: Map<string, string>;
  /** The helper for every other host (`credsStore`). */
  store?: string;
}

const DOCKER_HUB = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);

/** Docker's key for its own hub; helpers use it too. */
export function serverName(host: string): string {
  return DOCKER_HUB.has(host) ? "https://index.docker.io/v1/" : host;
}

/** Keys that apply to a repository, the most specific first (containers-auth.json(5)). */
export function keysFor(host: string, repository = ""): string[] {
  const canonical = normaliseKey(host);
  const parts = repository === "" ? [] : repository.split("/");
  return [...parts.map((_, i) => `${canonical}/${parts.slice(0, parts.length - i).join("/")}`), canonical];
}

/** `https://index.docker.io/v1/` → `docker.io`; the scheme and the API's own path are ignored. */
function normaliseKey(key: string): string {
  const [host = "", ...path] = key.replace(/^https?:\/\//i, "").split("/");
  const name = host.toLowerCase();
  const namespace = path.filter((part) => part !== "");
  const isApi = namespace.length === 0 || (namespace.length === 1 && /^v[12]$/.test(namespace[0] as string));
  return [DOCKER_HUB.has(name) ? "docker.io" : name, ...(isApi ? [] : namespace)].join("/");
}

function readEntry(value: unknown): Credential | undefined {
  if (!isRecord(value)) return undefined;
  if (typeof value.identitytoken === "string" && value.identitytoken !== "")
    return { identityToken: value.identitytoken };
  if (typeof value.auth === "string" && value.auth !== "") {
    const text = Buffer.from(value.auth, "base64").toString("utf8").replace(/\0+$/, "");
    const colon = text.indexOf(":");
    if (colon > 0) return { username: text.slice(0, colon), password: text.slice(colon + 1) };
  }
  if (typeof value.username === "string" && value.username !== "" && typeof value.password === "string") {
    return { username: value.username, password: value.password };
  }
  return undefined;
}

function parseFile(path: string, text: string): CredentialFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which is secret.
    value = undefined;
  }
  if (!isRecord(value))
    throw new AirgapError("usage", `${path} is not a credentials file: it is not JSON`, {
      suggestions: ["docker login REGISTRY"],
    });
  const file: CredentialFile = { path, entries: new Map(), helpers: new Map() };
  for (const [key, entry] of Object.entries(isRecord(value.auths) ? value.auths : {})) {
    const credential = readEntry(entry);
    if (credential) file.entries.set(normaliseKey(key), credential);
  }
  for (const [key, name] of Object.entries(isRecord(value.credHelpers) ? value.credHelpers : {})) {
    if (typeof name === "string") file.helpers.set(normaliseKey(key), name);
  }
  if (typeof value.credsStore === "string" && value.credsStore !== "") file.store = value.credsStore;
  return file;
}

function readIfThere(path: string, required: boolean): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const absent = ["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "");
    if (absent && !required) return undefined;
    if (!required && (cause as NodeJS.ErrnoException).code === "EACCES") return undefined;
    throw new AirgapError("usage", `Cannot read the credentials file ${path}`, { cause });
  }
}

/**
 * The files that exist, in the order of use: those that the environment names (`REGISTRY_AUTH_FILE`,
 * `DOCKER_CONFIG`), then podman's, then Docker's.
 * @throws AirgapError `usage` when one named by REGISTRY_AUTH_FILE is missing, or one is malformed
 */
export function credentialFiles(env: NodeJS.ProcessEnv): CredentialFile[] {
  const home = env["HOME"] || homedir();
  const named = env["REGISTRY_AUTH_FILE"];
  const runtime = env["XDG_RUNTIME_DIR"] || `/run/containers/${process.getuid?.() ?? 0}`;
  const paths = [
    ...(named ? [named] : []),
    ...(env["DOCKER_CONFIG"] ? [join(env["DOCKER_CONFIG"], "config.json")] : []),
    env["XDG_RUNTIME_DIR"] ? join(runtime, "containers/auth.json") : join(runtime, "auth.json"),
    join(env["XDG_CONFIG_HOME"] || join(home, ".config"), "containers/auth.json"),
    ...(env["DOCKER_CONFIG"] ? [] : [join(home, ".docker/config.json")]),
  ];
  return [...new Set(paths)].flatMap((path) => {
    const text = readIfThere(path, path === named);
    return text === undefined || text.trim() === "" ? [] : [parseFile(path, text)];
  });
}
