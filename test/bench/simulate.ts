// An installation of many hosts that only take their time: node test/bench/simulate.ts FOLDER HOSTS PARALLEL
// Prints what the engine itself used, as JSON. test/bench/ssh.ts calls it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClusterHost } from "../../src/cluster/cluster.ts";
import { factsScript } from "../../src/host/facts.ts";
import type { Host, Output, RunOptions } from "../../src/host/host.ts";
import { install } from "../../src/install/install.ts";
import { MARK } from "../../src/plan/protocol.ts";
import { factsOf, recordedHosts, SECONDS, writeSite } from "./recorded-site.ts";

/** What a run of the engine used. Seconds, bytes. */
export interface Simulated {
  hosts: number;
  parallel: number;
  wall: number;
  cpu: number;
  peakRss: number;
}

/** Milliseconds for a login, and for a command over a connection that stands: a round trip of 1 ms, and what sshd takes. */
const LOGIN_MS = 250;
const COMMAND_MS = 30;

/** Answers as recorded-host.sh does, in this process. */
class SimulatedHost implements Host {
  readonly name: string;
  readonly #facts: () => string;
  readonly #done = new Set<string>();

  constructor(name: string, facts: () => string) {
    this.name = name;
    this.#facts = facts;
  }

  async run(script: string, { onStdout, signal }: RunOptions = {}): Promise<Output> {
    await sleep(COMMAND_MS, undefined, signal ? { signal } : {});
    if (script === factsScript()) return { code: 0, stdout: this.#facts(), stderr: "" };
    const mode = /^airgap_mode=(check|apply)$/m.exec(script)?.[1];
    if (mode === undefined)
      return script.includes("stat -c %s ")
        ? { code: 0, stdout: "0\n", stderr: "" }
        : { code: 1, stdout: "", stderr: "" };
    for (const [, step = ""] of script.matchAll(/^run '?([a-z][^ ']*)'? /gm)) {
      const state = this.#done.has(step) ? "already" : mode === "check" ? "would-change" : "done";
      const seconds = state === "done" ? (SECONDS[step] ?? 0) : 0;
      onStdout?.(`\n${MARK} begin ${step}\n${state === "done" ? `\n${MARK} applying ${step}\n` : ""}`);
      if (seconds > 0) await sleep(seconds * 1000, undefined, signal ? { signal } : {});
      if (state === "done") this.#done.add(step);
      onStdout?.(`\n${MARK} end ${step} ${state}\n`);
    }
    return { code: 0, stdout: "", stderr: "" };
  }

  async pipe(_: string, input: Readable): Promise<Output> {
    await finished(input.resume());
    return { code: 0, stdout: "", stderr: "" };
  }

  async close(): Promise<void> {}
}

const [dir = "", count = "", at = ""] = process.argv.slice(2);
const [hosts, parallel] = [Number(count), Number(at)];
const all = recordedHosts(hosts, (i) => `10.1.${i >> 8}.${i & 255}`);
await writeSite(dir, all);
const now = (): string => String(Math.round(Date.now() / 1000));
const played = new Map(
  all.map((host, i) => [host.name, new SimulatedHost(host.name, () => factsOf(host, i, now()))]),
);
const [began, before] = [performance.now(), process.cpuUsage()];
const { steps } = await install({
  clusterFile: join(dir, "cluster.yaml"),
  bundle: join(dir, "site.tar"),
  dryRun: false,
  ignoreChecks: [],
  parallel,
  open: async ({ name }: ClusterHost) => {
    await sleep(LOGIN_MS);
    return played.get(name) as SimulatedHost;
  },
  emit: () => {},
});
if (steps.some(({ state }) => state !== "done")) throw new Error("not every step was applied");
const { user, system } = process.cpuUsage(before);
const result: Simulated = {
  ...{ hosts, parallel },
  wall: (performance.now() - began) / 1000,
  cpu: (user + system) / 1e6,
  peakRss: Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0) * 1024,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
