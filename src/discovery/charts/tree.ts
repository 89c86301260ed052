import { mkdir, readdir, readFile, realpath, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import { AirgapError, messageOf } from "../../errors.ts";

/** A chart's files by their path below its folder, `/` between parts. */
export type ChartFiles = Map<string, Buffer>;

/** Helm's own limit for a chart, and for one file in it, are 100 MiB and 5 MiB by default. */
const MAX_TOTAL = 100 * 1024 * 1024;
const MAX_FILES = 20_000;

function refuse(what: string, why: string, suggestions: string[] = []): AirgapError {
  return new AirgapError("spec", `The chart ${what} is refused: ${why}`, { suggestions });
}

class Builder {
  readonly tree: ChartFiles = new Map();
  readonly #what: string;
  #total = 0;

  constructor(what: string) {
    this.#what = what;
  }

  add(path: string, bytes: Buffer): void {
    this.#total += bytes.length;
    if (this.#total > MAX_TOTAL) throw refuse(this.#what, `it holds more than ${MAX_TOTAL >> 20} MiB`);
    if (this.tree.size >= MAX_FILES) throw refuse(this.#what, `it holds more than ${MAX_FILES} files`);
    this.tree.set(path, bytes);
  }
}

/** The path inside the chart's folder. @throws AirgapError for one that leads out of it */
function innerPath(name: string, what: string): string | undefined {
  const parts = name
    .replace(/\\/g, "/")
    .split("/")
    .filter((part) => part !== "" && part !== ".");
  if (name.startsWith("/") || /^[A-Za-z]:/.test(name) || parts.includes("..") || name.includes("\0")) {
    throw refuse(what, `the entry '${name}' leads outside the chart`);
  }
  return parts.length < 2 ? undefined : parts.slice(1).join("/");
}

/**
 * Reads a packaged chart. Nothing is written to disk. A path that leads out, a link, a special file
 * or too much content is refused.
 * @throws AirgapError `spec`
 */
export async function readArchive(bytes: Uint8Array, what: string): Promise<ChartFiles> {
  const builder = new Builder(what);
  const tar = extract();
  const unpacked = Readable.from([bytes]).pipe(createGunzip());
  unpacked.on("error", (error) => tar.destroy(error));
  unpacked.pipe(tar);
  try {
    for await (const entry of tar) {
      const { name, type = "file", size = 0 } = entry.header;
      const path = innerPath(name, what);
      if (type === "symlink" || type === "link") throw refuse(what, `the entry '${name}' is a link`);
      if (size > MAX_TOTAL) throw refuse(what, `the entry '${name}' is larger than ${MAX_TOTAL >> 20} MiB`);
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer);
      if (type === "file" && path !== undefined) builder.add(path, Buffer.concat(chunks));
    }
  } catch (error) {
    unpacked.destroy();
    if (error instanceof AirgapError) throw error;
    throw new AirgapError("spec", `${what} is not a packaged chart: ${messageOf(error)}`, { cause: error });
  }
  return builder.tree;
}

/** The working tree that a folder belongs to: up to the folder with `.git`; undefined when there is none. */
async function workingTree(folder: string): Promise<string | undefined> {
  for (let at = folder; ; at = dirname(at)) {
    if (await stat(join(at, ".git")).catch(() => undefined)) return at;
    if (dirname(at) === at) return undefined;
  }
}

/**
 * Where a link may lead: inside the folder that it is in, or the working tree of git
 * around it. A link in `charts/` to another chart is that sub-chart, wherever it is.
 * @returns the folder that links below it may not leave
 */
async function follow(path: string, real: string, home: string): Promise<string | undefined> {
  const inside = (folder: string | undefined): boolean =>
    folder !== undefined && (real === folder || real.startsWith(folder + sep));
  if (inside(home)) return home;
  const isChart =
    basename(dirname(path)) === "charts" && (await stat(join(real, "Chart.yaml")).catch(() => undefined));
  if (isChart) return real;
  return inside(await workingTree(home)) ? home : undefined;
}

/** Hears of a link that is left out, and why. */
export type LeftOut = (message: string) => void;

/**
 * Reads a chart's folder, links too. A link that leads out of it and its working tree is not followed, except
 * for a linked sub-chart. `.git` is left out.
 * @param leftOut hears of links that lead nowhere or outside; without it they are refused
 * @throws AirgapError `spec`
 */
export async function readFolder(folder: string, leftOut?: LeftOut): Promise<ChartFiles> {
  const builder = new Builder(folder);
  const root = await realpath(folder);
  const refuseLink = (shown: string, why: string): undefined => {
    if (leftOut === undefined)
      throw refuse(folder, `the link ${shown} ${why}`, [
        `cp -rL ${folder} COPY  # a chart with the content in place of its links, if you trust where they lead`,
      ]);
    leftOut(`${folder}: the link ${shown} ${why}: what it stands for is not in the answer`);
  };
  const visit = async (directory: string, above: string[], home: string): Promise<void> => {
    if (above.length > 32) throw refuse(folder, "its folders are nested more than 32 deep");
    for (const entry of (await readdir(directory, { withFileTypes: true })).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    )) {
      if (entry.name === ".git") continue;
      const path = join(directory, entry.name);
      const shown = relative(folder, path);
      const real = await realpath(path).catch((cause) =>
        refuseLink(shown, `is broken (${messageOf(cause)})`),
      );
      if (real === undefined) continue;
      const within = real.startsWith(home + sep) ? home : await follow(path, real, home);
      if (within === undefined) {
        refuseLink(shown, "leads outside the chart");
        continue;
      }
      if (above.includes(real)) throw refuse(folder, `the link ${shown} leads back to a folder above it`);
      const found = await stat(real);
      if (found.isDirectory()) await visit(path, [...above, real], within);
      else if (found.size > MAX_TOTAL) throw refuse(folder, `${shown} is larger than ${MAX_TOTAL >> 20} MiB`);
      else if (found.isFile()) builder.add(shown.split(sep).join("/"), await readFile(real));
    }
  };
  await visit(folder, [root], root);
  return builder.tree;
}

/** Writes a tree below an empty folder. */
export async function writeTree(tree: ChartFiles, folder: string): Promise<void> {
  for (const [path, bytes] of tree) {
    const target = resolve(folder, path);
    if (!target.startsWith(resolve(folder) + sep))
      throw refuse(folder, `the entry '${path}' leads outside the chart`);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, bytes);
  }
}
