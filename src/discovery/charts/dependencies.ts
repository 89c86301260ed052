import { resolve } from "node:path";
import { AirgapError, messageOf } from "../../errors.ts";
import { emitDocument } from "../documents/emit.ts";
import { get, itemsOf, type Mapping, type Node, sequence, stringAt, withEntry } from "../documents/node.ts";
import { type Chart, type Dependency, parseFile } from "./chart.ts";
import { loadChart, missingDependencies } from "./load.ts";
import { type ChartReach, fromRegistry, fromRepository, isUnreachable, type Obtained } from "./obtain.ts";
import { type ChartFiles, readFolder } from "./tree.ts";
import { isTrue } from "./values.ts";

/** Whether values switch a sub-chart on: the first condition that is set decides, then tags; otherwise it is on. */
export function isEnabled({ condition }: Dependency, values: Mapping): boolean {
  for (const path of condition?.split(",") ?? []) {
    const found = get(values, ...path.trim().split("."));
    if (found !== undefined) return isTrue(found);
  }
  return true;
}

export interface Completed {
  tree: ChartFiles;
  /** What could not be had, and why. */
  missing: { dependency: Dependency; why: string }[];
}

/**
 * Fetches the sub-charts that Chart.yaml names and the chart does not contain, at the versions in
 * Chart.lock. Those that cannot be fetched are removed from Chart.yaml, so that the rest can be rendered.
 * @param values the chart's values with the user's: sub-charts that they switch off are not fetched
 */
export async function completeDependencies(
  chart: Chart,
  obtained: Obtained,
  values: Mapping,
  reach: ChartReach,
  depth = 0,
): Promise<Completed> {
  const absent = missingDependencies(chart);
  const missing: Completed["missing"] = [];
  const off: Dependency[] = [];
  if (absent.length === 0) return { tree: obtained.tree, missing };
  if (depth > 5)
    throw new AirgapError("spec", `${obtained.what}: dependencies of dependencies, more than 5 deep`);
  const tree = new Map(obtained.tree);
  const locked = lockedVersions(obtained);
  for (const dependency of absent) {
    if (!isEnabled(dependency, values)) {
      off.push(dependency);
      continue;
    }
    try {
      await add(
        tree,
        { ...dependency, version: locked.get(dependency.name) ?? dependency.version },
        obtained,
        reach,
        depth,
      );
    } catch (error) {
      if (!isUnreachable(error)) throw error;
      missing.push({ dependency, why: messageOf(error) });
    }
  }
  const without = new Set([...missing.map(({ dependency }) => dependency), ...off].map(({ name }) => name));
  return { tree: without.size > 0 ? takeOut(tree, chart, without) : tree, missing };
}

function lockedVersions({ tree, what }: Obtained): Map<string, string> {
  const lock = parseFile(tree, "Chart.lock", what) ?? parseFile(tree, "requirements.lock", what);
  return new Map(
    itemsOf(get(lock, "dependencies")).map((entry) => [
      stringAt(entry, "name") ?? "",
      stringAt(entry, "version") ?? "",
    ]),
  );
}

async function add(
  tree: ChartFiles,
  dependency: Dependency,
  obtained: Obtained,
  reach: ChartReach,
  depth: number,
): Promise<void> {
  const { name, repository, version } = dependency;
  if (repository.startsWith("file://")) return addFolder(tree, dependency, obtained, reach, depth);
  if (repository === "")
    throw new AirgapError("not-found", `it does not name a repository, and charts/${name} does not exist`);
  const found = repository.startsWith("oci://")
    ? await fromRegistry(reach, `${repository.replace(/\/+$/, "")}/${name}`, version)
    : await fromRepository(reach, repository, name, version);
  tree.set(`charts/${name}.tgz`, found.archive as Buffer);
}

async function addFolder(
  tree: ChartFiles,
  { name, repository }: Dependency,
  obtained: Obtained,
  reach: ChartReach,
  depth: number,
): Promise<void> {
  if (obtained.folder === undefined) throw new AirgapError("spec", `${repository} leads outside the archive`);
  const folder = resolve(obtained.folder, repository.slice("file://".length));
  const inner: Obtained = {
    tree: await readFolder(folder, reach.leftOut),
    what: `${obtained.what}/charts/${name}`,
    origin: repository,
    folder,
  };
  const completed = await completeDependencies(
    await loadChart(inner.tree, inner.what),
    inner,
    { kind: "mapping", entries: [] },
    reach,
    depth + 1,
  );
  // If git cannot make links, it writes files with the target as their content.
  tree.delete(`charts/${name}`);
  for (const [path, bytes] of completed.tree) tree.set(`charts/${name}/${path}`, bytes);
}

/** Chart.yaml without some dependencies; its lock would no longer fit. */
function takeOut(tree: ChartFiles, chart: Chart, names: Set<string>): ChartFiles {
  const without = (root: Node | undefined): Node | undefined => {
    if (root?.kind !== "mapping" || get(root, "dependencies") === undefined) return root;
    return withEntry(
      root,
      "dependencies",
      sequence(
        itemsOf(get(root, "dependencies")).filter((entry) => !names.has(stringAt(entry, "name") ?? "")),
      ),
    );
  };
  const result = new Map(tree);
  result.delete("Chart.lock");
  result.delete("requirements.lock");
  for (const path of ["Chart.yaml", "requirements.yaml"]) {
    const root = without(path === "Chart.yaml" ? chart.root : parseFile(tree, path, chart.name));
    if (root !== undefined) result.set(path, Buffer.from(emitDocument(root)));
  }
  return result;
}
