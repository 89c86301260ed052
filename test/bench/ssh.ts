// An installation over SSH: 200 real sshd on loopback as hosts whose steps are recorded programs, and the same engine
// with simulated hosts for 1,000. As root.
//   node test/bench/ssh.ts [--hosts 200] [--parallel 10,50,200] [--simulate 200,1000] [--no-write]
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import type { InstallResult } from "../../src/install/install.ts";
import { conditions } from "./machine.ts";
import { type TreeCost, TreeWatch } from "./process-tree.ts";
import { type RecordedHost, recordedHosts, SECONDS, writeSite } from "./recorded-site.ts";
import type { Simulated } from "./simulate.ts";
import { SshdFarm } from "./sshd-farm.ts";
import { writeSection } from "./table.ts";
import { findTools } from "./tools.ts";

const root = resolve(import.meta.dirname, "../..");
const AIRGAP = join(root, "bin/airgap");
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const { values } = parseArgs({
  options: {
    hosts: { type: "string", default: "200" },
    parallel: { type: "string", default: "10,50,200" },
    simulate: { type: "string", default: "200,1000" },
    "no-write": { type: "boolean", default: false },
  },
});
const COUNT = Number(values.hosts);
const PARALLEL = values.parallel.split(",").map(Number);

interface Row extends TreeCost {
  what: string;
  code: number | null;
  printed: string;
  /** Lines on stderr. */
  lines: number;
}

/** @param meanwhile is called once, after so many seconds */
async function install(
  dir: string,
  what: string,
  args: string[],
  meanwhile?: { after: number; act(): Promise<void> },
): Promise<Row> {
  const all = ["install", "cluster.yaml", "--bundle", "site.tar", "--yes", "--json", ...args];
  const child = spawn(AIRGAP, all, { cwd: dir, stdio: ["ignore", "pipe", "pipe"] });
  const watch = new TreeWatch(child.pid as number);
  const timer =
    meanwhile &&
    setTimeout(() => meanwhile.act().catch((error) => say(String(error))), meanwhile.after * 1000);
  const closed = new Promise<number | null>((done) => child.once("close", done));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  clearTimeout(timer);
  const row = { what, code, printed: stdout, lines: stderr.split("\n").length - 1, ...watch.end() };
  say(
    `${what}: exit ${code}, ${row.wall.toFixed(1)} s, CPU ${row.cpu.toFixed(1)} + ${row.childrenCpu.toFixed(1)} s, RSS ${mb(row.peakRss)} MB, ssh ${mb(row.childrenPss)} MB in ${row.children}, ${row.lines} lines`,
  );
  return row;
}

const mb = (bytes: number): number => Math.round(bytes / 1e6);

/** @throws Error unless every step of every host was applied */
function whole({ code, printed, what }: Row): void {
  if (code !== 0) throw new Error(`${what}: exit ${code}: ${printed.slice(-3000)}`);
  const { steps } = JSON.parse(printed) as InstallResult;
  const open = steps.filter(({ state }) => state !== "done" && state !== "already");
  if (open.length > 0 || steps.length < FEW * 20)
    throw new Error(`${what}: ${open.length} of ${steps.length} steps are open`);
}

const hasJoined = (farm: SshdFarm, { name }: RecordedHost): boolean =>
  farm.done(name).includes("workers/join");

async function siteOf(farm: SshdFarm, site: string, hosts: RecordedHost[]): Promise<string> {
  await writeSite(site, hosts, { user: "root", port: farm.port, identityFile: farm.identityFile });
  return site;
}

/** All runs against real daemons. */
async function real(dir: string): Promise<Row[]> {
  const hosts = recordedHosts(COUNT, (i) => `127.0.1.${i + 1}`);
  await using farm = await SshdFarm.start(join(dir, "farm"), hosts);
  say(`${COUNT} sshd at port ${farm.port}`);
  const site = await siteOf(farm, join(dir, "all"), hosts);
  const rows: Row[] = [];
  for (const parallel of PARALLEL) {
    farm.forget();
    const row = await install(site, `${COUNT} hosts, --parallel ${parallel}`, [
      "--parallel",
      String(parallel),
    ]);
    whole(row);
    rows.push(row);
  }
  const again = await install(site, `${COUNT} hosts, again, nothing to do`, []);
  whole(again);
  rows.push(again, ...(await trouble(farm, dir, hosts)));
  return rows;
}

/** Hosts of the runs in which one is slow or lost: their number says nothing there. */
const FEW = 40;

