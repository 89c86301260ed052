import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DebianRepository, debianRepository, NODE_SET } from "../support/debian.ts";
import { largeRpms } from "../support/large-rpms.ts";
import { Random } from "../support/random.ts";
import { writeRpmRepository } from "../support/rpm-metadata.ts";
import { type Cost, measure, RunFailed } from "./measure.ts";
import type { Run } from "./table.ts";

export interface PackagesOptions {
  dir: string;
  airgap: string;
  rounds: number;
  timeoutMs: number;
  say(text: string): void;
}

/** Names in the generated repository. */
const NAMES = 30_000;
const ACTION = "packages";
const SOLVE = join(import.meta.dirname, "../support/oracles/apt-solve.sh");

/** A tool with its request. */
interface Asked {
  tool: string;
  ours: boolean;
  script: string;
  /** How many packages it found, by what it printed. */
  count(output: string): number;
  /** Where it keeps metadata and what it makes of them. */
  cache: string;
}

/** The same request to each tool. */
interface Request {
  title: string;
  tools: Asked[];
}

const has = (program: string): boolean => {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};

const lines = (text: string): number => text.split("\n").filter((line) => line !== "").length;

/** Closures from a generated RPM repository, against dnf, and from Debian's own, against apt-get. */
export async function benchPackages(options: PackagesOptions): Promise<{ runs: Run[]; about: string }> {
  const dir = join(options.dir, "packages");
  mkdirSync(dir, { recursive: true });
  const rpms = largeRpms(new Random(7), NAMES);
  await writeRpmRepository(join(dir, "rpms"), rpms);
  const requests = rpmRequests(dir, options.airgap);
  const debian = has("apt-get") ? debianRepository() : undefined;
  if (debian) requests.push(debRequest(dir, options.airgap, debian));
  const runs: Run[] = [];
  for (const request of requests) runs.push(...(await inTurn(request, dir, options)));
  const size = `${NAMES.toLocaleString("en")} names, ${rpms.length.toLocaleString("en")} RPMs, generated; Debian's main.`;
  return { runs, about: `${size} dnf ${version("dnf")}, apt ${version("apt-get")}.` };
}

const version = (program: string): string =>
  has(program)
    ? (/\d[\d.]+/.exec(execFileSync(program, ["--version"], { encoding: "utf8" }))?.[0] ?? "")
    : "not installed";

function ours(airgap: string, dir: string, name: string, set: string): Asked {
  const spec = join(dir, `${name}.yaml`);
  writeFileSync(spec, `apiVersion: airgap/v1\nkind: Bundle\nname: bench\npackages:\n${set}`);
  const cache = join(dir, `${name}-airgap`);
  return {
    tool: "airgap packages resolve",
    ours: true,
    script: `XDG_CACHE_HOME=${cache} ${airgap} packages resolve ${spec} --quiet`,
    count: lines,
    cache,
  };
}

function rpmRequests(dir: string, airgap: string): Request[] {
  const ask = (name: string, title: string, install: string[]): Request => {
    const set = `  - name: el9\n    format: rpm\n    for: [rocky-9]\n    arch: x86_64\n    repositories: [{ id: big, baseurl: ${dir}/rpms }]\n    unsigned: ["*"]\n    install: [${install.join(", ")}]\n`;
    return { title, tools: [ours(airgap, dir, name, set), ...(has("dnf") ? [dnf(dir, name, install)] : [])] };
  };
  return [
    ask("two", "RPM, two packages", ["pkg999", "pkg20000"]),
    ask("all", "RPM, one of each name", ["everything"]),
  ];
}

