import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { userInfo } from "node:os";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import { run } from "./process.ts";

/** A host as the cluster file names it. */
export interface SshTarget {
  name: string;
  address: string;
  user?: string;
  port?: number;
  identityFile?: string;
}

/** How to call ssh for a host, after reading ssh_config. */
export interface ResolvedTarget {
  /** Options and destination of every call. */
  args: string[];
  /** Names by which ssh may ask about this host. */
  names: string[];
  user: string;
}

/** `ssh -G`: the configuration that applies to a destination. */
async function configOf(destination: string): Promise<Map<string, string>> {
  try {
    const { code, stdout, stderr } = await run("ssh", ["-G", "--", destination], { timeoutMs: 10_000 });
    if (code !== 0)
      throw new AirgapError("environment", `ssh rejects its configuration: ${stderr.trim()}`, {
        suggestions: [`ssh -G ${destination}`],
      });
    return new Map(
      stdout.split("\n").map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]),
    );
  } catch (cause) {
    if (isAirgapError(cause)) throw cause;
    throw new AirgapError("environment", `cannot start ssh: ${messageOf(cause)}`, {
      cause,
      suggestions: ["apt-get install openssh-client", "dnf install openssh-clients"],
    });
  }
}

/**
 * Looks a host up in ssh_config: by its name when that has an entry with its address, else by its
 * address. Without a user in the cluster file, the entry's user is used, and then root.
 */
export async function resolveTarget(
  target: SshTarget,
  options: { fingerprint?: string; knownHosts: string; passphrase?: string },
): Promise<ResolvedTarget> {
  const byName = await configOf(target.name);
  const alias = byName.get("hostname") === target.address;
  const config = alias ? byName : await configOf(target.address);
  const configured = config.get("user");
  const user =
    target.user ?? (configured !== undefined && configured !== userInfo().username ? configured : "root");
  const args = [
    "-l",
    user,
    ...(target.port ? ["-p", String(target.port)] : []),
    ...(target.identityFile ? ["-i", target.identityFile, "-o", "IdentitiesOnly=yes"] : []),
    // A command of the user's own configuration would run in the place of ours.
    ...(config.has("remotecommand") ? ["-o", "RemoteCommand=none"] : []),
    // OpenSSH before 8.5 does not say whose prompt it shows: a server could ask for the passphrase of a key.
    ...(options.passphrase && !config.has("knownhostscommand")
      ? ["-o", "KbdInteractiveAuthentication=no"]
      : []),
    ...(options.fingerprint ? pinned(options.fingerprint, options.knownHosts, config) : []),
    "--",
    alias ? target.name : target.address,
  ];
  const known = [target.address, target.name, config.get("hostname"), config.get("hostkeyalias")];
  const names = [...new Set(known)].filter(
    (name) => name !== undefined && /^[^\s']+$/.test(name),
  ) as string[];
  return { args, names, user };
}

/**
 * ssh accepts only the key with this fingerprint: a file with another key is removed, and every other
 * source of keys that ssh_config names is turned off.
 */
function pinned(fingerprint: string, knownHosts: string, config: Map<string, string>): string[] {
  if (
    existsSync(knownHosts) &&
    readFileSync(knownHosts, "utf8")
      .split("\n")
      .some((line) => line !== "" && fingerprintOf(line) !== fingerprint)
  )
    rmSync(knownHosts);
  const options = [
    `UserKnownHostsFile="${knownHosts}"`,
    "GlobalKnownHostsFile=/dev/null",
    // OpenSSH before 8.5 does not have it.
    ...(config.has("knownhostscommand") ? ["KnownHostsCommand=none"] : []),
    "VerifyHostKeyDNS=no",
    "NoHostAuthenticationForLocalhost=no",
    "UpdateHostKeys=no",
  ];
  return options.flatMap((option) => ["-o", option]);
}

/** The fingerprint of a line of known_hosts: `host type base64`. */
function fingerprintOf(line: string): string {
  const key = line.split(" ")[2] ?? "";
  return `SHA256:${createHash("sha256").update(Buffer.from(key, "base64")).digest("base64").replace(/=+$/, "")}`;
}

/** Options of the call that makes the connection. */
export function connectionOptions({ password }: { password?: string }): string[] {
  const options = [
    "ControlPersist=no",
    "StrictHostKeyChecking=ask",
    "FingerprintHash=sha256",
    "VisualHostKey=no",
    "NumberOfPasswordPrompts=1",
    "ConnectTimeout=15",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "ForwardAgent=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    // Without a password there is no point in asking for one.
    ...(password === undefined ? ["PasswordAuthentication=no", "KbdInteractiveAuthentication=no"] : []),
  ];
  return ["-T", ...options.flatMap((option) => ["-o", option])];
}
