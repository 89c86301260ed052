import { AirgapError } from "../../errors.ts";
import { type Mapping, mapping, type Node } from "../documents/node.ts";
import { parseOne, parseStream } from "../documents/parse.ts";
import { Text } from "../documents/text.ts";
import { takenKeys } from "../manifests/find.ts";
import { type Sighting, walkDocument } from "../manifests/walk.ts";
import type { Chart } from "./chart.ts";
import { parseFile } from "./chart.ts";
import { completeDependencies } from "./dependencies.ts";
import { loadChart } from "./load.ts";
import type { ChartReach, Obtained } from "./obtain.ts";
import { helmVersion, type Rendering, type RenderOptions, renderChart } from "./render.ts";
import type { Tree } from "./tree.ts";
import { mergeValues, setValues } from "./values.ts";
import { imagesInValues, unusedImages } from "./values-images.ts";

export interface ChartOptions {
  release?: string;
  namespace?: string;
  /** Values files with their contents, later ones win. */
  values: { file: string; text: string }[];
  set: string[];
  kubeVersion?: string;
  /** What can't be rendered or had is an error, not a warning. */
  strict: boolean;
}

export interface ChartFinds {
  chart: Chart;
  sightings: Sighting[];
  rendering?: Rendering;
  /** The rendering's objects. */
  documents: Node[];
  /** The chart as it was rendered, sub-charts included. */
  tree: Tree;
  warnings: string[];
  notes: string[];
}

/** The user's values as one mapping. @throws AirgapError `spec` or `usage` */
export function givenValues(options: Pick<ChartOptions, "values" | "set">): Mapping {
  const files = options.values.map(({ file, text }) => parseOne(new Text(file, text)));
  return setValues(
    files.reduce<Mapping>((under, over) => mergeValues(under, over), mapping([])),
    options.set,
  );
}

/**
 * Finds a chart's images: in its rendering by helm, and in its values what that leaves unused.
 * Without helm the values are all there is, and that is said.
 */
export async function findInChart(obtained: Obtained, options: ChartOptions, reach: ChartReach): Promise<ChartFinds> {
  const { what } = obtained;
  const given = givenValues(options);
  const first = await loadChart(obtained.tree, what);
  const values = mergeValues(parseFile(first.tree, "values.yaml", what), given);
  const { tree, missing } = await completeDependencies(first, obtained, values, reach);
  const warnings = missing.map(
    ({ dependency: { name, version }, why }) => `${what}: the sub-chart ${name} ${version} could not be had, its images are not in the answer: ${why}`,
  );
  if (options.strict && missing.length > 0) {
    throw new AirgapError("spec", warnings.join("\n"), { suggestions: [`helm dependency build ${obtained.folder ?? what}`] });
  }
  const chart = missing.length > 0 || tree !== obtained.tree ? await loadChart(tree, what) : first;
  const named = imagesInValues(chart, given, what);
  const result = { chart, tree, warnings, notes: [] as string[], documents: [] as Node[] };
  if (chart.library) return { ...result, sightings: [], notes: [`${what} is a library chart: it installs nothing`] };
  const rendering = await tryRender(tree, what, options, warnings, reach);
  if (rendering === undefined) return { ...result, sightings: named };
  result.documents = renderedDocuments(rendering, what);
  const taken = takenKeys(result.documents);
  const rendered = result.documents.flatMap((root) => walkDocument(root, { taken }));
  if (rendering.hookNames.length > 0) result.notes.push(`${what} has hooks, which are carried and not run: ${rendering.hookNames.join(", ")}`);
  return { ...result, rendering, sightings: [...rendered, ...unusedImages(named, rendered, chart)] };
}

async function tryRender(tree: Tree, what: string, options: ChartOptions, warnings: string[], reach: ChartReach): Promise<Rendering | undefined> {
  const instead = "images were read from the chart's values instead: likely, not certain, and what only templates name is missing";
  const version = await helmVersion();
  if (version === undefined) {
    if (options.strict)
      throw new AirgapError("environment", `The chart ${what} has to be rendered, and there is no helm on the PATH`, {
        suggestions: ["install helm 3 or newer: https://helm.sh/docs/intro/install/"],
      });
    warnings.push(`${what} was not rendered, since there is no helm on the PATH; ${instead}`);
    return undefined;
  }
  try {
    return await renderChart(tree, what, renderOptions(what, options, reach));
  } catch (error) {
    if (options.strict || !(error instanceof AirgapError)) throw error;
    warnings.push(`${error.message}; ${instead}`);
    return undefined;
  }
}

function renderOptions(what: string, { release, namespace, values, set, kubeVersion }: ChartOptions, { signal }: ChartReach): RenderOptions {
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
    ...(kubeVersion ? { kubeVersion } : {}),
    ...(signal ? { signal } : {}),
  };
}

function renderedDocuments({ objects, hooks }: Rendering, what: string): Node[] {
  const texts = [new Text(`${what}:rendered.yaml`, objects), new Text(`${what}:hooks.yaml`, hooks)];
  return texts.flatMap((text) => [...parseStream(text)].map(({ root }) => root));
}
