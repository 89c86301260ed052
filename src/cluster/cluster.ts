import { AirgapError } from "../errors.ts";
import { nearest } from "../schema/nearest.ts";
import type { ClusterFile, Role } from "./schema.ts";

export type { Addon } from "./schema.ts";

type Host = ClusterFile["hosts"][number];

/** How a host is reached; secrets are named by the variables that hold them. Paths are absolute. */
export type SshSettings = NonNullable<ClusterFile["ssh"]> & { user: string; port: number; sudo: boolean };

export type ClusterHost = Omit<Host, "ssh"> & { ssh: SshSettings };

export type RegistrySettings = ClusterFile["registry"] & { port: number };

export type Endpoint = NonNullable<ClusterFile["endpoint"]>;

type Network = Exclude<NonNullable<ClusterFile["network"]>, "none">;

/** The cluster file with what follows from its parts and from where it lies. */
export interface Cluster
  extends Omit<ClusterFile, "apiVersion" | "kind" | "network" | "registry" | "repository" | "ssh" | "hosts"> {
  /** Folder of the file: its relative paths start here. */
  baseDir: string;
  /** Absent where there is none. */
  network?: Network;
  registry: RegistrySettings;
  /** Who serves packages and files, and where. */
  repository: { host: string; port: number };
  hosts: ClusterHost[];
}

/** Hosts of a role, in the order of the file. */
export function hostsOf(cluster: Cluster, ...roles: Role[]): ClusterHost[] {
  return cluster.hosts.filter((host) => host.roles.some((role) => roles.includes(role)));
}

/** The hosts that are meant by their names, in the order of the file; without names all. @throws AirgapError `usage` */
export function namedHosts({ hosts }: Cluster, names: readonly string[] | undefined): ClusterHost[] {
  if (names === undefined) return hosts;
  const known = hosts.map(({ name }) => name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length === 0) return hosts.filter(({ name }) => names.includes(name));
  const near = unknown.flatMap((name) => nearest(name, known) ?? []);
  throw new AirgapError(
    "usage",
    `--hosts: ${unknown.join(", ")} is not among the hosts of the cluster file: ${known.join(", ")}`,
    {
      suggestions: near.map((name) => `did you mean ${name}?`),
    },
  );
}

/** Hosts that become Kubernetes nodes. */
export const nodesOf = (cluster: Cluster): ClusterHost[] => hostsOf(cluster, "control-plane", "worker");

/** Where the API is asked: the endpoint, or the first control plane. */
export function apiAddress(cluster: Cluster): { address: string; port: number } {
  const [first] = hostsOf(cluster, "control-plane");
  return cluster.endpoint ?? { address: first?.address ?? "", port: 6443 };
}

/** The registry as it stands before a repository in an image reference: without the port where that is https' own. */
export function registryName({ host, port, scheme }: RegistrySettings): string {
  return port === 443 && scheme === "https" ? host : `${host}:${port}`;
}
