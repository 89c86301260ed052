import { AirgapError } from "../../errors.ts";
import { count } from "../../format.ts";
import { knownVersions } from "../../kubernetes/table.ts";
import { type Mapping, mapping, type Node } from "../documents/node.ts";
import { parseOne, parseStream } from "../documents/parse.ts";
import { Text } from "../documents/text.ts";
import { takenKeys } from "../images/find.ts";
import type { Sighting, Unread } from "../images/sighting.ts";
import { walkDocument } from "../images/walk.ts";
import type { Chart } from "./chart.ts";
import { parseFile } from "./chart.ts";
import { completeDependencies } from "./dependencies.ts";
import { loadChart, unpackSubcharts } from "./load.ts";
import type { ChartReach, Obtained } from "./obtain.ts";
import { failedTemplate, helmVersion, type Rendering, type RenderOptions, renderChart } from "./render.ts";
import { inRange } from "./semver.ts";
import type { ChartFiles } from "./tree.ts";
import { mergeValues, setValues } from "./values.ts";
import { imagesInValues, unusedImages } from "./values-images.ts";

export interface ChartOptions {
  release?: string | undefined;
  namespace?: string | undefined;
  /** Values files with their contents, later ones win. */
  values: { file: string; text: string }[];
  set: string[];
  kubeVersion?: string | undefined;
  /** A chart that cannot be rendered or fetched is an error, not a warning. */
  strict: boolean;
}

export interface ChartFinds {
  chart: Chart;
  sightings: Sighting[];
  rendering?: Rendering;
  /** The rendering's objects. */
  documents: Node[];
  /** The chart as it was rendered, sub-charts included. */
  tree: ChartFiles;
  /** What stands for an image in the rendering, and is none. */
  unread: Unread[];
  warnings: string[];
  notes: string[];
}

/** The user's values as one mapping. @throws AirgapError `spec` or `usage` */
export function givenValues(options: Pick<ChartOptions, "values" | "set">): Mapping {
  const files = options.values.map(({ file, text }) => parseOne(new Text(file, text)));
  return setValues(
    files.reduce<Mapping>((under, over) => mergeValues(under, over, true), mapping([])),
    options.set,
  );
}

/**
 * Finds a chart's images: in its rendering by helm, and in its values those that the rendering does not use.
 * Without helm only the values are searched, with a warning.
 */
export async function findInChart(
  obtained: Obtained,
  options: ChartOptions,
  reach: ChartReach,
): Promise<ChartFinds> {
  const { what } = obtained;
  const given = givenValues(options);
  const first = await loadChart(obtained.tree, what);
  const values = mergeValues(parseFile(first.tree, "values.yaml", what), given);
  const { tree, missing } = await completeDependencies(first, obtained, values, reach);
  const warnings = missing.map(
    ({ dependency: { name, version }, why }) =>
      `${what}: the sub-chart ${name} ${version} cannot be fetched, so its images are not in the answer: ${why}`,
  );
  if (options.strict && missing.length > 0) {
    throw new AirgapError("spec", warnings.join("\n"), {
      suggestions: [`helm dependency build ${obtained.folder ?? what}`],
    });
  }
  // Missing sub-charts were removed from Chart.yaml, but their values are still in the chart's.
  const chart =
    tree === obtained.tree ? first : { ...(await loadChart(tree, what)), dependencies: first.dependencies };
  const named = imagesInValues(chart, given, what);
  const unread: Unread[] = [];
  const result = { chart, tree, warnings, unread, notes: [] as string[], documents: [] as Node[] };
  if (chart.library)
    return { ...result, sightings: [], notes: [`${what} is a library chart: it installs nothing`] };
  const { rendering, whole } = await tryRender(chart, tree, what, options, warnings, reach);
  if (rendering === undefined) return { ...result, sightings: named };
  result.documents = renderedDocuments(rendering, what);
  const taken = takenKeys(result.documents);
  const rendered = result.documents.flatMap((root) =>
    walkDocument(root, { taken, unread: (each) => unread.push(each) }),
  );
  if (rendering.hookNames.length > 0)
    result.notes.push(
      `${what} has hooks, which the bundle carries but airgap does not run: ${rendering.hookNames.join(", ")}`,
    );
  return { ...result, rendering, sightings: [...rendered, ...unusedImages(named, rendered, chart, whole)] };
}

