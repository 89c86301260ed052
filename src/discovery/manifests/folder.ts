import { readdir, realpath } from "node:fs/promises";
import { join, resolve } from "node:path";
import { AirgapError } from "../../errors.ts";
import { get, itemsOf, stringAt } from "../documents/node.ts";
import { parseOne } from "../documents/parse.ts";
import { Text } from "../documents/text.ts";
import { KUSTOMIZATION_FILES } from "../kustomize/files.ts";
import { readText } from "./read.ts";

/** What is below a folder. Paths are absolute, in order. */
export interface Folder {
  /** YAML and JSON that is not part of a chart and not a kustomization file. */
  files: string[];
  charts: string[];
  /** Templates that another tool turns into manifests: `x.yaml.j2`. */
  templates: string[];
  /** Kustomizations that no other one below the folder includes. */
  kustomizations: string[];
}

const MAX_ENTRIES = 50_000;
const TEMPLATE = /\.(?:tmpl|tpl|gotmpl|template|j2|jinja2?|erb|in|envsubst|mustache|hbs)$/i;
const LEFT_OUT = /^(?:\..+|node_modules|vendor|__pycache__)$/;

/** Searches a folder without following links. @throws AirgapError `spec` when it is too large */
export async function readTree(folder: string): Promise<Folder> {
  const found: Folder = { files: [], charts: [], templates: [], kustomizations: [] };
  const kustomizations: string[] = [];
  let entries = 0;
  const visit = async (directory: string): Promise<void> => {
    const all = (await readdir(directory, { withFileTypes: true })).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    );
    entries += all.length;
    if (entries > MAX_ENTRIES)
      throw new AirgapError(
        "spec",
        `${folder} holds more than ${MAX_ENTRIES} files and folders; name a folder in it`,
      );
    const names = new Set(all.map(({ name }) => name));
    if (names.has("Chart.yaml")) {
      found.charts.push(directory);
      return;
    }
    if (KUSTOMIZATION_FILES.some((name) => names.has(name))) kustomizations.push(directory);
    for (const entry of all) {
      const path = join(directory, entry.name);
      if (entry.isDirectory() && !LEFT_OUT.test(entry.name)) await visit(path);
      else if (
        entry.isFile() &&
        /\.(?:ya?ml|json)$/i.test(entry.name) &&
        !KUSTOMIZATION_FILES.includes(entry.name)
      )
        found.files.push(path);
      else if (entry.isFile() && /\.(?:ya?ml|json)\.[\w.-]+$/i.test(entry.name) && TEMPLATE.test(entry.name))
        found.templates.push(path);
    }
  };
  await visit(folder);
  found.kustomizations = await rootsOf(kustomizations);
  return found;
}

/** A component is always part of another one; so is a kustomization that another one names. */
async function rootsOf(folders: string[]): Promise<string[]> {
  const taken = new Set<string>();
  for (const folder of folders) {
    const file = await firstOf(folder);
    const root = file === undefined ? undefined : await parsed(file);
    if (root === undefined) continue;
    if (stringAt(root, "kind") === "Component") taken.add(await realpath(folder));
    for (const field of ["resources", "bases", "components"]) {
      for (const entry of itemsOf(get(root, field)))
        if (entry.kind === "scalar") taken.add(await realpath(resolve(folder, entry.value)).catch(() => ""));
    }
  }
  const roots: string[] = [];
  for (const folder of folders) if (!taken.has(await realpath(folder))) roots.push(folder);
  return roots;
}

async function firstOf(folder: string): Promise<string | undefined> {
  const names = await readdir(folder);
  const name = KUSTOMIZATION_FILES.find((each) => names.includes(each));
  return name && join(folder, name);
}

async function parsed(file: string): Promise<ReturnType<typeof parseOne>> {
  try {
    return parseOne(new Text(file, await readText(file)));
  } catch {
    return undefined;
  }
}

/** Whether a folder is itself a kustomization or a chart. */
export async function kindOfFolder(folder: string): Promise<"chart" | "kustomization" | "plain"> {
  const names = await readdir(folder);
  if (names.includes("Chart.yaml")) return "chart";
  return KUSTOMIZATION_FILES.some((name) => names.includes(name)) ? "kustomization" : "plain";
}
