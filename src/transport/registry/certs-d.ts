import { accessSync, constants, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Trust } from "../../tls.ts";

/** Where podman, skopeo and Docker keep certificates by registry. containers-certs.d(5), dockerd(8) */
function folders(env: NodeJS.ProcessEnv): string[] {
  const home = env["HOME"] || homedir();
  return [
    join(env["XDG_CONFIG_HOME"] || join(home, ".config"), "containers/certs.d"),
    join(home, ".docker/certs.d"),
    "/etc/containers/certs.d",
    "/etc/docker/certs.d",
  ];
}

const isReadable = (file: string): boolean => {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
};

function list(folder: string): string[] {
  try {
    return readdirSync(folder).toSorted();
  } catch {
    return [];
  }
}

/**
 * The authorities (`*.crt`) and the client certificate (`NAME.cert` with `NAME.key`) that the machine
 * keeps for a registry in `certs.d/HOST[:PORT]`. Files that may not be read are left out.
 * @param host as references write it
 */
export function hostTrust(host: string, env: NodeJS.ProcessEnv = process.env): Trust {
  // Names of hosts have no slash; nothing else may lead out of the folder.
  if (!/^[a-z0-9[\]:._-]+$/i.test(host) || /^\.+$/.test(host)) return {};
  const names = host.endsWith(":443") ? [host, host.slice(0, -":443".length)] : [host];
  const found = folders(env)
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .map((folder) => ({ folder, files: list(folder) }))
    .filter(({ files }) => files.length > 0);
  const trust: Trust = {};
  const authorities = found
    .flatMap(({ folder, files }) =>
      files.filter((name) => name.endsWith(".crt")).map((name) => join(folder, name)),
    )
    .filter(isReadable);
  if (authorities.length > 0) trust.hostCaFiles = authorities;
  for (const { folder, files } of found) {
    const name = files.find(
      (file) => file.endsWith(".cert") && files.includes(file.replace(/\.cert$/, ".key")),
    );
    if (name === undefined || trust.clientCert !== undefined) continue;
    const [cert, key] = [join(folder, name), join(folder, name.replace(/\.cert$/, ".key"))];
    if (isReadable(cert) && isReadable(key)) Object.assign(trust, { clientCert: cert, clientKey: key });
  }
  return trust;
}
