import { AirgapError } from "../errors.ts";
import { hostComponent } from "../oci/reference.ts";
import type { NameLayout } from "./landing.ts";

/** How a container runtime reaches the site's registry. */
export interface RegistryAccess {
  scheme: "https" | "http";
  /** File on the host with the registry's certificate authority (PEM). */
  ca?: string | undefined;
  login?: { user: string; password: string } | undefined;
  /** Do not check certificates. */
  insecure?: boolean | undefined;
}

/** Where the site's registry holds the images of upstream registries. */
export interface MirrorTarget {
  /** `register:8443` */
  host: string;
  /** Servers that have the same, in the order in which they are asked; the host itself without them. */
  servers?: readonly string[] | undefined;
  prefix: string;
  layout: NameLayout;
  /** The registry tells upstreams apart by the `ns` that containerd sends, as `airgap serve` does: no path is needed. */
  byNamespace?: boolean | undefined;
}

/** A hosts.toml, with its folder below `config_path`. */
export interface HostsFile {
  /** The registry that the file configures, or undefined for every registry without a file. */
  registry: string | undefined;
  folder: string;
  content: string;
}

/** The folder of a registry below `config_path`: containerd reads `host_port_` on every system; some file systems allow no colon. */
export const hostsFolder = (registry: string): string => registry.replace(/:(\d+)$/, "_$1_");

interface Mirror {
  urls: string[];
  override: boolean;
}

function mirrorOf(
  upstream: string,
  { host, servers = [host], prefix, layout, byNamespace }: MirrorTarget,
  scheme: string,
): Mirror {
  if (layout === "flat")
    throw new AirgapError(
      "unsupported",
      "A mirror keeps paths, and --layout flat does not: rewrite the documents instead",
      { suggestions: ["use --layout host, or remove --runtime-config"] },
    );
  const bases = servers.map((server) => `${scheme}://${server}`);
  const path = [prefix, layout === "host" ? hostComponent(upstream) : ""].filter(Boolean).join("/");
  return byNamespace || path === ""
    ? { urls: bases, override: false }
    : { urls: bases.map((base) => `${base}/v2/${path}`), override: true };
}

/**
 * A hosts.toml. `server` is the site's registry too: without it, containerd would ask the upstream
 * registry for whatever a mirror lacks.
 * https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
function hostsToml(
  base: string,
  { urls, override }: Mirror,
  { ca, login, insecure }: RegistryAccess,
): string {
  const common = [
    'capabilities = ["pull", "resolve"]',
    ...(ca ? [`ca = ${JSON.stringify(ca)}`] : []),
    ...(insecure ? ["skip_verify = true"] : []),
  ];
  const basic = login && `Basic ${Buffer.from(`${login.user}:${login.password}`).toString("base64")}`;
  const header = (table: string): string[] =>
    basic === undefined ? [] : ["", `[${table}]`, `  Authorization = ${JSON.stringify(basic)}`];
  const server = (url: string): string[] => {
    const key = `host.${JSON.stringify(url)}`;
    const own = [...common, ...(override ? ["override_path = true"] : [])];
    return ["", `[${key}]`, ...own.map((line) => `  ${line}`), ...header(`${key}.header`)];
  };
  const lines = [`server = ${JSON.stringify(base)}`, ...common, ...header("header"), ...urls.flatMap(server)];
  return `${lines.join("\n")}\n`;
}

/**
 * One hosts.toml for each upstream registry and one for the site's own.
 * @param others also one for all other registries, so that containerd never asks outside the site
 * @throws AirgapError `unsupported` for a layout that mirrors cannot follow
 */
export function containerdHosts(
  upstreams: readonly string[],
  target: MirrorTarget,
  access: RegistryAccess,
  { others = false }: { others?: boolean } = {},
): HostsFile[] {
  const base = `${access.scheme}://${target.host}`;
  const servers = target.servers ?? [target.host];
  const own: Mirror = { urls: servers.map((server) => `${access.scheme}://${server}`), override: false };
  const files = [...new Set(upstreams)]
    .filter((upstream) => upstream !== target.host)
    .map((upstream) => ({
      registry: upstream as string | undefined,
      mirror: mirrorOf(upstream, target, access.scheme),
    }));
  files.push({ registry: target.host, mirror: own });
  if (others) files.push({ registry: undefined, mirror: own });
  return files.map(({ registry, mirror }) => ({
    registry,
    folder: registry === undefined ? "_default" : hostsFolder(registry),
    content: hostsToml(base, mirror, access),
  }));
}
