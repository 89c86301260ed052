// airgap against other tools on this machine: see README.md, and docs/benchmarks.md for what came out.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Bench, type Link } from "./bench.ts";
import { SIZES } from "./corpus.ts";
import { conditions } from "./machine.ts";
import { benchPackages } from "./packages.ts";
import { type Run, tableOf, writeSection } from "./table.ts";
import { findTools } from "./tools.ts";

const USAGE = `npm run bench -- [options]
  --scenario LIST   build,push,verify,serve,packages (default: all)
  --line LIST       bare,20ms,100ms (default: all)
  --size NAME       ${Object.keys(SIZES).join(", ")} (default full; quick takes about two minutes;
                    large: 640 MB in few large blobs, tables of their own)
  --tools LIST      only tools whose names contain one of these; airgap always runs
  --rounds N        of bare lines (default 3; slow lines take a third of them, at least one)
  --parallel N      peers once more, N processes at a time; 0 = not (default 4)
  --timeout S       longest run, seconds (default 300)
  --airgap FILE     the command to measure (default bin/airgap)
  --work DIR        folder to work in (default below ${tmpdir()}); needs ten times the corpus
  --no-write        print the tables; leave docs/benchmarks.md as it is
`;

const LINKS: Link[] = [
  { name: "bare" },
  { name: "20 ms", delayMs: 20, rate: 25e6 },
  { name: "100 ms", delayMs: 100, rate: 10e6 },
];

const root = resolve(import.meta.dirname, "../..");
const list = (text: string | undefined): string[] | undefined => text?.split(",").filter(Boolean);
const say = (text: string): void => void process.stderr.write(`${text}\n`);

function options() {
  const text = { type: "string" } as const;
  return parseArgs({
    options: {
      scenario: text,
      line: text,
      size: { ...text, default: "full" },
      tools: text,
      rounds: { ...text, default: "3" },
      parallel: { ...text, default: "4" },
      timeout: { ...text, default: "300" },
      airgap: { ...text, default: join(root, "bin/airgap") },
      work: text,
      "no-write": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  }).values;
}

async function main(): Promise<void> {
  const given = options();
  const size = SIZES[given.size];
  if (given.help || size === undefined) return void process.stdout.write(USAGE);
  const wanted = list(given.tools);
  const tools = findTools({ airgap: resolve(given.airgap), parallel: Number(given.parallel) }).filter(
    ({ name, ours }) => ours || wanted === undefined || wanted.some((part) => name.includes(part)),
  );
  // What users install is compiled.
  execFileSync(process.execPath, [join(root, "bin/build.mjs")], { stdio: "ignore" });
  const lines = list(given.line);
  const links = LINKS.filter(({ name }) => lines === undefined || lines.includes(name.replace(" ", "")));
  const scenarios = list(given.scenario) ?? ["build", "push", "verify", "serve", "packages"];
  if (given.work) mkdirSync(given.work, { recursive: true });
  const dir = mkdtempSync(join(given.work ?? tmpdir(), "airgap-bench-"));
  const note = conditions(tools);
  say(note);
  const common = {
    dir,
    say,
    timeoutMs: Number(given.timeout) * 1000,
    rounds: Number(given.rounds),
    airgap: resolve(given.airgap),
  };
  const file = given["no-write"] ? undefined : join(root, "docs/benchmarks.md");
  const results: Run[] = [];
  try {
    const ofImages = scenarios.filter((scenario) => scenario !== "packages");
    if (ofImages.length > 0) {
      await using bench = await Bench.start({ ...common, size, tools });
      say(bench.about);
      const runs: Run[] = [];
      for (const scenario of ofImages) runs.push(...(await bench.run(scenario, links)));
      report(runs, `${bench.about} ${note}`, file, given.size === "large" ? ", large blobs" : "");
      results.push(...runs);
    }
    if (scenarios.includes("packages")) {
      const { runs, about } = await benchPackages(common);
      report(runs, `${about} ${conditions(tools.filter(({ ours }) => ours))}`, file);
      results.push(...runs);
    }
    const kept = process.env["BENCH_RESULTS"];
    if (kept) writeFileSync(kept, JSON.stringify(results, undefined, 1));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** @param kind  ends the section's name: a page holds tables of several corpora */
function report(runs: Run[], note: string, file: string | undefined, kind = ""): void {
  for (const action of new Set(runs.map((run) => run.action))) {
    const table = tableOf(runs.filter((run) => run.action === action));
    process.stdout.write(`\n${action}${kind}\n\n${table}\n`);
    if (file) writeSection(file, `${action}${kind}`, `${table}\n\n${note}`);
  }
}

await main();