function dnf(dir: string, name: string, install: string[]): Asked {
  const cache = join(dir, `${name}-dnf`);
  for (const folder of ["log", "none"]) mkdirSync(join(dir, folder), { recursive: true });
  const settings = {
    cachedir: cache,
    reposdir: `${dir}/none`,
    logdir: `${dir}/log`,
    install_weak_deps: "False",
  };
  const set = Object.entries(settings).map(([key, value]) => `--setopt=${key}=${value}`);
  const root = `--noplugins --installroot=${dir}/root --releasever=9 --forcearch=x86_64 --nogpgcheck --repofrompath=big,${dir}/rpms --repo=big`;
  // It ends with 1, since it is told not to go on.
  const script = `dnf ${root} ${set.join(" ")} --assumeno install ${install.join(" ")} || [ $? = 1 ]`;
  const count = (output: string): number => Number(/^Install +(\d+) Package/m.exec(output)?.[1] ?? 0);
  return { tool: "dnf install --assumeno", ours: false, script, count, cache };
}

function debRequest(dir: string, airgap: string, { sources, spec }: DebianRepository): Request {
  writeFileSync(join(dir, "debian.sources"), sources);
  writeFileSync(join(dir, "status"), "");
  const set = `  - name: debian\n    format: deb\n    for: [debian-12]\n    arch: amd64\n    repositories:\n${spec}\n    install: [${NODE_SET.join(", ")}]\n`;
  const cache = join(dir, "apt");
  const script = `${SOLVE} ${cache} ${dir}/debian.sources ${dir}/status amd64 false ${NODE_SET.join(" ")}`;
  const apt: Asked = { tool: "apt-get -s install", ours: false, script, count: lines, cache };
  return {
    title: `DEB, ${NODE_SET.length} packages of a node`,
    tools: [ours(airgap, dir, "debian", set), apt],
  };
}

/** The tools in turn, with their caches as an earlier run left them, then each time without. */
async function inTurn({ title, tools }: Request, dir: string, options: PackagesOptions): Promise<Run[]> {
  const runs: Run[] = [];
  const counts: number[] = [];
  for (const tool of tools) counts.push((await once(tool, dir, options)).found);
  // Alternatives for hosts that differ come on top.
  const [own = 0, ...theirs] = counts;
  if (theirs.some((count) => count > own))
    throw new Error(`${title}: the tools found ${counts.join(", ")} packages`);
  for (const fresh of [false, true]) {
    const link = `${title}: ${own.toLocaleString("en")}${fresh ? ", from nothing" : ""}`;
    for (let round = 0; round < options.rounds; round++) {
      const shift = round % tools.length;
      for (const tool of [...tools.slice(shift), ...tools.slice(0, shift)]) {
        if (fresh) rmSync(tool.cache, { recursive: true, force: true });
        const run = {
          action: ACTION,
          link,
          tool: tool.tool,
          ours: tool.ours,
          round,
          ...(await attempt(tool, dir, options)),
        };
        runs.push(run);
        options.say(
          `${ACTION}, ${link}: ${tool.tool}: ${run.failed ?? `${run.wall.toFixed(2)} s, CPU ${run.cpu.toFixed(2)} s, ${Math.round(run.rss / 1e6)} MB`}`,
        );
      }
    }
  }
  return runs.toSorted((a, b) => Number(b.ours) - Number(a.ours));
}

async function attempt(
  tool: Asked,
  dir: string,
  options: PackagesOptions,
): Promise<Cost & { failed?: string }> {
  try {
    return (await once(tool, dir, options)).cost;
  } catch (error) {
    if (!(error instanceof RunFailed)) throw error;
    return { wall: 0, cpu: 0, rss: 0, failed: error.message.slice(0, 300).replace(/\s+/g, " ") };
  }
}

/** @throws RunFailed also for a run that found nothing */
async function once(
  tool: Asked,
  dir: string,
  { timeoutMs }: PackagesOptions,
): Promise<{ cost: Cost; found: number }> {
  const cost = await measure(`{ ${tool.script}; } > ${dir}/found.txt`, { cwd: dir, timeoutMs });
  const found = tool.count(readFileSync(join(dir, "found.txt"), "utf8"));
  if (found === 0) throw new RunFailed("found no packages");
  return { cost, found };
}
