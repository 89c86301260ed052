import { setTimeout as sleep } from "node:timers/promises";
import type { Emit } from "../events.ts";
import type { Engine, MachineUsage } from "../transport/engine.ts";
import type { RunningHost } from "./hosts.ts";

const EVERY_MS = 3000;

/** What a host itself knows of it: cgroups of both versions, and the network of the rehearsal. */
const OWN = `cd /sys/fs/cgroup; [ ! -d memory ] || cd memory
cat memory.usage_in_bytes memory.current 2>/dev/null | head -n 1 | sed 's/^/memory /'
sed -n 's/^\\(total_\\)*inactive_file /files /p' memory.stat 2>/dev/null | tail -n 1
sed -n 's/^ *eth0: *//p' /proc/net/dev | tr -s ' ' | sed 's/^/network /'`;

/** For an engine without numbers, as Docker's where cgroups have version 1 and not every hierarchy is mounted. */
export async function ownUsage(engine: Engine, id: string): Promise<MachineUsage | undefined> {
  const { code, stdout } = await engine.exec(id, ["/bin/sh", "-c", OWN]);
  if (code !== 0) return undefined;
  const numbers = (word: string): number[] => {
    const line = stdout.split("\n").find((each) => each.startsWith(`${word} `)) ?? "";
    return line
      .split(" ")
      .slice(1)
      .map((each) => Number(each) || 0);
  };
  const [[memory = 0], [files = 0], network] = [numbers("memory"), numbers("files"), numbers("network")];
  // Received bytes are the first of its columns, sent ones the ninth: proc_pid_net(5).
  return {
    memoryBytes: Math.max(0, memory - files),
    receivedBytes: network[0] ?? 0,
    sentBytes: network[8] ?? 0,
  };
}

/** Watches how much memory and traffic hosts use while something runs. */
export class Meter {
  readonly #engine: Engine;
  readonly #hosts: readonly RunningHost[];
  readonly #most = new Map<string, MachineUsage>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(engine: Engine, hosts: readonly RunningHost[]) {
    this.#engine = engine;
    this.#hosts = hosts;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#look();
      await sleep(EVERY_MS, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  async #look(): Promise<void> {
    await Promise.all(
      this.#hosts.map(async ({ id, name }) => {
        // A host that was just stopped has no numbers; the last ones stay.
        const told = await this.#engine.usage(id).catch(() => undefined);
        const now = told ?? (await ownUsage(this.#engine, id).catch(() => undefined));
        if (now === undefined) return;
        const before = this.#most.get(name);
        this.#most.set(name, {
          memoryBytes: Math.max(now.memoryBytes, before?.memoryBytes ?? 0),
          receivedBytes: Math.max(now.receivedBytes, before?.receivedBytes ?? 0),
          sentBytes: Math.max(now.sentBytes, before?.sentBytes ?? 0),
        });
      }),
    );
  }

  /** The most that each host has used, by its name. */
  async end(): Promise<ReadonlyMap<string, MachineUsage>> {
    this.#stop.abort();
    await this.#running;
    await this.#look();
    return this.#most;
  }
}

/** How long each stage took, by the events of a run that pass through. Stages may overlap. */
export class StageClock {
  readonly #stages: { stage: string; since: number; ms?: number }[] = [];
  readonly #prefix: string;

  /** @param prefix before each stage's name, to tell two runs apart */
  constructor(prefix = "") {
    this.#prefix = prefix;
    this.#stages.push({ stage: "checks", since: performance.now() });
  }

  through(emit: Emit): Emit {
    return (event) => {
      if (event.type === "stage" && event.before !== true) this.#take(event.name, event.state);
      emit(event);
    };
  }

  #take(stage: string, state: "started" | "done"): void {
    if (this.#stages.length === 1) this.#close("checks");
    if (state === "started") this.#stages.push({ stage, since: performance.now() });
    else this.#close(stage);
  }

  #close(name: string): void {
    const found = this.#stages.findLast(({ stage }) => stage === name);
    if (found) found.ms ??= Math.round(performance.now() - found.since);
  }

  end(): { stage: string; ms: number }[] {
    for (const { stage } of this.#stages) this.#close(stage);
    return this.#stages.map(({ stage, ms = 0 }) => ({ stage: `${this.#prefix}${stage}`, ms }));
  }
}
