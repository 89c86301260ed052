import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { statusText, type TestDeb, writeDebRepository } from "./deb-metadata.ts";

const exec = promisify(execFile);
const script = join(import.meta.dirname, "oracles/apt-solve.sh");

export interface AptRequest {
  /** A folder that holds nothing yet. */
  dir: string;
  repositories: TestDeb[][];
  installed: TestDeb[];
  install: string[];
  recommends: boolean;
}

export interface AptAnswer {
  /** `name=version`, sorted; without what is new and that apt itself calls no longer required. */
  packages: string[];
  removes: string[];
}

/** What apt-get would do on a host; undefined when it finds no way. */
export async function aptAnswer(request: AptRequest): Promise<AptAnswer | "stumbled" | undefined> {
  const { dir, repositories, installed, install, recommends } = request;
  const lists = join(dir, "lists");
  await mkdir(lists, { recursive: true });
  const sources: string[] = [];
  for (const [i, debs] of repositories.entries()) {
    const at = join(dir, `r${i}`);
    await writeDebRepository(at, debs);
    sources.push(`deb [trusted=yes] file:${at} ./`);
    // As `apt-get update` would leave it, which takes longer than the question itself.
    await writeFile(
      join(lists, `${at.replaceAll("_", "%5f").replaceAll("/", "_")}_._Packages`),
      await readFile(join(at, "Packages")),
    );
  }
  await writeFile(join(dir, "sources.list"), `${sources.join("\n")}\n`);
  await writeFile(join(dir, "status"), statusText(installed));
  await writeFile(join(dir, "updated"), "");
  try {
    const { stdout } = await exec(script, [
      dir,
      join(dir, "sources.list"),
      join(dir, "status"),
      "amd64",
      String(recommends),
      ...install,
    ]);
    const log = await readFile(join(dir, "solve.log"), "utf8");
    const needless = needlessIn(log, installed);
    return {
      packages: stdout
        .split("\n")
        .filter((line) => line !== "" && !needless.has(line.slice(0, line.indexOf("="))))
        .sort(),
      removes: [...log.matchAll(/^Remv (\S+?)(?::\w+)? \[([^\]]+)\]/gm)]
        .map(([, name, version]) => `${name}=${version}`)
        .sort(),
    };
  } catch (error) {
    const { code, stderr = "" } = error as { code?: number; stderr?: string };
    if (code !== 100) throw error;
    // A fault of apt's own while it puts the steps in order, after it has decided on them.
    if (stderr.includes("Internal parsing error")) return "stumbled";
    return undefined;
  }
}

/** New packages that apt brings in and calls no longer required in the same breath: what needed them was given up. */
function needlessIn(log: string, installed: TestDeb[]): Set<string> {
  const [, names = ""] = /no longer required:\n((?: {2}.*\n)+)/.exec(log) ?? [];
  const had = new Set(installed.map(({ name }) => name));
  return new Set(names.split(/\s+/).filter((name) => !had.has(name)));
}
