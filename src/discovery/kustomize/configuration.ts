import { get, itemsOf, type Node, stringAt } from "../documents/node.ts";
import type { Field } from "./field-path.ts";
import { readSelector, type Selector } from "./resource.ts";

/** A field of `user` objects that holds the name of an object of `kind`. */
export interface NameReference {
  kind: string;
  path: string;
  user?: Selector;
}

/**
 * Fields that `configurations:` add to those that kustomize knows. Fields that a base or a component adds
 * also apply in every kustomization above it.
 * https://github.com/kubernetes-sigs/kustomize/tree/master/examples/transformerconfigs
 */
export interface Configuration {
  images: Field[];
  namespace: Field[];
  namePrefix: Field[];
  nameSuffix: Field[];
  commonLabels: Field[];
  labels: Field[];
  templateLabels: Field[];
  commonAnnotations: Field[];
  replicas: Field[];
  references: NameReference[];
  /** Paths that variables are put into, with dots: `.spec.img`. */
  variables: string[];
}

const FIELDS = [
  "images",
  "namespace",
  "namePrefix",
  "nameSuffix",
  "commonLabels",
  "labels",
  "templateLabels",
  "commonAnnotations",
  "replicas",
] as const;

export const emptyConfiguration = (): Configuration => ({
  images: [],
  namespace: [],
  namePrefix: [],
  nameSuffix: [],
  commonLabels: [],
  labels: [],
  templateLabels: [],
  commonAnnotations: [],
  replicas: [],
  references: [],
  variables: [],
});

/** Reads one file of `configurations:`. */
export function readConfiguration(root: Node | undefined): Configuration {
  const found = emptyConfiguration();
  for (const key of FIELDS) found[key] = fieldsOf(get(root, key));
  for (const reference of itemsOf(get(root, "nameReference"))) {
    const kind = stringAt(reference, "kind") ?? "";
    for (const { selector, path } of fieldsOf(get(reference, "fieldSpecs")))
      found.references.push({ kind, path, user: selector });
  }
  for (const field of itemsOf(get(root, "varReference")))
    found.variables.push(`.${(stringAt(field, "path") ?? "").replaceAll("/", ".")}`);
  return found;
}

/** Merges one configuration into another, which is changed. */
export function addConfiguration(to: Configuration, more: Configuration): void {
  for (const key of FIELDS) to[key].push(...more[key]);
  to.references.push(...more.references);
  to.variables.push(...more.variables);
}

export function fieldsOf(node: Node | undefined): Field[] {
  return itemsOf(node).flatMap((field) => {
    const path = stringAt(field, "path");
    return path
      ? [{ selector: readSelector(field), path, create: stringAt(field, "create") === "true" }]
      : [];
  });
}
