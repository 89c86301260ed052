import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import { type Locate, readLocated } from "../schema/document.ts";
import { checkCluster, refuseNotYet } from "./check.ts";
import type {
  ApiEndpoint,
  Cluster,
  EtcdSettings,
  HarborSettings,
  RegistrySettings,
  SshSettings,
} from "./cluster.ts";
import { type ClusterFile, clusterSchema } from "./schema.ts";

const home = (path: string): string => path.replace(/^~(?=\/|$)/, process.env["HOME"] ?? "~");

function sshOf(common: ClusterFile["ssh"], own: ClusterFile["ssh"], baseDir: string): SshSettings {
  const given = { sudo: false, ...common, ...own };
  const { identityFile } = given;
  return identityFile ? { ...given, identityFile: resolve(baseDir, home(identityFile)) } : given;
}

/** The settings of the Harbor that airgap installs; those of its plain http belong to the registry when that is http. */
function harborOf({ registry }: ClusterFile, port: number, baseDir: string): HarborSettings {
  const { certFile, keyFile, ...given } = registry.harbor ?? {
    ...{ data: "/data", trivy: false, projects: [], users: [] },
  };
  return {
    ...given,
    httpPort: registry.scheme === "http" ? port : (given.httpPort ?? 80),
    ...(certFile ? { certFile: resolve(baseDir, home(certFile)) } : {}),
    ...(keyFile ? { keyFile: resolve(baseDir, home(keyFile)) } : {}),
  };
}

function registryOf(read: ClusterFile, baseDir: string): RegistrySettings {
  const { harbor: _, ...registry } = read.registry;
  const { caFile, scheme, mode } = registry;
  const own = read.hosts.find((host) => host.roles.includes("registry"));
  const address = registry.address ?? (mode === "external" ? undefined : own?.address);
  const port = registry.port ?? (scheme === "https" ? 443 : 80);
  return {
    ...registry,
    port,
    ...(address ? { address } : {}),
    ...(caFile ? { caFile: resolve(baseDir, home(caFile)) } : {}),
    ...(mode === "harbor" ? { harbor: harborOf(read, port, baseDir) } : {}),
  };
}

/** The registry itself when `serve` is both; else a port of its own. */
function repositoryOf(read: ClusterFile, registry: RegistrySettings): Cluster["repository"] {
  const own = read.hosts.find((host) => host.roles.includes("registry"));
  const host = read.repository?.host ?? own?.name ?? "";
  const same = registry.mode === "serve";
  return { host, port: same ? registry.port : (read.repository?.port ?? 8443) };
}

/** Where none are named, every host with the role is a load balancer of the endpoint. */
function endpointOf({ endpoint, hosts }: ClusterFile): ApiEndpoint | undefined {
  if (endpoint === undefined || endpoint.loadBalancers.length > 0) return endpoint;
  const all = hosts.filter(({ roles }) => roles.includes("load-balancer")).map(({ name }) => name);
  return { ...endpoint, loadBalancers: all };
}

/** Days that etcd's certificates are valid, where the cluster file does not say it. */
const CERTIFICATE_DAYS = 3650;

/** Parts that are missing are told by `checkCluster`, which sees the files as empty paths. */
function etcdOf({ etcd }: ClusterFile, baseDir: string): EtcdSettings {
  if (etcd === "stacked") return { mode: "stacked" };
  if (etcd === "external") return { mode: "external", certificateDays: CERTIFICATE_DAYS };
  const { endpoints, caFile, certFile, keyFile, certificateDays } = etcd;
  const file = (path: string | undefined): string => (path ? resolve(baseDir, home(path)) : "");
  if (endpoints === undefined && !caFile && !certFile && !keyFile)
    return { mode: "external", certificateDays: certificateDays ?? CERTIFICATE_DAYS };
  return {
    mode: "given",
    endpoints: endpoints ?? [],
    caFile: file(caFile),
    certFile: file(certFile),
    keyFile: file(keyFile),
  };
}

function clusterOf(read: ClusterFile, baseDir: string): Cluster {
  const { apiVersion: _, kind: __, network, ssh, ...given } = read;
  const endpoint = endpointOf(read);
  const registry = registryOf(read, baseDir);
  return {
    ...given,
    ...(endpoint ? { endpoint } : {}),
    baseDir,
    ...(network === undefined || network.name === "none" ? {} : { network }),
    registry,
    etcd: etcdOf(read, baseDir),
    repository: repositoryOf(read, registry),
    addons: given.addons.map((addon) =>
      "manifest" in addon ? { manifest: resolve(baseDir, addon.manifest) } : addon,
    ),
    hosts: given.hosts.map((host) => ({ ...host, ssh: sshOf(ssh, host.ssh, baseDir) })),
  };
}

/**
 * @param file for messages; its folder is where relative paths start
 * @throws AirgapError `spec` with everything wrong: by line and column
 */
export function parseCluster(text: string, file: string): Cluster {
  return parse(text, file).cluster;
}

function parse(text: string, file: string): { cluster: Cluster; locate: Locate } {
  const { value, locate } = readLocated(text, file, clusterSchema);
  const cluster = clusterOf(value, dirname(resolve(file)));
  checkCluster(cluster, locate, value.registry.harbor !== undefined);
  return { cluster, locate };
}

/** @throws AirgapError `spec` */
export async function readCluster(file: string): Promise<Cluster> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new AirgapError("spec", `Cannot read the cluster file ${file}`, {
      cause,
      suggestions: [`ls ${dirname(file)}`, "airgap init makes a cluster file"],
    });
  }
  const { cluster, locate } = parse(text, file);
  refuseNotYet(cluster, locate);
  return cluster;
}
