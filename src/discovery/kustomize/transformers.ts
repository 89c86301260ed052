import { get, itemsOf, type Mapping, mapping, type Node, sequence, stringAt } from "../documents/node.ts";
import { emptyConfiguration, fieldsOf } from "./configuration.ts";
import type { Files } from "./files.ts";
import { transformImages } from "./images.ts";
import { withFields } from "./labels.ts";
import { transformNames, transformNamespace } from "./names.ts";
import { transformPatches } from "./patches.ts";
import { transformReplacements } from "./replacements.ts";
import type { Resource } from "./resource.ts";

/** Whether a document of `transformers:` is one that kustomize has built in. */
export const isBuiltin = (node: Node): boolean =>
  stringAt(node, "apiVersion") === "builtin" && (stringAt(node, "kind") ?? "") in BUILTIN;

interface Context {
  folder: string;
  files: Files;
  by: string;
}

type Transform = (resources: Resource[], node: Node, context: Context) => Resource[] | Promise<Resource[]>;

const kustomization = (key: string, value: Node | undefined): Mapping =>
  mapping(value === undefined ? [] : [{ key, value }]);

/** Puts pairs into the fields that a transformer names, and no others. */
const pairs =
  (key: string): Transform =>
  (resources, node) => {
    const value = get(node, key);
    const fields = fieldsOf(get(node, "fieldSpecs"));
    return value?.kind === "mapping"
      ? resources.map((each) => ({ ...each, node: withFields(each, fields, value) }))
      : resources;
  };

const affixes =
  (...keys: [field: string, as: string][]): Transform =>
  (resources, node) => {
    const entries = keys.flatMap(([field, as]) => {
      const value = get(node, field);
      return value ? [{ key: as, value }] : [];
    });
    return transformNames(resources, mapping(entries), emptyConfiguration());
  };

/**
 * What kustomize's own transformers do that are written as objects. They take the fields that they
 * change from their `fieldSpecs`.
 * https://github.com/kubernetes-sigs/kustomize/tree/master/plugin/builtin
 */
const BUILTIN: Record<string, Transform> = {
  LabelTransformer: pairs("labels"),
  AnnotationsTransformer: pairs("annotations"),
  NamespaceTransformer: (resources, node) =>
    transformNamespace(
      resources,
      kustomization("namespace", get(node, "metadata", "namespace")),
      fieldsOf(get(node, "fieldSpecs")).filter(
        ({ path }) => path !== "metadata/namespace" && path !== "metadata/name",
      ),
    ),
  PrefixTransformer: affixes(["prefix", "namePrefix"]),
  SuffixTransformer: affixes(["suffix", "nameSuffix"]),
  PrefixSuffixTransformer: affixes(["prefix", "namePrefix"], ["suffix", "nameSuffix"]),
  ImageTagTransformer: (resources, node) => {
    const image = get(node, "imageTag");
    const root = kustomization("images", image && sequence([image]));
    return transformImages(resources, root, fieldsOf(get(node, "fieldSpecs")));
  },
  PatchTransformer: (resources, node, { folder, files, by }) =>
    transformPatches(resources, kustomization("patches", sequence([node])), folder, files, by),
  ReplacementTransformer: (resources, node, { by }) =>
    transformReplacements(resources, itemsOf(get(node, "replacements")), by),
};

/** Applies transformers in their order; those that are not built in are left out. */
export async function transformBuiltin(
  resources: Resource[],
  transformers: Node[],
  context: Context,
): Promise<Resource[]> {
  let result = resources;
  for (const node of transformers) {
    const transform = isBuiltin(node) ? BUILTIN[stringAt(node, "kind") ?? ""] : undefined;
    if (transform) result = await transform(result, node, context);
  }
  return result;
}
