import pLimit from "p-limit";
import { type Facts, readFacts } from "../host/facts.ts";
import { LocalHost } from "../host/local.ts";
import { SshHost } from "../host/ssh.ts";
import { HOSTS_AT_ONCE } from "../plan/execute.ts";
import type { Opener, Session } from "../plan/session.ts";
import type { StateDir } from "../plan/state-dir.ts";
import type { ClusterHost } from "./cluster.ts";
import { fromEnvironment } from "./environment.ts";
import type { Confirm } from "./flags.ts";

export interface ConnectOptions {
  /** Decides about the keys of unknown hosts, one after the other. */
  confirm?: Confirm | undefined;
  /** Replaces SSH in tests. */
  open?: Opener<ClusterHost> | undefined;
  signal?: AbortSignal | undefined;
}

/** Secrets of the connections, to be masked. */
export function sshSecrets(hosts: ClusterHost[]): string[] {
  return hosts.flatMap(({ ssh }) =>
    [ssh.passwordEnv, ssh.passphraseEnv, ssh.sudoPasswordEnv].flatMap((name) =>
      name ? (process.env[name] ?? []) : [],
    ),
  );
}

/** Opens hosts as the cluster file says. Reads passwords from the environment, only when it opens a host. */
export function openerFor(home: StateDir, { confirm, open, signal }: ConnectOptions): Opener<ClusterHost> {
  if (open) return open;
  const oneByOne = pLimit(1);
  return (host) => {
    const { ssh } = host;
    const sudoPassword = fromEnvironment(ssh.sudoPasswordEnv, "ssh.sudoPasswordEnv");
    const become = { sudo: ssh.sudo, ...(sudoPassword === undefined ? {} : { password: sudoPassword }) };
    if (host.connection === "local") return LocalHost.open(host.name, become);
    const password = process.env[ssh.passwordEnv ?? ""];
    const passphrase = fromEnvironment(ssh.passphraseEnv, "ssh.passphraseEnv");
    return SshHost.open(
      {
        name: host.name,
        address: host.address,
        ...(ssh.user ? { user: ssh.user } : {}),
        ...(ssh.port ? { port: ssh.port } : {}),
        ...(ssh.identityFile ? { identityFile: ssh.identityFile } : {}),
      },
      {
        become,
        knownHosts: home.path(`known_hosts.${host.name}`),
        ...(password ? { password } : {}),
        ...(ssh.passwordEnv ? { passwordEnv: ssh.passwordEnv } : {}),
        ...(passphrase ? { passphrase } : {}),
        ...(host.hostKey ? { fingerprint: host.hostKey } : {}),
        ...(confirm ? { confirm: (key) => oneByOne(() => confirm(host.name, key)) } : {}),
        ...(signal ? { signal } : {}),
      },
    );
  };
}

/** Reads the facts of several hosts side by side. */
export async function readAllFacts(
  hosts: ClusterHost[],
  session: Session<ClusterHost>,
  signal: AbortSignal | undefined,
  parallel = HOSTS_AT_ONCE,
): Promise<Record<string, Facts>> {
  const limit = pLimit(parallel);
  const read = await Promise.all(
    hosts.map(({ name }) =>
      limit(async () => [name, await readFacts(session.get(name), signal ? { signal } : {})] as const),
    ),
  );
  return Object.fromEntries(read);
}
