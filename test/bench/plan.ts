// How long planning for many hosts takes: `install --script` from gathered facts, with no host at all.
//   node test/bench/plan.ts [--no-write]
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { conditions } from "./machine.ts";
import { type Cost, measure } from "./measure.ts";
import { factsOf, recordedHosts, writeSite } from "./recorded-site.ts";
import { writeSection } from "./table.ts";
import { findTools } from "./tools.ts";

const root = resolve(import.meta.dirname, "../..");
const AIRGAP = join(root, "bin/airgap");
const ROUNDS = 3;

/** A cluster file, a bundle, and in `scripts/facts` what was recorded on a host, for each of them. */
async function makeSite(dir: string, workers: number): Promise<void> {
  const hosts = recordedHosts(workers + 1, (i) => `10.1.${i >> 8}.${i & 255}`);
  await writeSite(dir, hosts);
  mkdirSync(join(dir, "scripts/facts"), { recursive: true });
  for (const [i, host] of hosts.entries())
    writeFileSync(join(dir, "scripts/facts", host.name), factsOf(host, i, "1764000000"));
}

const SCRIPT = `${AIRGAP} install cluster.yaml --bundle site.tar --script scripts --quiet > /dev/null`;

async function plan(workers: number): Promise<Cost> {
  const dir = mkdtempSync(join(tmpdir(), "airgap-bench-plan-"));
  try {
    await makeSite(dir, workers);
    const costs: Cost[] = [];
    for (let i = 0; i < ROUNDS; i++) costs.push(await measure(SCRIPT, { cwd: dir, timeoutMs: 300_000 }));
    const written = readdirSync(join(dir, "scripts")).filter((name) => name.endsWith(".sh"));
    if (written.length < workers) throw new Error(`${written.length} scripts for ${workers} workers`);
    if (!readFileSync(join(dir, "scripts", written[0] as string), "utf8").includes("airgap_begin"))
      throw new Error("a script without steps");
    return costs.toSorted((a, b) => a.cpu - b.cpu)[ROUNDS >> 1] as Cost;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

// What users install is compiled.
execFileSync(process.execPath, [join(root, "bin/build.mjs")], { stdio: "ignore" });
const rows: string[] = [];
for (const workers of [1, 100, 1000]) {
  const { wall, cpu, rss } = await plan(workers);
  rows.push(`| ${workers} | ${wall.toFixed(2)} | ${cpu.toFixed(2)} | ${Math.round(rss / 1e6)} |`);
}
const ours = findTools({ airgap: AIRGAP, parallel: 0 }).filter((tool) => tool.ours);
const table = `| workers | wall s | CPU s | RSS MB |\n| --: | --: | --: | --: |\n${rows.join("\n")}\n\n${conditions(ours)}`;
process.stdout.write(`${table}\n`);
if (!process.argv.includes("--no-write")) writeSection(join(root, "docs/benchmarks.md"), "plan", table);
