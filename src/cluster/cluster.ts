import { AirgapError } from "../errors.ts";
import { nearest } from "../schema/nearest.ts";
import type { ClusterFile, Role } from "./schema.ts";

export type { Addon } from "./schema.ts";

type Host = ClusterFile["hosts"][number];

/** How to reach a host; secrets are named by their environment variables. Paths are absolute. */
export type SshSettings = NonNullable<ClusterFile["ssh"]> & { sudo: boolean };

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
