import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import { readDocument } from "../schema/document.ts";
import { checkCluster, refuseNotYet } from "./check.ts";
import type { Cluster, RegistrySettings, SshSettings } from "./cluster.ts";
import { type ClusterFile, clusterSchema } from "./schema.ts";

const home = (path: string): string => path.replace(/^~(?=\/|$)/, process.env["HOME"] ?? "~");

function sshOf(common: ClusterFile["ssh"], own: ClusterFile["ssh"], baseDir: string): SshSettings {
  const given = { sudo: false, ...common, ...own };
  const { identityFile } = given;
  return identityFile ? { ...given, identityFile: resolve(baseDir, home(identityFile)) } : given;
}

function registryOf({ registry, hosts }: ClusterFile, baseDir: string): RegistrySettings {
  const { caFile, scheme, mode } = registry;
  const own = hosts.find((host) => host.roles.includes("registry"));
  const address = registry.address ?? (mode === "serve" ? own?.address : undefined);
  return {
    port: scheme === "https" ? 443 : 80,
    ...registry,
    ...(address ? { address } : {}),
    ...(caFile ? { caFile: resolve(baseDir, home(caFile)) } : {}),
  };
}

/** The registry itself when `serve` is both; else a port of its own. */
function repositoryOf(read: ClusterFile, registry: RegistrySettings): Cluster["repository"] {
  const own = read.hosts.find((host) => host.roles.includes("registry"));
  const host = read.repository?.host ?? own?.name ?? "";
  const same = registry.mode === "serve";
  return { host, port: same ? registry.port : (read.repository?.port ?? 8443) };
}

function clusterOf(read: ClusterFile, baseDir: string): Cluster {
  const { apiVersion: _, kind: __, network, ssh, ...given } = read;
  const registry = registryOf(read, baseDir);
  return {
    ...given,
    baseDir,
    ...(network === undefined || network === "none" || network.name === "none" ? {} : { network }),
    registry,
    repository: repositoryOf(read, registry),
    addons: given.addons.map((addon) =>
      "manifest" in addon ? { manifest: resolve(baseDir, addon.manifest) } : addon,
    ),
    hosts: given.hosts.map((host) => ({ ...host, ssh: sshOf(ssh, host.ssh, baseDir) })),
  };
}

/**
 * @param file for messages; its folder is where relative paths start
 * @throws AirgapError `spec` with everything wrong: by line and column where the form is, by key where parts contradict each other
 */
export function parseCluster(text: string, file: string): Cluster {
  const cluster = clusterOf(readDocument(text, file, clusterSchema), dirname(resolve(file)));
  checkCluster(cluster, file);
  return cluster;
}

/** @throws AirgapError `spec` */
export async function readCluster(file: string): Promise<Cluster> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new AirgapError("spec", `The cluster file ${file} cannot be read`, {
      cause,
      suggestions: ["airgap schema cluster shows every key"],
    });
  }
  const cluster = parseCluster(text, file);
  refuseNotYet(cluster, file);
  return cluster;
}
