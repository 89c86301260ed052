import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import { readDocument } from "../schema/document.ts";
import { nearest } from "../schema/nearest.ts";
import { checkCluster, refuseNotYet } from "./check.ts";
import { type ClusterFile, clusterSchema, type Role } from "./schema.ts";

export type { Addon } from "./schema.ts";

type Host = ClusterFile["hosts"][number];

/** How to reach a host; secrets are named by their environment variables. Paths are absolute. */
export type SshSettings = NonNullable<ClusterFile["ssh"]> & { user: string; port: number; sudo: boolean };

export type ClusterHost = Omit<Host, "ssh"> & { ssh: SshSettings };

export type RegistrySettings = ClusterFile["registry"] & { port: number };

export type ApiEndpoint = NonNullable<ClusterFile["endpoint"]>;

type Network = Exclude<NonNullable<ClusterFile["network"]>, "none">;

/** The cluster file, with what follows from its parts and its folder. */
export interface Cluster
  extends Omit<ClusterFile, "apiVersion" | "kind" | "network" | "registry" | "repository" | "ssh" | "hosts"> {
  /** Folder of the file: its relative paths start here. */
  baseDir: string;
  /** Absent when no host has the role. */
  network?: Network;
  registry: RegistrySettings;
  /** The host that serves packages and files, and its address. */
  repository: { host: string; port: number };
  hosts: ClusterHost[];
}

const home = (path: string): string => path.replace(/^~(?=\/|$)/, process.env["HOME"] ?? "~");

function sshOf(common: ClusterFile["ssh"], own: ClusterFile["ssh"], baseDir: string): SshSettings {
  const given = { user: "root", port: 22, sudo: false, ...common, ...own };
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

/** The registry's own port when `serve` is both; else a separate port. */
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
 * @param file for messages; relative paths start at its folder
 * @throws AirgapError `spec` with every problem: by line and column for the form, by key for contradictions
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
    throw new AirgapError("spec", `Cannot read the cluster file ${file}`, {
      cause,
      suggestions: ["airgap schema cluster shows every key"],
    });
  }
  const cluster = parseCluster(text, file);
  refuseNotYet(cluster, file);
  return cluster;
}

/** Hosts of a role, in the order of the file. */
export function hostsOf(cluster: Cluster, ...roles: Role[]): ClusterHost[] {
  return cluster.hosts.filter((host) => host.roles.some((role) => roles.includes(role)));
}

/** The hosts with these names, in the order of the file; without names, all hosts. @throws AirgapError `usage` */
export function namedHosts({ hosts }: Cluster, names: readonly string[] | undefined): ClusterHost[] {
  if (names === undefined) return hosts;
  const known = hosts.map(({ name }) => name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length === 0) return hosts.filter(({ name }) => names.includes(name));
  const near = unknown.flatMap((name) => nearest(name, known) ?? []);
  throw new AirgapError(
    "usage",
    `--hosts: ${unknown.join(", ")} is not a host of the cluster file. Its hosts: ${known.join(", ")}`,
    {
      suggestions: near.map((name) => `did you mean ${name}?`),
    },
  );
}

/** Hosts that become Kubernetes nodes. */
export const nodesOf = (cluster: Cluster): ClusterHost[] => hostsOf(cluster, "control-plane", "worker");

/** Where the API server answers: the endpoint, or the first control plane. */
export function apiAddress(cluster: Cluster): { address: string; port: number } {
  const [first] = hostsOf(cluster, "control-plane");
  return cluster.endpoint ?? { address: first?.address ?? "", port: 6443 };
}

/** The registry's part of an image reference: without the port when that is 443 with https. */
export function registryName({ host, port, scheme }: RegistrySettings): string {
  return port === 443 && scheme === "https" ? host : `${host}:${port}`;
}
