import { setTimeout as sleep } from "node:timers/promises";
import type { Emit } from "../events.ts";
import { STAGE_NAMES } from "../install/stages/index.ts";
import type { Engine, MachineUsage } from "../transport/engine.ts";
import type { RunningHost } from "./hosts.ts";

const EVERY_MS = 3000;

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
        const now = await this.#engine.usage(id).catch(() => undefined);
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

/** How long each stage took, by the events of a run that pass through. */
export class StageClock {
  readonly #stages: { stage: string; ms: number }[] = [];
  readonly #prefix: string;
  #current: { stage: string; since: number };

  /** @param prefix before each stage's name, to tell two runs apart */
  constructor(prefix = "") {
    this.#prefix = prefix;
    this.#current = { stage: "checks", since: performance.now() };
  }

  through(emit: Emit): Emit {
    return (event) => {
      if (
        event.type === "phase" &&
        STAGE_NAMES.some((name) => event.name === name || event.name.endsWith(` ${name}`))
      )
        this.#next(event.name);
      emit(event);
    };
  }

  #next(stage: string): void {
    const { stage: last, since } = this.#current;
    this.#stages.push({ stage: `${this.#prefix}${last}`, ms: Math.round(performance.now() - since) });
    this.#current = { stage, since: performance.now() };
  }

  end(): { stage: string; ms: number }[] {
    this.#next("");
    return this.#stages;
  }
}
