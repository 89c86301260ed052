import pLimit from "p-limit";
import { AirgapError, isAirgapError } from "../errors.ts";
import { type Emit, silent } from "../events.ts";
import { type Facts, readFacts } from "../host/facts.ts";
import { LocalHost } from "../host/local.ts";
import { SshHost } from "../host/ssh.ts";
import { HOSTS_AT_ONCE } from "../plan/execute.ts";
import { joined, type Opener, type Session } from "../plan/session.ts";
import type { StateDir } from "../plan/state-dir.ts";
import { counted } from "../plan/tally.ts";
import type { ClusterHost } from "./cluster.ts";
import { fromEnvironment } from "./environment.ts";
import type { Confirm } from "./flags.ts";

export interface ConnectOptions {
  /** Decides about the keys of unknown hosts, one after the other. */
  confirm?: Confirm | undefined;
  /** Replaces SSH in tests. */
  open?: Opener<ClusterHost> | undefined;
  signal?: AbortSignal | undefined;
  /** Is told which hosts answered so far. */
  emit?: Emit | undefined;
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

/** What was read of the hosts that answered, and why the others did not. */
export interface AllFacts {
  facts: Record<string, Facts>;
  lost: Record<string, AirgapError>;
}

/** Reads the facts of several hosts side by side. One whose connection breaks meanwhile holds none of the others. */
export async function askAllFacts(
  hosts: ClusterHost[],
  session: Session<ClusterHost>,
  { signal, emit = silent }: Pick<ConnectOptions, "signal" | "emit">,
  parallel = HOSTS_AT_ONCE,
): Promise<AllFacts> {
  const limit = pLimit(parallel);
  const told = counted("facts", hosts.length, emit);
  const read = async (name: string): Promise<Facts | AirgapError> => {
    told.started(name);
    const answer = await readFacts(session.get(name), signal ? { signal } : {}).catch((error: unknown) => {
      if (isAirgapError(error, "network")) return error;
      throw error;
    });
    told.ended(name, answer instanceof AirgapError ? "failed" : "done");
    return answer;
  };
  const answers = await Promise.all(
    hosts.map(({ name }) => limit(async () => [name, await read(name)] as const)),
  );
  const found: AllFacts = { facts: {}, lost: {} };
  for (const [name, answer] of answers)
    if (answer instanceof AirgapError) found.lost[name] = answer;
    else found.facts[name] = answer;
  return found;
}

/** The same, where every host is needed. @throws AirgapError naming every host whose connection broke */
export async function readAllFacts(
  hosts: ClusterHost[],
  session: Session<ClusterHost>,
  signal: AbortSignal | undefined,
): Promise<Record<string, Facts>> {
  const { facts, lost } = await askAllFacts(hosts, session, { signal });
  const failures = Object.values(lost);
  if (failures.length > 0) throw joined(failures);
  return facts;
}
