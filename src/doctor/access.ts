import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { messageOf } from "../errors.ts";
import { withoutLogins } from "../format.ts";
import { credentialFiles } from "../transport/credential-files.ts";
import { readPolicy } from "../trust/policy.ts";
import type { DoctorFinding } from "./finding.ts";

const lowerOrUpper = (env: NodeJS.ProcessEnv, name: string): string | undefined =>
  env[name.toLowerCase()] || env[name] || undefined;

/** The variables that every fetch obeys. @param env for tests */
export async function lookAtProxy(env: NodeJS.ProcessEnv = process.env): Promise<DoctorFinding> {
  const [https, http, none] = ["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"].map((name) =>
    lowerOrUpper(env, name),
  );
  if (https === undefined && http === undefined)
    return {
      name: "proxy",
      state: "ok",
      found: "none is set: servers are reached directly",
    };
  const set = { HTTPS_PROXY: https, HTTP_PROXY: http, NO_PROXY: none };
  const found = Object.entries(set)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${withoutLogins(value)}`]))
    .join(" ");
  if (https === undefined)
    return {
      name: "proxy",
      state: "warning",
      found,
      without: "https, which is nearly everything, does not go through the proxy",
      remedy: "export HTTPS_PROXY=http://PROXY:PORT",
    };
  if (none === undefined)
    return {
      name: "proxy",
      state: "warning",
      found: `${found}, and no NO_PROXY`,
      without: "registries inside the company are asked for through the proxy",
      remedy: "export NO_PROXY=localhost,127.0.0.1,.company",
    };
  return { name: "proxy", state: "ok", found };
}

function onPath(program: string, env: NodeJS.ProcessEnv): boolean {
  return (env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Registries with a login; the logins themselves stay where they are. @param env for tests */
export async function lookAtLogins(env: NodeJS.ProcessEnv = process.env): Promise<DoctorFinding> {
  const remedy = "docker login REGISTRY, or podman login REGISTRY";
  try {
    const files = credentialFiles(env);
    const hosts = files.flatMap(({ entries, helpers }) => [...entries.keys(), ...helpers.keys()]);
    const helpers = files.flatMap(({ helpers: own, store }) => [...own.values(), ...(store ? [store] : [])]);
    const absent = [...new Set(helpers)].filter((name) => !onPath(`docker-credential-${name}`, env));
    const found = [
      ...new Set(hosts),
      ...files.flatMap(({ store }) => (store ? [`those that docker-credential-${store} keeps`] : [])),
    ].join(", ");
    if (absent.length > 0)
      return {
        name: "logins",
        state: "warning",
        found,
        without: `logins are not found that ${absent.map((name) => `docker-credential-${name}`).join(", ")} keeps: it is not on the PATH`,
        remedy: `install it, or remove credsStore from the file and log in again`,
      };
    return { name: "logins", state: "ok", found: found || "none: registries are asked without a login" };
  } catch (error) {
    return {
      name: "logins",
      state: "warning",
      found: messageOf(error),
      without: "no registry that needs a login can be read",
      remedy,
    };
  }
}

/** Whose signatures count here. */
export async function lookAtTrust(): Promise<DoctorFinding> {
  try {
    const { keys, requireSignature, files } = readPolicy();
    if (keys.length > 0)
      return {
        name: "trust",
        state: "ok",
        found: `${keys.map(({ name }) => name).join(", ")} (${files.join(", ")})${requireSignature ? "; a signature is required" : ""}`,
      };
    return {
      name: "trust",
      state: "missing",
      found: "no key is trusted here",
      without: "nothing tells who made a bundle, only that it is whole",
      remedy: "airgap trust add KEY.pub",
    };
  } catch (error) {
    return {
      name: "trust",
      state: "warning",
      found: messageOf(error),
      without: "no bundle is opened until that is mended",
      remedy: "airgap trust list",
    };
  }
}
