import pLimit from "p-limit";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import { type Emit, silent } from "../events.ts";
import type { Host } from "../host/host.ts";
import { counted } from "./tally.ts";

/** Connections opened at a time. */
const AT_ONCE = 20;

/** Opens a connection to a host; tests replace it. */
export type Opener<Settings> = (host: Settings) => Promise<Host>;

/** How a plan reaches its hosts. */
export interface Connections {
  get(name: string): Host;
  /** Opens a new connection in place of a broken one. */
  again(name: string): Promise<Host>;
}

/** Open connections to the hosts of a run. */
export class Session<Settings extends { name: string } = { name: string }> implements Connections {
  readonly #open: Opener<Settings>;
  readonly #hosts: Map<string, Settings>;
  readonly #connections = new Map<string, Host>();

  private constructor(hosts: Settings[], open: Opener<Settings>) {
    this.#open = open;
    this.#hosts = new Map(hosts.map((host) => [host.name, host]));
  }

  /**
   * Connects to all hosts, side by side.
   * @throws AirgapError naming every unreachable host
   */
  static async start<Settings extends { name: string }>(
    hosts: Settings[],
    open: Opener<Settings>,
  ): Promise<Session<Settings>> {
    const { session, failures } = await Session.reach(hosts, open);
    const causes = Object.values(failures);
    if (causes.length === 0) return session;
    await session.close();
    throw joined(causes);
  }

  /**
   * Connects to those hosts that can be reached, side by side; says of the others why not.
   * @throws AirgapError when none can be reached, when it was interrupted, or when the settings of one are wrong
   */
  static async reach<Settings extends { name: string }>(
    hosts: Settings[],
    open: Opener<Settings>,
    { parallel = AT_ONCE, emit = silent }: { parallel?: number | undefined; emit?: Emit | undefined } = {},
  ): Promise<{ session: Session<Settings>; failures: Record<string, AirgapError> }> {
    const session = new Session(hosts, open);
    const limit = pLimit(Math.min(parallel, AT_ONCE));
    const told = counted("connections", hosts.length, emit);
    const connect = async ({ name }: Settings): Promise<void> => {
      let state: "done" | "failed" = "failed";
      told.started(name);
      try {
        await session.#connect(name);
        state = "done";
      } finally {
        told.ended(name, state);
      }
    };
    const outcomes = await Promise.allSettled(hosts.map((host) => limit(() => connect(host))));
    const failures = hosts.flatMap(({ name }, i) => {
      const outcome = outcomes[i];
      return outcome?.status === "rejected" ? [{ name, cause: outcome.reason as unknown }] : [];
    });
    // A mistake in the cluster file or the command line says nothing about the host.
    const known = failures.flatMap(({ name, cause }) =>
      isAirgapError(cause) && !isAirgapError(cause, "interrupted", "usage", "spec")
        ? [[name, cause] as const]
        : [],
    );
    if (failures.length < Math.max(hosts.length, 1) && known.length === failures.length)
      return { session, failures: Object.fromEntries(known) };
    await session.close();
    const wrong = failures.find(({ cause }) => isAirgapError(cause, "usage", "spec"));
    throw wrong ? wrong.cause : joined(failures.map(({ cause }) => cause));
  }

  /** Whether there is a connection to a host. */
  has(name: string): boolean {
    return this.#connections.has(name);
  }

  get(name: string): Host {
    const host = this.#connections.get(name);
    if (host === undefined) throw new Error(`no connection to ${name}`);
    return host;
  }

  async again(name: string): Promise<Host> {
    await this.#connections.get(name)?.close();
    return this.#connect(name);
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#connections.values()].map((host) => host.close()));
  }

  async #connect(name: string): Promise<Host> {
    const settings = this.#hosts.get(name);
    if (settings === undefined) throw new Error(`${name} is not a host of this session`);
    const host = await this.#open(settings);
    this.#connections.set(name, host);
    return host;
  }
}

/** Several hosts' failures as one, each named. */
export function joined(failures: unknown[]): unknown {
  const [first] = failures;
  const known = failures.filter((failure) => isAirgapError(failure));
  if (failures.length === 1 || known.length < failures.length)
    return failures.find((failure) => !isAirgapError(failure)) ?? first;
  const code = known.every((failure) => failure.code === known[0]?.code)
    ? (known[0] as AirgapError).code
    : "network";
  return new AirgapError(
    code,
    `Cannot work on ${failures.length} hosts:\n${known.map((failure) => `  ${messageOf(failure)}`).join("\n")}`,
    { suggestions: [...new Set(known.flatMap(({ suggestions }) => suggestions))] },
  );
}
