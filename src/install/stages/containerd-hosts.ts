import { type Cluster, registryName } from "../../cluster/cluster.ts";
import { hostComponent } from "../../oci/reference.ts";
import { asksByLandedName } from "../images.ts";

export interface HostsFile {
  /** The registry that it speaks for, as the folder's name: `registry.k8s.io`, `_default`. */
  registry: string;
  content: string;
}

export interface RegistryAccess {
  /** File on the host with the authority of the registry. */
  ca?: string;
  user?: string;
  password?: string;
}

interface Entry {
  url: string;
  override: boolean;
}

/** Where a mirror of an upstream registry is at the site's. `serve` tells them apart by the `ns` that containerd sends. */
function mirrorOf(upstream: string, { registry }: Cluster): Entry {
  const base = `${registry.scheme}://${registryName(registry)}`;
  if (registry.mode === "serve") return { url: base, override: false };
  const parts = [registry.prefix, registry.layout === "host" ? hostComponent(upstream) : ""].filter(Boolean);
  return parts.length === 0
    ? { url: base, override: false }
    : { url: `${base}/v2/${parts.join("/")}`, override: true };
}

/**
 * A hosts.toml. `server` is the site's registry too: without it, what a mirror does not have would
 * be looked for upstream.
 * https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
function hostsToml(entry: Entry | undefined, { registry }: Cluster, access: RegistryAccess): string {
  const base = `${registry.scheme}://${registryName(registry)}`;
  const header =
    access.user === undefined
      ? undefined
      : `Basic ${Buffer.from(`${access.user}:${access.password ?? ""}`).toString("base64")}`;
  const common = [
    `capabilities = ["pull", "resolve"]`,
    ...(access.ca ? [`ca = ${JSON.stringify(access.ca)}`] : []),
  ];
  const headers = (path: string): string[] =>
    header ? [`[${path}header]`, `Authorization = ${JSON.stringify(header)}`] : [];
  const host = (at: Entry): string[] => {
    const key = `host.${JSON.stringify(at.url)}`;
    return [`[${key}]`, ...common, ...(at.override ? ["override_path = true"] : []), ...headers(`${key}.`)];
  };
  return `${[`server = ${JSON.stringify(base)}`, ...common, ...headers(""), ...host(entry ?? { url: base, override: false })].join("\n")}\n`;
}

/** One file for each registry that images of the bundle are from, one for the site's own, and one for all others. */
export function hostsFiles(upstreams: string[], cluster: Cluster, access: RegistryAccess): HostsFile[] {
  const own = registryName(cluster.registry);
  const mirrored = asksByLandedName(cluster)
    ? []
    : upstreams.filter((upstream) => upstream !== own && upstream !== cluster.registry.host);
  return [
    ...mirrored.map((upstream) => ({
      registry: upstream,
      content: hostsToml(mirrorOf(upstream, cluster), cluster, access),
    })),
    { registry: own, content: hostsToml(undefined, cluster, access) },
    { registry: "_default", content: hostsToml(undefined, cluster, access) },
  ];
}