/** `whole` is false when some or all templates had to be left out. */
interface Rendered {
  rendering?: Rendering;
  whole: boolean;
}

async function tryRender(
  chart: Chart,
  tree: ChartFiles,
  what: string,
  options: ChartOptions,
  warnings: string[],
  reach: ChartReach,
): Promise<Rendered> {
  const instead =
    "images were read from the chart's values instead: they are likely, not certain, and images that only templates name are missing";
  const version = await helmVersion();
  if (version === undefined) {
    if (options.strict)
      throw new AirgapError("environment", `Cannot render the chart ${what}: helm is not on the PATH`, {
        suggestions: ["install helm 3 or newer: https://helm.sh/docs/intro/install/"],
      });
    warnings.push(`${what} was not rendered, since helm is not on the PATH; ${instead}`);
    return { whole: false };
  }
  const renderOptions = optionsFor(chart, what, options, reach);
  if (options.strict) return { rendering: await renderChart(tree, what, renderOptions), whole: true };
  try {
    return await renderMost(tree, what, renderOptions, warnings);
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    warnings.push(`${error.message}; ${instead}`);
    return { whole: false };
  }
}

const MAX_LEFT_OUT = 20;

/** Renders a chart without the templates that fail because they need values that only the user knows. */
async function renderMost(
  tree: ChartFiles,
  what: string,
  options: RenderOptions,
  warnings: string[],
): Promise<Rendered> {
  let rest = tree;
  const failures: string[] = [];
  for (;;) {
    try {
      const rendering = await renderChart(rest, what, options);
      if (failures.length > 0)
        warnings.push(
          `${failures[0]}; ${count(failures.length, "template")} that failed ${failures.length === 1 ? "was" : "were"} left out; their images are known only from the values`,
        );
      return { rendering, whole: failures.length === 0 };
    } catch (error) {
      if (!(error instanceof AirgapError) || failures.length >= MAX_LEFT_OUT) throw error;
      const failed = failedTemplate(error.message);
      if (failures.length === 0) rest = await unpackSubcharts(tree, what);
      if (failed === undefined || !rest.has(failed)) throw error;
      failures.push(error.message);
      rest = new Map([...rest].filter(([path]) => path !== failed));
    }
  }
}

/** The newest known Kubernetes that the chart accepts; helm's own default depends on how helm was built. */
export function fittingVersion({ kubeVersion }: Chart): string {
  const known = knownVersions();
  return (
    known.find((version) => kubeVersion === undefined || inRange(version, kubeVersion)) ??
    (known[0] as string)
  );
}

function optionsFor(
  chart: Chart,
  what: string,
  { release, namespace, values, set, kubeVersion }: ChartOptions,
  { signal }: ChartReach,
): RenderOptions {
  const name =
    release ??
    what
      .replace(/\.tgz$/, "")
      .toLowerCase()
      .replace(/[^a-z0-9-]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 50);
  return {
    release: name || "release",
    namespace: namespace ?? "default",
    values: values.map(({ text }) => text),
    set,
    kubeVersion: kubeVersion ?? fittingVersion(chart),
    signal,
  };
}

function renderedDocuments({ objects, hooks }: Rendering, what: string): Node[] {
  const texts = [new Text(`${what}:rendered.yaml`, objects), new Text(`${what}:hooks.yaml`, hooks)];
  return texts.flatMap((text) => [...parseStream(text)].map(({ root }) => root));
}
