import { glob, realpath, stat } from "node:fs/promises";
import { basename, relative, resolve, sep } from "node:path";
import { AirgapError, messageOf } from "../../errors.ts";
import { count } from "../../format.ts";
import { describePlace, isRemote, localPath, readPlace } from "../../transport/url.ts";
import { type ChartFinds, type ChartOptions, findInChart } from "../charts/find.ts";
import { type ChartReach, obtainChart } from "../charts/obtain.ts";
import { emitStream } from "../documents/emit.ts";
import type { Node } from "../documents/node.ts";
import { MAX_FILE } from "../documents/parse.ts";
import { Text } from "../documents/text.ts";
import { imagesInList, imagesInText, mostlyImages } from "../images/list.ts";
import type { Sighting, Unread } from "../images/sighting.ts";
import { buildKustomization } from "../kustomize/build.ts";
import { kindOfFolder, readTree } from "./folder.ts";
import { decode, documentsOf, isObject, readText } from "./read.ts";

/** A unit that is applied: a file as it is, a built kustomization, or a rendered chart. */
export interface Loaded {
  /** Relative to the path that was named, or that path's own name. */
  title: string;
  kind: "file" | "list" | "kustomization" | "chart";
  /** The text that is applied; for a file its source, byte for byte. */
  text: Text;
  /** Its objects, with their locations in the source. */
  documents: Node[];
  /** Images that were found outside the documents: in a chart, in a text that is not YAML. */
  sightings?: Sighting[];
  /** Lines of a list of images that name none. */
  unread?: Unread[];
  chart?: ChartFinds;
  /** URLs that a kustomization was built from, besides its files. */
  remotes?: string[];
}

export interface LoadOptions extends ChartOptions {
  reach: ChartReach;
  /** Read every object, definitions too: for documents that are carried, not only searched. */
  whole: boolean;
  warn(message: string): void;
  note(message: string): void;
  /** Called when something is missing in the answer, besides the warning. */
  incomplete?(): void;
  /** Reads standard input for `-`; absent when nothing is piped in. */
  stdin?: () => Promise<Uint8Array>;
}

/**
 * Reads a path that a user names: a file, a URL, a folder, a kustomization, a chart (folder, archive,
 * `oci://`), or a pattern for several.
 * @throws AirgapError `spec` and network errors
 */
