import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import type { NameLayout } from "../names/landing.ts";
import { type MapRule, parseMapRule } from "../names/map-rule.ts";
import { readDocument } from "../schema/document.ts";
import { nearest } from "../schema/nearest.ts";
import type { Infer, Schema } from "../schema/schema.ts";
import { checkCluster, refuseNotYet } from "./check.ts";
import { clusterSchema, type Role } from "./schema.ts";

export type ClusterFile = Infer<typeof clusterSchema>;

/** How a host is reached; secrets are named by the variables that hold them. */
export interface SshSettings {
  user: string;
  port: number;
  identityFile?: string;
  passphraseEnv?: string;
  passwordEnv?: string;
  sudo: boolean;
  sudoPasswordEnv?: string;
}

export interface ClusterHost {
  name: string;
  address: string;
  roles: Role[];
  /** `SHA256:…`: the only key that is accepted. */
  hostKey?: string;
  connection: "ssh" | "local";
  labels: Record<string, string>;
  taints: string[];
  ssh: SshSettings;
}

export interface RegistrySettings {
  host: string;
  port: number;
  address?: string;
  scheme: "https" | "http";
  mode: "serve" | "harbor" | "external";
  layout: NameLayout;
  prefix: string;
  map: MapRule[];
  /** Absolute. */
  caFile?: string;
  user?: string;
  passwordEnv?: string;
}

export type Addon = { name: string } | { manifest: string };

export interface Endpoint {
  address: string;
  port: number;
  loadBalancers: string[];
  ingress?: { address: string; nodePort: number };
}

/** The cluster file with its defaults filled in. */
export interface Cluster {
  name: string;
  /** Folder of the file: its relative paths start here. */
  baseDir: string;
  kubernetes: {
    /** `v1.28.2` */
    version: string;
    podSubnet: string;
    serviceSubnet: string;
    dnsDomain: string;
    proxyMode?: "iptables" | "ipvs" | "nftables";
    extraSans: string[];
    dnsHosts: Record<string, string>;
  };
  runtime: "containerd" | "docker";
  network?: { name: string; backend: "vxlan" | "host-gw" | "ipip" | "none"; interface?: string };
  registry: RegistrySettings;
  /** Who serves packages and files, and where. */
  repository: { host: string; port: number };
  endpoint?: Endpoint;
  etcd: "stacked" | "external";
  addons: Addon[];
  time: { servers: string[] };
  hosts: ClusterHost[];
  kubeadm: NonNullable<ClusterFile["kubeadm"]>;
}

const home = (path: string): string => path.replace(/^~(?=\/|$)/, process.env["HOME"] ?? "~");

function sshOf(common: ClusterFile["ssh"], own: ClusterFile["ssh"], baseDir: string): SshSettings {
  const given = { ...common, ...own };
  return {
    ...given,
    user: given.user ?? "root",
    port: given.port ?? 22,
    sudo: given.sudo ?? false,
    ...(given.identityFile ? { identityFile: resolve(baseDir, home(given.identityFile)) } : {}),
  };
}

function registryOf(read: ClusterFile, baseDir: string): RegistrySettings {
  const { registry } = read;
  const scheme = registry.scheme ?? "https";
  const mode = registry.mode ?? "serve";
  const own = read.hosts.find((host) => host.roles.includes("registry"));
  const address = registry.address ?? (mode === "serve" ? own?.address : undefined);
  return {
    host: registry.host.toLowerCase(),
    port: registry.port ?? (scheme === "https" ? 443 : 80),
    ...(address ? { address } : {}),
    scheme,
    mode,
    layout: registry.layout ?? "host",
    prefix: registry.prefix ?? "",
    map: (registry.map ?? []).map(parseMapRule),
    ...(registry.caFile ? { caFile: resolve(baseDir, home(registry.caFile)) } : {}),
    ...(registry.user ? { user: registry.user } : {}),
    ...(registry.passwordEnv ? { passwordEnv: registry.passwordEnv } : {}),
  };
}

/** The registry itself when `serve` is both; else a port of its own. */
function repositoryOf(read: ClusterFile, registry: RegistrySettings): Cluster["repository"] {
  const own = read.hosts.find((host) => host.roles.includes("registry"));
  const host = read.repository?.host ?? own?.name ?? "";
  const same = registry.mode === "serve";
  return { host, port: same ? registry.port : (read.repository?.port ?? 8443) };
}

function normalise(read: ClusterFile, baseDir: string): Cluster {
  const { kubernetes, network, endpoint } = read;
  const registry = registryOf(read, baseDir);
  return {
    name: read.name,
    baseDir,
    kubernetes: {
      version: kubernetes.version.replace(/^v?/, "v"),
      podSubnet: kubernetes.podSubnet ?? "10.244.0.0/16",
      serviceSubnet: kubernetes.serviceSubnet ?? "10.96.0.0/12",
      dnsDomain: kubernetes.dnsDomain ?? "cluster.local",
      ...(kubernetes.proxyMode ? { proxyMode: kubernetes.proxyMode } : {}),
      extraSans: kubernetes.extraSans ?? [],
      dnsHosts: kubernetes.dnsHosts ?? {},
    },
    runtime: read.runtime ?? "containerd",
    ...(network === undefined || network === "none" || network.name === "none"
      ? {}
      : { network: { ...network, backend: network.backend ?? "vxlan" } }),
    registry,
    repository: repositoryOf(read, registry),
    ...(endpoint
      ? {
          endpoint: { ...endpoint, port: endpoint.port ?? 6443, loadBalancers: endpoint.loadBalancers ?? [] },
        }
      : {}),
    etcd: read.etcd ?? "stacked",
    addons: (read.addons ?? []).map((addon) =>
      typeof addon === "string" ? { name: addon } : { manifest: resolve(baseDir, addon.manifest) },
    ),
    time: { servers: read.time?.servers ?? [] },
    hosts: read.hosts.map((host) => ({
      name: host.name,
      address: host.address,
      roles: host.roles,
      ...(host.hostKey ? { hostKey: host.hostKey } : {}),
      connection: host.connection ?? "ssh",
      labels: host.labels ?? {},
      taints: host.taints ?? [],
      ssh: sshOf(read.ssh, host.ssh, baseDir),
    })),
    kubeadm: read.kubeadm ?? {},
  };
}

/**
 * @param file for messages; its folder is where relative paths start
 * @throws AirgapError `spec` with everything wrong: by line and column where the form is, by key where parts contradict each other
 */
export function parseCluster(text: string, file: string): Cluster {
  const cluster = normalise(
    readDocument(text, file, clusterSchema as Schema<ClusterFile>),
    dirname(resolve(file)),
  );
  checkCluster(cluster, file);
  return cluster;
}

/** @throws AirgapError `spec` */
export async function readCluster(file: string): Promise<Cluster> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new AirgapError("spec", `The cluster file ${file} can't be read`, {
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
