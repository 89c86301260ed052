import { AirgapError } from "../errors.ts";
import { containerdHosts, hostsFolder } from "./containerd-hosts.ts";
import { mergeDockerConfig } from "./docker-config.ts";
import type { LandingRules } from "./landing.ts";

export interface RuntimeAccess {
  scheme: "https" | "http";
  /** The registry's certificate authority (PEM). */
  ca?: string | undefined;
  /** Do not check certificates. */
  insecure?: boolean | undefined;
}

/** Files by path below a folder: they make runtimes ask the target for upstream names. */
export type ConfigFiles = Record<string, string>;

/**
 * containerd's files for `config_path`, with the certificate authority.
 * @throws AirgapError `unsupported` for names that mirrors cannot follow
 */
export function containerdFiles(
  upstreams: string[],
  { target, layout, map }: LandingRules,
  { scheme, ca, insecure }: RuntimeAccess,
): ConfigFiles {
  if (map.length > 0)
    throw new AirgapError(
      "unsupported",
      "A mirror keeps paths, and rules with --map do not: rewrite the documents instead",
      { suggestions: ["remove --map or --runtime-config"] },
    );
  const folder = `certs.d/${hostsFolder(target.host)}`;
  const access = { scheme, insecure, ca: ca && `/etc/containerd/${folder}/ca.crt` };
  const hosts = containerdHosts(upstreams, { ...target, layout }, access);
  const files = Object.fromEntries(
    hosts.map(({ folder, content }) => [`containerd/certs.d/${folder}/hosts.toml`, content]),
  );
  return ca ? { ...files, [`containerd/${folder}/ca.crt`]: ca } : files;
}

/**
 * Docker's files: `registry-mirrors` works for docker.io only, and only from a registry's root. Docker
 * has no mirrors for other registries, so documents that name them must be rewritten.
 * https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
 * @returns the files, and the registries that they do not cover
 */
export function dockerFiles(
  upstreams: string[],
  rules: LandingRules,
  { scheme, ca, insecure }: RuntimeAccess,
): { files: ConfigFiles; unserved: string[] } {
  const { host, prefix } = rules.target;
  const mirrored =
    rules.layout === "path" && prefix === "" && rules.map.length === 0 && upstreams.includes("docker.io");
  const config = mergeDockerConfig(
    undefined,
    {
      insecure: insecure || scheme === "http" ? host : undefined,
      mirrors: mirrored ? [`${scheme}://${host}`] : [],
    },
    "here",
  );
  const files: ConfigFiles = { "docker/daemon.json": config };
  if (ca) files[`docker/certs.d/${host}/ca.crt`] = ca;
  return {
    files,
    unserved: upstreams.filter((upstream) => upstream !== host && !(mirrored && upstream === "docker.io")),
  };
}
