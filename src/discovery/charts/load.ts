import { AirgapError } from "../../errors.ts";
import { type Chart, type Dependency, readChart, subtree } from "./chart.ts";
import { type ChartFiles, readArchive } from "./tree.ts";

const MAX_DEPTH = 8;
const MAX_CHARTS = 300;

/**
 * Reads a chart with the sub-charts that it contains, as folders or archives under `charts/`.
 * @throws AirgapError `spec`
 */
export async function loadChart(tree: ChartFiles, what: string): Promise<Chart> {
  const count = { charts: 0 };
  return load(tree, what, 0, count);
}

async function load(
  tree: ChartFiles,
  what: string,
  depth: number,
  count: { charts: number },
): Promise<Chart> {
  if (depth > MAX_DEPTH || ++count.charts > MAX_CHARTS)
    throw new AirgapError(
      "spec",
      `${what}: sub-charts nested more than ${MAX_DEPTH} deep, or more than ${MAX_CHARTS} of them`,
    );
  const chart = readChart(tree, what);
  const folders = new Set(
    [...tree.keys()].flatMap((path) => /^charts\/([^/._][^/]*)\/Chart\.yaml$/.exec(path)?.[1] ?? []),
  );
  for (const name of folders)
    chart.charts.set(
      name,
      await load(subtree(tree, `charts/${name}/`), `${what}/charts/${name}`, depth + 1, count),
    );
  for (const [path, bytes] of tree) {
    const name = /^charts\/([^/]+\.tgz)$/.exec(path)?.[1];
    if (name !== undefined)
      chart.charts.set(
        name,
        await load(await readArchive(bytes, `${what}/${path}`), `${what}/${path}`, depth + 1, count),
      );
  }
  return chart;
}

/** The sub-chart of a dependency, if the chart contains it. */
export function carried(chart: Chart, dependency: Dependency): Chart | undefined {
  return [...chart.charts.values()].find(({ name }) => name === dependency.name);
}

/** Dependencies in Chart.yaml whose sub-chart is missing. */
export function missingDependencies(chart: Chart): Dependency[] {
  return chart.dependencies.filter((dependency) => carried(chart, dependency) === undefined);
}

/** A tree whose sub-charts are folders, so that single files of theirs can be left out. */
export async function unpackSubcharts(tree: ChartFiles, what: string): Promise<ChartFiles> {
  const unpacked: ChartFiles = new Map();
  for (const [path, bytes] of tree) {
    const name = /^((?:charts\/[^/]+\/)*charts\/[^/]+)\.tgz$/.exec(path)?.[1];
    if (name === undefined) unpacked.set(path, bytes);
    else
      for (const [inner, content] of await unpackSubcharts(
        await readArchive(bytes, `${what}/${path}`),
        `${what}/${path}`,
      ))
        unpacked.set(`${name}/${inner}`, content);
  }
  return unpacked;
}
