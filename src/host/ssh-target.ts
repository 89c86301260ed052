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

/** What ssh is called with, once ssh_config has been asked. */
export interface Resolved {
  /** Options and destination that every call has. */
  args: string[];
  /** Under which names a password prompt may speak of this host. */
  names: string[];
  user: string;
  /** No jump host and no proxy in between. */
  direct: boolean;
}

/** `ssh -G`: the configuration that would count for a destination. */
async function configOf(destination: string): Promise<Map<string, string>> {
  try {
    const { code, stdout, stderr } = await run("ssh", ["-G", "--", destination], { timeoutMs: 10_000 });
    if (code !== 0)
      throw new AirgapError("environment", `ssh does not take its configuration: ${stderr.trim()}`, {
        suggestions: [`ssh -G ${destination}`],
      });
    return new Map(
      stdout.split("\n").map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]),
    );
  } catch (cause) {
    if (isAirgapError(cause)) throw cause;
    throw new AirgapError("environment", `ssh can't be started: ${messageOf(cause)}`, {
      cause,
      suggestions: ["apt-get install openssh-client", "dnf install openssh-clients"],
    });
  }
}

const named = (value: string | undefined): boolean => value !== undefined && value !== "none" && value !== "";

/**
 * Asks ssh_config about a host: by its name when it has an entry there that leads to its address,
 * else by its address. Without a user of its own, the entry's counts, and then root.
 */
export async function resolveTarget(
  target: SshTarget,
  options: { fingerprint?: string; knownHosts: string },
): Promise<Resolved> {
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
    ...(options.fingerprint ? pinned(options.fingerprint, options.knownHosts) : []),
    "--",
    alias ? target.name : target.address,
  ];
  const names = [...new Set([target.address, target.name, config.get("hostname") ?? target.address])];
  return { args, names, user, direct: !named(config.get("proxyjump")) && !named(config.get("proxycommand")) };
}

/** Only keys that were accepted by this very fingerprint count; any other in the file is forgotten. */
function pinned(fingerprint: string, knownHosts: string): string[] {
  if (
    existsSync(knownHosts) &&
    !readFileSync(knownHosts, "utf8")
      .split("\n")
      .some((line) => fingerprintOf(line) === fingerprint)
  )
    rmSync(knownHosts);
  return ["-o", `UserKnownHostsFile=${knownHosts}`, "-o", "GlobalKnownHostsFile=/dev/null"];
}

/** Of a line of known_hosts: `host type base64`. */
function fingerprintOf(line: string): string {
  const key = line.split(" ")[2] ?? "";
  return `SHA256:${createHash("sha256").update(Buffer.from(key, "base64")).digest("base64").replace(/=+$/, "")}`;
}

/** Options of the call that makes the connection. */
export function connectionOptions({ direct }: Resolved, { password }: { password?: string }): string[] {
  const options = [
    "ControlPersist=no",
    "StrictHostKeyChecking=ask",
    "NumberOfPasswordPrompts=1",
    "ConnectTimeout=15",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "ForwardAgent=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    // Neither the target nor a jump host is to be asked for a password that nobody has.
    ...(password === undefined && direct
      ? ["PasswordAuthentication=no", "KbdInteractiveAuthentication=no"]
      : []),
  ];
  return ["-T", ...options.flatMap((option) => ["-o", option])];
}
