import { AirgapError } from "../../errors.ts";
import { get, itemsOf, type Node, stringAt } from "../documents/node.ts";
import { parseOne } from "../documents/parse.ts";
import { Text } from "../documents/text.ts";
import type { ChartFiles } from "./tree.ts";

/** An entry of `dependencies:` in Chart.yaml or requirements.yaml. */
export interface Dependency {
  name: string;
  version: string;
  repository: string;
  /** The key of its values, and its folder's name when two use the same chart. */
  alias?: string;
  /** Paths in the values, comma-separated; the first that exists decides. */
  condition?: string;
}

/** https://helm.sh/docs/topics/charts/#the-chartyaml-file */
export interface Chart {
  name: string;
  version: string;
  appVersion?: string;
  kubeVersion?: string;
  library: boolean;
  dependencies: Dependency[];
  /** Chart.yaml itself. */
  root: Node;
  tree: ChartFiles;
  /** Sub-charts by the name of their folder or archive. */
  charts: Map<string, Chart>;
}

/** One document of a chart's file. @throws AirgapError `spec` with file and line */
export function parseFile(tree: ChartFiles, path: string, what: string): Node | undefined {
  const bytes = tree.get(path);
  return bytes === undefined ? undefined : parseOne(new Text(`${what}/${path}`, bytes.toString("utf8")));
}

function dependency(node: Node): Dependency {
  const [alias, condition] = [stringAt(node, "alias"), stringAt(node, "condition")];
  return {
    name: stringAt(node, "name") ?? "",
    version: stringAt(node, "version") ?? "",
    repository: stringAt(node, "repository") ?? "",
    ...(alias ? { alias } : {}),
    ...(condition ? { condition } : {}),
  };
}

/** The files below `prefix`, their paths without it. */
export function subtree(tree: ChartFiles, prefix: string): ChartFiles {
  return new Map(
    [...tree].flatMap(([path, bytes]) =>
      path.startsWith(prefix) ? [[path.slice(prefix.length), bytes] as const] : [],
    ),
  );
}

/**
 * Reads Chart.yaml, also in version 1 of the format.
 * @param what the chart as the user named it, for messages
 * @throws AirgapError `spec`
 */
export function readChart(tree: ChartFiles, what: string): Chart {
  const root = parseFile(tree, "Chart.yaml", what);
  const [name, version] = [stringAt(root, "name"), stringAt(root, "version")];
  if (root === undefined || name === undefined || version === undefined)
    throw new AirgapError("spec", `${what} is not a chart: no Chart.yaml with name and version`);
  const requirements =
    get(root, "dependencies") ?? get(parseFile(tree, "requirements.yaml", what), "dependencies");
  const [appVersion, kubeVersion] = [stringAt(root, "appVersion"), stringAt(root, "kubeVersion")];
  return {
    name,
    version,
    ...(appVersion ? { appVersion } : {}),
    ...(kubeVersion ? { kubeVersion } : {}),
    library: stringAt(root, "type") === "library",
    dependencies: itemsOf(requirements).map(dependency),
    root,
    tree,
    charts: new Map(),
  };
}
