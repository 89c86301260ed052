import { AirgapError } from "../errors.ts";
import { hostComponent } from "../oci/reference.ts";
import type { LandingRules } from "./landing.ts";

export interface RuntimeAccess {
  scheme: "https" | "http";
  /** PEM of the registry's authority. */
  ca?: string | undefined;
  /** Certificates are not checked. */
  insecure?: boolean | undefined;
}

/** Files below a folder, by path: what makes runtimes ask the target under the upstream names. */
export type ConfigFiles = Record<string, string>;

/** The URL under which an upstream registry's repositories are found at the target, and whether it is more than a host. */
function mirrorUrl(
  upstream: string,
  { target, layout, map }: LandingRules,
  scheme: string,
): { url: string; override: boolean } {
  if (layout === "flat" || map.length > 0) {
    throw new AirgapError(
      "unsupported",
      `A mirror keeps paths, and ${map.length > 0 ? "rules with --map" : "--layout flat"} don't: documents have to be rewritten, runtimes can't be told`,
      {
        suggestions: ["use --layout host, or leave the runtime's configuration out"],
      },
    );
  }
  const path = [target.prefix, layout === "host" ? hostComponent(upstream) : ""].filter(Boolean).join("/");
  const base = `${scheme}://${target.host}`;
  return path === "" ? { url: base, override: false } : { url: `${base}/v2/${path}`, override: true };
}

/**
 * containerd's tree for `config_path`: one hosts.toml for each upstream registry. `server` is the
 * target too, so that what it does not have is not looked for upstream.
 * https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
export function containerdFiles(
  upstreams: string[],
  rules: LandingRules,
  access: RuntimeAccess,
): ConfigFiles {
  const files: ConfigFiles = {};
  const base = `${access.scheme}://${rules.target.host}`;
  const common = [
    'capabilities = ["pull", "resolve"]',
    ...(access.ca ? [`ca = "/etc/containerd/certs.d/${folder(rules.target.host)}/ca.crt"`] : []),
    ...(access.insecure ? ["skip_verify = true"] : []),
  ];
  for (const upstream of new Set([...upstreams, rules.target.host])) {
    const { url, override } =
      upstream === rules.target.host
        ? { url: base, override: false }
        : mirrorUrl(upstream, rules, access.scheme);
    const lines = [
      `server = ${JSON.stringify(base)}`,
      ...common,
      "",
      `[host.${JSON.stringify(url)}]`,
      ...[...common, ...(override ? ["override_path = true"] : [])].map((line) => `  ${line}`),
    ];
    files[`containerd/certs.d/${folder(upstream)}/hosts.toml`] = `${lines.join("\n")}\n`;
  }
  if (access.ca) files[`containerd/certs.d/${folder(rules.target.host)}/ca.crt`] = access.ca;
  return files;
}

/** containerd's name for the folder of a registry: a colon is none on every system, and `_port_` is read too. */
const folder = (host: string): string => host.replace(/:(\d+)$/, "_$1_");

/**
 * Docker's files: `registry-mirrors` serves docker.io only, and only from a registry's root; other
 * registries have no mirrors there, so what names them has to be rewritten.
 * https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
 * @returns the files, and the registries that they can't help with
 */
export function dockerFiles(
  upstreams: string[],
  rules: LandingRules,
  access: RuntimeAccess,
): { files: ConfigFiles; unserved: string[] } {
  const { host, prefix } = rules.target;
  const mirrors =
    rules.layout === "path" && prefix === "" && rules.map.length === 0 && upstreams.includes("docker.io")
      ? [`${access.scheme}://${host}`]
      : [];
  const daemon = {
    ...(access.insecure || access.scheme === "http" ? { "insecure-registries": [host] } : {}),
    ...(mirrors.length > 0 ? { "registry-mirrors": mirrors } : {}),
  };
  const files: ConfigFiles = { "docker/daemon.json": `${JSON.stringify(daemon, null, 2)}\n` };
  if (access.ca) files[`docker/certs.d/${host}/ca.crt`] = access.ca;
  return {
    files,
    unserved: upstreams.filter(
      (upstream) => upstream !== host && !(upstream === "docker.io" && mirrors.length > 0),
    ),
  };
}
