import { createHash } from "node:crypto";
import { AirgapError } from "../errors.ts";
import { nearest } from "../schema/nearest.ts";
import type { ClusterFile, Role } from "./schema.ts";

export type { Addon } from "./schema.ts";

type Host = ClusterFile["hosts"][number];

/** How to reach a host; secrets are named by their environment variables. Paths are absolute. */
export type SshSettings = NonNullable<ClusterFile["ssh"]> & { sudo: boolean };

export type ClusterHost = Omit<Host, "ssh"> & { ssh: SshSettings };

/** What airgap makes of Harbor. Paths are absolute. */
export type HarborSettings = NonNullable<ClusterFile["registry"]["harbor"]> & { httpPort: number };

export type RegistrySettings = Omit<ClusterFile["registry"], "harbor"> & {
  port: number;
  /** With mode `harbor`. */
  harbor?: HarborSettings;
};

export type ApiEndpoint = NonNullable<ClusterFile["endpoint"]>;

/** Where the cluster keeps its objects. Paths are absolute. */
export type EtcdSettings =
  /** On the control planes, as static pods. */
  | { mode: "stacked" }
  /** On the hosts with the role etcd. */
  | { mode: "external"; certificateDays: number }
  /** Somebody else's, which exists already. */
  | { mode: "given"; endpoints: string[]; caFile: string; certFile: string; keyFile: string };

type Network = NonNullable<ClusterFile["network"]>;

/** The cluster file, with what follows from its parts and its folder. */
export interface Cluster
  extends Omit<
    ClusterFile,
    "apiVersion" | "kind" | "network" | "registry" | "repository" | "ssh" | "hosts" | "etcd"
  > {
  /** Folder of the file: its relative paths start here. */
  baseDir: string;
  /** Absent when no host has the role. */
  network?: Network;
  registry: RegistrySettings;
  /** The host that serves packages and files, and its address. */
  repository: { host: string; port: number };
  hosts: ClusterHost[];
  etcd: EtcdSettings;
}

/** Hosts of a role, in the order of the file. */
export function hostsOf(cluster: Cluster, ...roles: Role[]): ClusterHost[] {
  return cluster.hosts.filter((host) => host.roles.some((role) => roles.includes(role)));
}

/** The hosts with these names, in the order of the file; without names, all hosts. @throws AirgapError `usage` */
export function namedHosts(
  { hosts }: Cluster,
  names: readonly string[] | undefined,
  flag = "--hosts",
): ClusterHost[] {
  if (names === undefined) return hosts;
  const known = hosts.map(({ name }) => name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length === 0) return hosts.filter(({ name }) => names.includes(name));
  const near = unknown.flatMap((name) => nearest(name, known) ?? []);
  throw new AirgapError(
    "usage",
    `${flag}: ${unknown.join(", ")} is not a host of the cluster file. Its hosts: ${known.join(", ")}`,
    {
      suggestions: near.map((name) => `did you mean ${name}?`),
    },
  );
}

/** Hosts that become Kubernetes nodes. */
export const nodesOf = (cluster: Cluster): ClusterHost[] => hostsOf(cluster, "control-plane", "worker");

/** Each host asks for them, and there may be a thousand. */
const servers = new WeakMap<Cluster, readonly ClusterHost[]>();

/**
 * The hosts that serve the bundle, the one that `repository` names first: with `registry.mode: serve`
 * every host with the role registry, otherwise that one.
 */
export function serversOf(cluster: Cluster): readonly ClusterHost[] {
  const known = servers.get(cluster);
  if (known) return known;
  const { registry, repository, hosts } = cluster;
  const first = hosts.filter(({ name }) => name === repository.host);
  const all = registry.mode === "serve" ? [...new Set([...first, ...hostsOf(cluster, "registry")])] : first;
  servers.set(cluster, all);
  return all;
}

/**
 * The same in an order that each host has for itself, so that they share the load, and that a host
 * keeps when others come or go (rendezvous hashing). A server asks itself first.
 */
export function serversFor(cluster: Cluster, { name }: ClusterHost): readonly ClusterHost[] {
  const servers = serversOf(cluster);
  if (servers.length < 2) return servers;
  const weight = (server: ClusterHost): string =>
    server.name === name ? "" : createHash("sha256").update(`${name} ${server.name}`).digest("hex");
  const weights = new Map(servers.map((server) => [server, weight(server)]));
  return servers.toSorted((a, b) => ((weights.get(a) ?? "") < (weights.get(b) ?? "") ? -1 : 1));
}

/** Where the API server answers: the endpoint, or the first control plane. */
export function apiAddress(cluster: Cluster): { address: string; port: number } {
  const [first] = hostsOf(cluster, "control-plane");
  return cluster.endpoint ?? { address: first?.address ?? "", port: 6443 };
}

/** The registry's part of an image reference: without the port when that is 443 with https. */
export function registryName({ host, port, scheme }: RegistrySettings): string {
  return port === 443 && scheme === "https" ? host : `${host}:${port}`;
}