export async function loadPath(path: string, options: LoadOptions): Promise<Loaded[]> {
  if (path === "-" && options.stdin)
    return [loadFile(decode(await options.stdin(), "stdin"), "stdin", "stdin.yaml", false, options)];
  if (/^oci:\/\//.test(path) || /\.tgz$/.test(path))
    return [await loadChartAt(path, basename(path), options)];
  if (isRemote(path)) return [await loadUrl(path, options)];
  const absolute = /^file:/i.test(path) ? localPath(path) : resolve(options.reach.baseDir, path);
  const found = await stat(absolute).catch(() => undefined);
  if (found === undefined) return loadPattern(path, options);
  if (!found.isDirectory()) return [loadFile(await readText(absolute), path, basename(path), false, options)];
  const kind = await kindOfFolder(absolute);
  if (kind === "chart") return [await loadChartAt(absolute, basename(absolute), options)];
  if (kind === "kustomization") {
    const built = new Set<string>();
    const loaded = await loadKustomization(absolute, basename(absolute), options, built);
    await tellUnused(await realpath(absolute), path, built, options);
    return [loaded];
  }
  return loadFolder(absolute, path, options);
}

async function loadPattern(pattern: string, options: LoadOptions): Promise<Loaded[]> {
  const matches: string[] = [];
  if (/[*?[{]/.test(pattern))
    for await (const match of glob(pattern, { cwd: options.reach.baseDir })) matches.push(match);
  matches.sort();
  if (matches.length === 0)
    throw new AirgapError(
      "spec",
      `Cannot read ${resolve(options.reach.baseDir, pattern)}: no such file or folder`,
      {
        suggestions: ["check the path; relative paths start at the spec, or at the current folder"],
      },
    );
  const loaded: Loaded[] = [];
  for (const match of matches)
    loaded.push(
      ...(await loadPath(match, options)).map((each) =>
        each.title === match
          ? each
          : {
              ...each,
              title:
                each.kind === "file" && each.title === basename(match)
                  ? match.split(sep).join("/")
                  : each.title,
            },
      ),
    );
  return loaded;
}

async function loadUrl(url: string, { reach }: LoadOptions): Promise<Loaded> {
  const bytes = await readPlace(reach.http(), url, MAX_FILE, undefined, reach.signal);
  const text = new Text(describePlace(url), decode(bytes, describePlace(url)));
  const title = basename(new URL(url).pathname) || "manifest.yaml";
  return loadText(text, title);
}

/** A text that the user named: a list of images, or documents. */
function loadText(text: Text, title: string): Loaded {
  const list = imagesInList(text);
  if (list !== undefined) return { title, kind: "list", text, documents: [], sightings: list };
  let documents: Node[] | undefined;
  let failure: unknown;
  try {
    documents = documentsOf(text);
  } catch (error) {
    failure = error;
  }
  // Any text without a colon is a document of YAML: a scalar.
  if (documents?.some(({ kind }) => kind !== "scalar")) return { title, kind: "file", text, documents };
  const mixed = mostlyImages(text);
  if (mixed !== undefined) return { title, kind: "list", text, documents: [], ...mixed };
  if (documents === undefined) throw failure;
  return { title, kind: "file", text, documents };
}

/** @param lenient for a file that the user did not name: other text than YAML is searched as text, and documents without objects count little */
function loadFile(
  content: string,
  name: string,
  title: string,
  lenient: boolean,
  options: LoadOptions,
): Loaded {
  const text = new Text(name, content);
  if (!lenient) return loadText(text, title);
  try {
    return { title, kind: "file", text, documents: documentsOf(text).filter(isObject) };
  } catch (error) {
    if (options.strict || !(error instanceof AirgapError)) throw error;
    options.warn(`${error.message}; it was searched as text, which finds fewer images`);
    return { title, kind: "file", text, documents: [], sightings: imagesInText(text) };
  }
}

async function loadFolder(folder: string, name: string, options: LoadOptions): Promise<Loaded[]> {
  const tree = await readTree(folder);
  const titled = (path: string): string => relative(folder, path).split(sep).join("/");
  const shown = (path: string): string => `${name.replace(/\/+$/, "")}/${titled(path)}`;
  const loaded: Loaded[] = [];
  const built = new Set<string>();
  for (const path of tree.kustomizations) {
    try {
      const one = await loadKustomization(path, titled(path), options, built);
      loaded.push(one);
    } catch (error) {
      if (options.strict || !(error instanceof AirgapError)) throw error;
      options.warn(
        `${messageOf(error)}; its files were read one by one, without the kustomization's changes`,
      );
    }
  }
  for (const path of tree.charts) {
    try {
      loaded.push(await loadChartAt(path, titled(path), options));
    } catch (error) {
      if (options.strict || !(error instanceof AirgapError)) throw error;
      options.warn(`${messageOf(error)}; the chart was left out`);
    }
  }
  const files: Loaded[] = [];
  for (const path of tree.files)
    if (!built.has(path))
      files.push(loadFile(await readText(path), shown(path), titled(path), true, options));
  tellTemplates(name, tree.templates.map(titled), options);
  return [
    ...files.filter(
      ({ documents, sightings }) => documents.length > 0 || sightings !== undefined || options.whole,
    ),
    ...loaded,
  ];
}

/** A template of a manifest says nothing until it is filled in. */
function tellTemplates(name: string, templates: string[], { warn }: LoadOptions): void {
  if (templates.length === 0) return;
  const shown = `${templates.slice(0, 3).join(", ")}${templates.length > 3 ? ", …" : ""}`;
  warn(
    `${name}: ${count(templates.length, "template")} of manifests ${templates.length === 1 ? "was" : "were"} not read (${shown}): fill them in, and name the results`,
  );
}

/** A folder with a kustomization stands for that kustomization; the user may have meant its other files too. */
async function tellUnused(
  folder: string,
  name: string,
  built: Set<string>,
  options: LoadOptions,
): Promise<void> {
  const unused = (await readTree(folder)).files
    .filter((path) => !built.has(path))
    .map((path) => relative(folder, path));
  if (unused.length === 0) return;
  const shown = `${unused.slice(0, 3).join(", ")}${unused.length > 3 ? ", …" : ""}`;
  options.note(
    `${name} is a kustomization, and ${count(unused.length, "other file")} in it ${unused.length === 1 ? "is" : "are"} not part of it (${shown}): name these files to read them too`,
  );
}

async function loadKustomization(
  folder: string,
  title: string,
  options: LoadOptions,
  built: Set<string>,
): Promise<Loaded> {
  const { http, signal } = options.reach;
  const { documents, files, remotes } = await buildKustomization(folder, {
    strict: options.strict,
    warn: (message) => {
      options.warn(message);
      options.incomplete?.();
    },
    fetch: async (url) =>
      decode(await readPlace(http(), url, MAX_FILE, undefined, signal), describePlace(url)),
    ...(signal ? { signal } : {}),
  });
  for (const { path } of files) built.add(path);
  return {
    title: `${title}.built.yaml`,
    kind: "kustomization",
    text: new Text(`${title}.built.yaml`, emitStream(documents)),
    documents,
    remotes,
  };
}

async function loadChartAt(chart: string, title: string, options: LoadOptions): Promise<Loaded> {
  const found = await findInChart(await obtainChart({ chart }, options.reach), options, options.reach);
  for (const warning of found.warnings) options.warn(warning);
  for (const note of found.notes) options.note(note);
  const { objects = "", hooks = "" } = found.rendering ?? {};
  return {
    title,
    kind: "chart",
    text: new Text(`${title}:rendered.yaml`, `${objects}${hooks}`),
    documents: found.documents,
    sightings: found.sightings,
    chart: found,
  };
}