/** One host that is slow, and one that is lost on the way. */
async function trouble(farm: SshdFarm, dir: string, all: RecordedHost[]): Promise<Row[]> {
  const hosts = all.slice(0, FEW);
  const site = await siteOf(farm, join(dir, "few"), hosts);
  const [slow, dead] = [hosts[1] as RecordedHost, hosts[2] as RecordedHost];
  farm.forget();
  farm.slow(slow.name, 1);
  const joined = (): number => hosts.filter((host) => hasJoined(farm, host)).length;
  let before = 0;
  const watch = setInterval(() => {
    if (!hasJoined(farm, slow)) before = joined();
  }, 250);
  const slowly = await install(site, `one slow host of ${hosts.length}`, []);
  clearInterval(watch);
  whole(slowly);
  slowly.what = `${hosts.length} hosts, one takes 1 s more for each step; ${before} of ${hosts.length - 2} other workers joined before it`;
  farm.slow(slow.name, 0);
  farm.forget();
  const lost = await install(site, `one lost host of ${hosts.length}`, ["--patience", "20"], {
    after: slowly.wall / 4,
    act: () => farm.kill(dead.name),
  });
  if (lost.code === 0) throw new Error("a host that was lost is not told");
  lost.what = `${hosts.length} hosts, one loses power on the way, --patience 20; ${joined()} of ${hosts.length - 2} other workers joined (exit ${lost.code})`;
  return [slowly, lost];
}

/** The same engine in a process of its own, with hosts that only take their time. */
function simulated(dir: string, hosts: number, parallel: number): Simulated {
  const site = join(dir, `simulated-${hosts}-${parallel}`);
  mkdirSync(site);
  // As bin/airgap starts Node.
  const args = [
    "--max-semi-space-size=4",
    join(import.meta.dirname, "simulate.ts"),
    site,
    String(hosts),
    String(parallel),
  ];
  const printed = execFileSync(process.execPath, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  const result = JSON.parse(printed.trim().split("\n").at(-1) as string) as Simulated;
  say(
    `simulated: ${hosts} hosts, --parallel ${parallel}: ${result.wall.toFixed(1)} s, CPU ${result.cpu.toFixed(1)} s, RSS ${mb(result.peakRss)} MB`,
  );
  return result;
}

const measuredTable = (rows: Row[]): string =>
  [
    "| run | wall s | CPU s of airgap | CPU s of ssh | RSS MB of airgap | MB of all ssh | ssh at a time |",
    "| --- | --: | --: | --: | --: | --: | --: |",
    ...rows.map(
      ({ what, wall, cpu, childrenCpu, peakRss, childrenPss, children }) =>
        `| ${what} | ${wall.toFixed(1)} | ${cpu.toFixed(1)} | ${childrenCpu.toFixed(1)} | ${mb(peakRss)} | ${mb(childrenPss)} | ${children} |`,
    ),
  ].join("\n");

const simulatedTable = (rows: Simulated[]): string =>
  [
    "| simulated hosts | --parallel | wall s | CPU s | RSS MB |",
    "| --: | --: | --: | --: | --: |",
    ...rows.map(
      ({ hosts, parallel, wall, cpu, peakRss }) =>
        `| ${hosts} | ${parallel} | ${wall.toFixed(1)} | ${cpu.toFixed(1)} | ${mb(peakRss)} |`,
    ),
  ].join("\n");

execFileSync(process.execPath, [join(root, "bin/build.mjs")], { stdio: "ignore" });
const note = conditions(findTools({ airgap: AIRGAP, parallel: 0 }).filter((tool) => tool.ours));
const dir = mkdtempSync(join(tmpdir(), "airgap-bench-ssh-"));
try {
  const rows = COUNT > 0 ? await real(dir) : [];
  const simulations = values.simulate
    .split(",")
    .filter(Boolean)
    .flatMap((hosts) =>
      // Fewer at a time take a quarter of an hour and say nothing else.
      PARALLEL.filter((parallel) => Number(hosts) <= parallel * 25).map((parallel) =>
        simulated(dir, Number(hosts), parallel),
      ),
    );
  const steps = Object.entries(SECONDS).map(([step, seconds]) => `${step} ${seconds} s`);
  const page = `${measuredTable(rows)}\n\n${simulatedTable(simulations)}\n\nHosts are recorded programs behind real sshd, all on this machine; they take no time but for ${steps.join(", ")}. ${note}`;
  process.stdout.write(`${page}\n`);
  if (!values["no-write"]) writeSection(join(root, "docs/benchmarks.md"), "ssh", page);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
