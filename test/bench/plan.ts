// How long planning for many hosts takes: `install --script` from gathered facts, with no host at all.
//   node test/bench/plan.ts [--no-write]
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CHECKS } from "../../src/install/preflight/finding.ts";
import { conditions } from "./machine.ts";
import { type Cost, measure } from "./measure.ts";
import { writeSection } from "./table.ts";
import { findTools } from "./tools.ts";

const root = resolve(import.meta.dirname, "../..");
const AIRGAP = join(root, "bin/airgap");
const ROUNDS = 3;

/** A cluster file, and in `scripts/facts` what this machine would say on each of its hosts. */
function makeSite(dir: string, workers: number): void {
  const facts = execFileSync("sh", [join(root, "manifests/host/facts.sh")], { encoding: "utf8" });
  const hosts = [
    { name: "cp1", address: "10.0.0.1", roles: ["control-plane", "registry"] },
    ...Array.from({ length: workers }, (_, i) => ({
      name: `w${i}`,
      address: `10.1.${i >> 8}.${i & 255}`,
      roles: ["worker"],
    })),
  ];
  mkdirSync(join(dir, "scripts/facts"), { recursive: true });
  for (const [i, { name }] of hosts.entries())
    writeFileSync(
      join(dir, "scripts/facts", name),
      facts.replace(/^machine-id\|.*$/m, `machine-id|${String(i).padStart(32, "0")}`),
    );
  const cluster = {
    ...{ apiVersion: "airgap/v1", kind: "Cluster", name: "many", kubernetes: { version: "v1.34.4" } },
    ...{ registry: { host: "register.site" }, hosts },
  };
  writeFileSync(join(dir, "cluster.yaml"), JSON.stringify(cluster));
  writeFileSync(join(dir, "file.txt"), "x");
  const spec = "apiVersion: airgap/v1\nkind: Bundle\nname: many\nfiles: [{ path: file.txt }]\n";
  writeFileSync(join(dir, "site.yaml"), spec);
  execFileSync(AIRGAP, ["build", join(dir, "site.yaml"), "-o", join(dir, "site.tar"), "--quiet"]);
}

/** Every check is ignored: they run all the same, and the plan is made. */
const SCRIPT = `${AIRGAP} install cluster.yaml --bundle site.tar --script scripts --quiet ${Object.keys(
  CHECKS,
)
  .map((check) => `--ignore-check ${check}`)
  .join(" ")} > /dev/null`;

async function plan(workers: number): Promise<Cost> {
  const dir = mkdtempSync(join(tmpdir(), "airgap-bench-plan-"));
  try {
    makeSite(dir, workers);
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

const rows: string[] = [];
for (const workers of [1, 100, 1000]) {
  const { wall, cpu, rss } = await plan(workers);
  rows.push(`| ${workers} | ${wall.toFixed(2)} | ${cpu.toFixed(2)} | ${Math.round(rss / 1e6)} |`);
}
const ours = findTools({ airgap: AIRGAP, parallel: 0 }).filter((tool) => tool.ours);
const table = `| workers | wall s | CPU s | RSS MB |\n| --: | --: | --: | --: |\n${rows.join("\n")}\n\n${conditions(ours)}`;
process.stdout.write(`${table}\n`);
if (!process.argv.includes("--no-write")) writeSection(join(root, "docs/benchmarks.md"), "plan", table);
