import pLimit from "p-limit";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import type { Host } from "../host/host.ts";
import { LocalHost } from "../host/local.ts";
import { SshHost } from "../host/ssh.ts";
import type { ClusterHost } from "./cluster.ts";
import type { Home } from "./home.ts";
import { fromEnvironment } from "./secrets.ts";

/** Connections made at a time. */
const AT_ONCE = 20;

import type { Confirm } from "./words.ts";

export interface SessionOptions {
  home: Home;
  /** Asked about hosts that are met for the first time, one after the other. */
  confirm?: Confirm;
  emit: Emit;
  signal?: AbortSignal;
}

/** How one opens a connection to a host; tests put their own in. */
export type Opener = (host: ClusterHost) => Promise<Host>;

/** Secrets by which hosts are reached, for hiding. */
export function sshSecrets(hosts: ClusterHost[]): string[] {
  return hosts.flatMap(({ ssh }) =>
    [ssh.passwordEnv, ssh.passphraseEnv, ssh.sudoPasswordEnv].flatMap((name) =>
      name ? (process.env[name] ?? []) : [],
    ),
  );
}

/** Opens hosts as the cluster file says. Passwords come from the environment, and are asked for only when a host is opened. */
export function opener({ home, confirm, signal }: SessionOptions): Opener {
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
        user: ssh.user,
        port: ssh.port,
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

/** Open connections to the hosts of a run. */
export class Session {
  readonly #open: Opener;
  readonly #hosts: Map<string, ClusterHost>;
  readonly #connections = new Map<string, Host>();

  private constructor(hosts: ClusterHost[], open: Opener) {
    this.#open = open;
    this.#hosts = new Map(hosts.map((host) => [host.name, host]));
  }

  /**
   * Connects to all hosts, side by side.
   * @throws AirgapError naming every host that could not be reached
   */
  static async start(hosts: ClusterHost[], open: Opener): Promise<Session> {
    const session = new Session(hosts, open);
    const limit = pLimit(AT_ONCE);
    const outcomes = await Promise.allSettled(hosts.map((host) => limit(() => session.#connect(host.name))));
    const failures = outcomes.flatMap((outcome) =>
      outcome.status === "rejected" ? [outcome.reason as unknown] : [],
    );
    if (failures.length === 0) return session;
    await session.close();
    throw together(failures);
  }

  get(name: string): Host {
    const host = this.#connections.get(name);
    if (host === undefined) throw new Error(`no connection to ${name}`);
    return host;
  }

  /** A new connection in place of a broken one. */
  async again(name: string): Promise<Host> {
    await this.#connections.get(name)?.close();
    return this.#connect(name);
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#connections.values()].map((host) => host.close()));
  }

  async #connect(name: string): Promise<Host> {
    const settings = this.#hosts.get(name);
    if (settings === undefined) throw new Error(`${name} is no host of this session`);
    const host = await this.#open(settings);
    this.#connections.set(name, host);
    return host;
  }
}

/** Several hosts' failures as one, each named. */
function together(failures: unknown[]): unknown {
  const [first] = failures;
  const known = failures.filter((failure) => isAirgapError(failure));
  if (failures.length === 1 || known.length < failures.length)
    return failures.find((failure) => !isAirgapError(failure)) ?? first;
  const code = known.every((failure) => failure.code === known[0]?.code)
    ? (known[0] as AirgapError).code
    : "network";
  return new AirgapError(
    code,
    `${failures.length} hosts can't be worked on:\n${known.map((failure) => `  ${messageOf(failure)}`).join("\n")}`,
    {
      suggestions: [...new Set(known.flatMap(({ suggestions }) => suggestions))],
    },
  );
}
