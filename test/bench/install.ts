// How long install takes on 1, 3 and 10 booted hosts, up to a running container runtime, and how much
// of it is not the hosts' own commands. Needs root and what test/e2e/rig needs.
//   node test/bench/install.ts [--hosts 1,3,10] [--rounds 3] [--no-write]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { InstallResult } from "../../src/install/install.ts";
import { installPrograms } from "../e2e/rig/prepare.ts";
import { Rig } from "../e2e/rig/rig.ts";
import { must } from "../e2e/rig/shell.ts";
import { clusterFile, type Member, Operator } from "../e2e/rig/site.ts";
import { SMALL_VERSION, smallBundle } from "../e2e/rig/small.ts";
import { conditions } from "./machine.ts";
import { writeSection } from "./table.ts";

const root = join(import.meta.dirname, "../..");
const { values } = parseArgs({
  options: {
    hosts: { type: "string", default: "1,3,10" },
    rounds: { type: "string", default: "3" },
    "no-write": { type: "boolean", default: false },
  },
});
const say = (text: string): void => void process.stderr.write(`${text}\n`);
/** What a cluster would need to be compiled for. */
const WITHOUT = ["control-plane", "network", "workers", "addons", "verify"].flatMap((stage) => [
  "--skip",
  stage,
]);

/** Seconds. */
interface Times {
  what: string;
  hosts: number;
  wall: number;
  connecting: number;
  commands: number;
  /** What is left: planning, sending, waiting for the network. */
  ours: number;
}

async function measure(operator: Operator, hosts: number, what: string, args: string[]): Promise<Times> {
  const began = performance.now();
  const printed = await operator.airgap(["install", ...args, "--yes", "--json", "--quiet"]);
  const wall = (performance.now() - began) / 1000;
  if (printed.code !== 0)
    throw new Error(`${what} on ${hosts} hosts: exit ${printed.code}\n${printed.stderr.slice(-4000)}`);
  const { time } = JSON.parse(printed.stdout) as InstallResult;
  const { connecting = 0, commands = 0 } = time ?? {};
  const times = {
    what,
    hosts,
    wall,
    connecting: connecting / 1000,
    commands: commands / 1000,
    ours: wall - (connecting + commands) / 1000,
  };
  say(
    `${hosts} hosts, ${what}: ${Object.entries(times)
      .flatMap(([name, value]) =>
        typeof value === "number" && name !== "hosts" ? [`${name} ${value.toFixed(2)} s`] : [],
      )
      .join(", ")}`,
  );
  return times;
}

async function onHosts(count: number, rounds: number, folder: string, bundle: string): Promise<Times[]> {
  await using rig = await Rig.create("10.79.0");
  const password = "bench";
  const members: Member[] = [];
  for (let i = 0; i < count; i++) {
    const host = await rig.host({ name: i === 0 ? "cp1" : `w${i}`, password });
    members.push(i === 0 ? [host, "control-plane", "registry"] : [host, "worker"]);
  }
  const cluster = await clusterFile(folder, members, {
    kubernetes: { version: SMALL_VERSION },
    network: "none",
  });
  const operator = new Operator(rig, { AIRGAP_SSH_PASSWORD: password });
  const args = [cluster, "--bundle", bundle, ...WITHOUT];
  const times = [await measure(operator, count, "first", args)];
  for (let round = 0; round < rounds; round++)
    times.push(await measure(operator, count, "again, nothing to do", args));
  return times;
}

const median = (numbers: number[]): string =>
  (numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0).toFixed(2);

function tableOf(times: Times[]): string {
  const rows = [...Map.groupBy(times, ({ hosts, what }) => `${hosts} | ${what}`)].map(([name, group]) => {
    const cells = (["wall", "connecting", "commands", "ours"] as const).map((key) =>
      median(group.map((each) => each[key])),
    );
    return `| ${[name, ...cells].join(" | ")} |`;
  });
  return [
    "| hosts | run | wall s | connecting and facts | hosts' own commands | ours |",
    "| --: | --- | --: | --: | --: | --: |",
    ...rows,
  ].join("\n");
}

const folder = mkdtempSync(join(tmpdir(), "airgap-bench-install-"));
try {
  await installPrograms();
  const note = conditions([]);
  await must("npm", ["run", "pack", "--", process.arch], { cwd: root, timeoutMs: 600_000 });
  const bundle = await smallBundle(join(folder, "bundle"), join(root, "bin/airgap"));
  const times: Times[] = [];
  for (const count of values.hosts.split(",").map(Number))
    times.push(...(await onHosts(count, Number(values.rounds), join(folder, `site-${count}`), bundle)));
  const table = tableOf(times);
  process.stdout.write(`${table}\n`);
  if (!values["no-write"]) writeSection(join(root, "docs/benchmarks.md"), "install", `${table}\n\n${note}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
