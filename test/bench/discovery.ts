/**
 * Measures `images find` on public projects: recall and precision against lists made by hand.
 *
 *   node test/bench/discovery.ts REPOSITORIES FACTS...
 *
 * REPOSITORIES holds bare repositories as `owner+name/repo`, FACTS are files or folders of files
 * `{ name, repo, commit, paths, kind, images: [{ ref, needed, how }], neutral }`. The projects' files
 * are read while measuring and kept nowhere.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { searchPaths } from "../../src/discovery/manifests/search.ts";
import { Http } from "../../src/http.ts";
import { formatReference, parseReference, withDefaultTag } from "../../src/oci/reference.ts";

interface Fact {
  name: string;
  repo: string;
  commit: string;
  paths: string[];
  kind: "manifest" | "chart" | "kustomize";
  set?: string[];
  images: { ref: string; how?: string; needed?: string; rendered?: boolean }[];
  neutral?: string[];
}

const canonical = (text: string): string => formatReference(withDefaultTag(parseReference(text)));

function facts(paths: string[]): Fact[] {
  const files = paths.flatMap((path) =>
    statSync(path).isDirectory() ? readdirSync(path).map((name) => join(path, name)) : [path],
  );
  return files
    .filter((file) => file.endsWith(".json"))
    .sort()
    .flatMap((file) => {
      const read = JSON.parse(readFileSync(file, "utf8")) as Fact | Fact[];
      return Array.isArray(read) ? read : [read];
    });
}

function checkOut(repositories: string, { repo, commit, paths, kind }: Fact, folder: string): string[] {
  const git = join(repositories, repo.replace("/", "+"), "repo");
  // A kustomization's bases may be anywhere near it.
  const wanted =
    kind === "kustomize"
      ? [...new Set(paths.flatMap((path) => [path.split("/")[0] as string, "common"]))]
      : paths;
  const there = wanted.filter(
    (path) => execFileSync("git", ["--git-dir", git, "ls-tree", "--name-only", commit, path]).length > 0,
  );
  const tar = execFileSync("git", ["--git-dir", git, "archive", commit, ...there], {
    maxBuffer: 4e9,
    stdio: ["ignore", "pipe", "ignore"],
  });
  execFileSync("tar", ["x", "-C", folder], { input: tar });
  return paths.includes("Chart.yaml") ? [folder] : paths.map((path) => join(folder, path));
}

async function measure(repositories: string, fact: Fact, http: Http) {
  const folder = mkdtempSync(join(tmpdir(), "discovery-"));
  try {
    const started = Date.now();
    const warnings: string[] = [];
    const { finds } = await searchPaths(checkOut(repositories, fact, folder), {
      values: [],
      set: fact.set ?? [],
      strict: false,
      whole: false,
      kubeVersion: "v1.33.0",
      reach: { baseDir: folder, http: () => http, emit: () => {} },
      warn: (message) => warnings.push(message),
      note: () => {},
    });
    const carried = finds.filter(({ confidence }) => confidence !== "possible");
    const found = new Set(carried.map(({ reference }) => reference));
    const named = fact.images.filter(({ how }) => how !== "source-only").map(({ ref }) => canonical(ref));
    const all = new Set(fact.images.map(({ ref }) => canonical(ref)));
    const neutral = new Set((fact.neutral ?? []).map(canonical));
    return {
      name: fact.name,
      ms: Date.now() - started,
      named: new Set(named).size,
      found: new Set(named.filter((ref) => found.has(ref))).size,
      true: [...found].filter((ref) => all.has(ref)).length,
      false: carried.filter(({ reference }) => !all.has(reference) && !neutral.has(reference)),
      missing: named.filter((ref) => !found.has(ref)),
      possible: finds.filter(
        ({ confidence, reference }) => confidence === "possible" && !neutral.has(reference),
      ).length,
      sourceOnly: fact.images.filter(({ how }) => how === "source-only").map(({ ref }) => canonical(ref)),
      found_: found,
      warnings,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const [repositories = "", ...rest] = process.argv.slice(2);
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const http = new Http();
let [named, found, right, wrong] = [0, 0, 0, 0];
say("| project | named in files | found | finds | false | possible | ms |");
say("| --- | --- | --- | --- | --- | --- | --- |");
for (const fact of facts(rest)) {
  if (!existsSync(join(repositories, fact.repo.replace("/", "+")))) {
    say(`| ${fact.name} | not fetched |`);
    continue;
  }
  const result = await measure(repositories, fact, http);
  named += result.named;
  found += result.found;
  right += result.true;
  wrong += result.false.length;
  say(
    `| ${result.name} | ${result.named} | ${result.found} | ${result.true + result.false.length} | ${result.false.length} | ${result.possible} | ${result.ms} |`,
  );
  for (const ref of new Set(result.missing)) process.stderr.write(`${result.name}: missing ${ref}\n`);
  for (const { reference, places } of result.false)
    process.stderr.write(`${result.name}: false ${reference} ${JSON.stringify(places[0])}\n`);
  for (const ref of result.sourceOnly)
    if (!result.found_.has(ref)) process.stderr.write(`${result.name}: in no file ${ref}\n`);
  for (const warning of result.warnings) process.stderr.write(`${result.name}: warning ${warning}\n`);
}
say(`| all | ${named} | ${found} | ${right + wrong} | ${wrong} | | |`);
say(
  `recall ${((100 * found) / Math.max(1, named)).toFixed(1)} %, true finds ${((100 * right) / Math.max(1, right + wrong)).toFixed(1)} %`,
);
await http.close();
