import { get, type Mapping, type Node, stringAt } from "../documents/node.ts";

/** An object while a kustomization is built, with every name that it has had. */
export interface Resource {
  node: Mapping;
  /** Its former names, for patches and references that use them. */
  formerNames: string[];
}

/** The target of a patch or replacement; texts are regular expressions for the whole value. */
export interface Selector {
  group?: string;
  version?: string;
  kind?: string;
  name?: string;
  namespace?: string;
  labelSelector?: string;
  annotationSelector?: string;
}

export const kindOf = ({ node }: Resource): string => stringAt(node, "kind") ?? "";
export const nameOf = ({ node }: Resource): string => stringAt(node, "metadata", "name") ?? "";
export const namespaceOf = ({ node }: Resource): string => stringAt(node, "metadata", "namespace") ?? "";

/** `apps/v1` as group and version; the core group is empty. */
export function groupVersion(node: Node): [group: string, version: string] {
  const text = stringAt(node, "apiVersion") ?? "";
  const slash = text.indexOf("/");
  return slash < 0 ? ["", text] : [text.slice(0, slash), text.slice(slash + 1)];
}

export function readSelector(node: Node | undefined): Selector {
  const selector: Selector = {};
  for (const key of [
    "group",
    "version",
    "kind",
    "name",
    "namespace",
    "labelSelector",
    "annotationSelector",
  ] as const) {
    const value = stringAt(node, key);
    if (value) selector[key] = value;
  }
  return selector;
}

/** Whether a regular expression matches the whole of one of some values. */
export function fits(pattern: string | undefined, values: string[]): boolean {
  if (pattern === undefined) return true;
  // Expressions come from outside: nested and many repetitions could take forever.
  const harmless =
    pattern.length <= 512 && !/\)[*+{]/.test(pattern) && (pattern.match(/[*+{]/g)?.length ?? 0) <= 4;
  if (!harmless) return values.includes(pattern);
  try {
    const expression = new RegExp(`^(?:${pattern})$`);
    return values.some((value) => value.length <= 512 && expression.test(value));
  } catch {
    return values.includes(pattern);
  }
}

/** A label selector: `a=b`, `a!=b`, `a in (x,y)`, `a notin (x)`, `a`, `!a`, joined by commas. */
function fitsLabels(selector: string | undefined, labels: Node | undefined): boolean {
  if (selector === undefined) return true;
  const terms = selector.split(/,(?![^(]*\))/).map((term) => term.trim());
  return terms.every((term) => {
    const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(term);
    if (set) {
      const value = stringAt(labels, set[1] as string);
      const within =
        value !== undefined &&
        (set[3] as string)
          .split(",")
          .map((each) => each.trim())
          .includes(value);
      return set[2] === "in" ? within : !within;
    }
    const pair = /^([^=!]+?)\s*(==|=|!=)\s*(.*)$/.exec(term);
    if (pair) return (stringAt(labels, pair[1] as string) === pair[3]) === (pair[2] !== "!=");
    return term.startsWith("!")
      ? stringAt(labels, term.slice(1).trim()) === undefined
      : stringAt(labels, term) !== undefined;
  });
}

/** Whether a selector matches an object, by its current or a former name. */
export function selects(selector: Selector, resource: Resource): boolean {
  const [group, version] = groupVersion(resource.node);
  return (
    fits(selector.group, [group]) &&
    fits(selector.version, [version]) &&
    fits(selector.kind, [kindOf(resource)]) &&
    fits(selector.name, [nameOf(resource), ...resource.formerNames]) &&
    fits(selector.namespace, [namespaceOf(resource) || "default", namespaceOf(resource)]) &&
    fitsLabels(selector.labelSelector, get(resource.node, "metadata", "labels")) &&
    fitsLabels(selector.annotationSelector, get(resource.node, "metadata", "annotations"))
  );
}

/**
 * The objects that a patch without a target is for: those with its group, kind and name, and with its
 * namespace if there are any. A namespace may have been changed since the patch was written.
 */
export function aimedAt(patch: Mapping, resources: Resource[]): Set<Resource> {
  const [group] = groupVersion(patch);
  const [kind, name, namespace] = [
    stringAt(patch, "kind"),
    stringAt(patch, "metadata", "name") ?? "",
    stringAt(patch, "metadata", "namespace"),
  ];
  const named = resources.filter(
    (each) =>
      group === groupVersion(each.node)[0] &&
      kind === kindOf(each) &&
      [nameOf(each), ...each.formerNames].includes(name),
  );
  const exact = named.filter((each) => namespace === undefined || namespaceOf(each) === namespace);
  return new Set(exact.length > 0 ? exact : named);
}
