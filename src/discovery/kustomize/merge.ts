import {
  type Entry,
  get,
  isNull,
  type Mapping,
  mapping,
  type Node,
  type Sequence,
  stringAt,
  withEntry,
} from "../documents/node.ts";
import { groupVersion } from "./resource.ts";

/**
 * Keys by which Kubernetes' own lists are merged; the first key that every item has is used.
 * From the `x-kubernetes-patch-merge-key` of its OpenAPI description.
 */
const MERGE_KEYS: Record<string, string[]> = {
  containers: ["name"],
  initContainers: ["name"],
  ephemeralContainers: ["name"],
  env: ["name"],
  volumes: ["name"],
  imagePullSecrets: ["name"],
  secrets: ["name"],
  volumeMounts: ["mountPath"],
  volumeDevices: ["devicePath"],
  ports: ["containerPort", "port"],
  hostAliases: ["ip"],
  topologySpreadConstraints: ["topologyKey"],
  webhooks: ["name"],
  ownerReferences: ["uid"],
  resourceClaims: ["name"],
};

/** Whether an object is of a group whose lists are known; other lists are replaced whole. */
function isKnownKind(node: Node): boolean {
  const [group] = groupVersion(node);
  return (
    group === "" ||
    !group.includes(".") ||
    (/\.k8s\.io$/.test(group) && !/\.(?:x-k8s|sigs\.k8s|snapshot\.storage\.k8s)\.io$/.test(group))
  );
}

/** `$patch` and the like are instructions, not content. */
const isDirective = (key: string): boolean =>
  key.startsWith("$patch") ||
  key.startsWith("$retainKeys") ||
  key.startsWith("$setElementOrder/") ||
  key.startsWith("$deleteFromPrimitiveList/");

function withoutDirectives(node: Node): Node {
  if (node.kind === "sequence") return { ...node, items: node.items.map(withoutDirectives) };
  if (node.kind !== "mapping") return node;
  return mapping(
    node.entries
      .filter(({ key, value }) => !isDirective(key) && !isNull(value))
      .map(({ key, value }): Entry => ({ key, value: withoutDirectives(value) })),
    node.span,
  );
}

/**
 * Applies a strategic merge patch.
 * https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
 * @returns undefined when the patch deletes the object
 */
export function strategicMerge(target: Mapping, patch: Mapping): Mapping | undefined {
  return mergeMappings(target, patch, isKnownKind(target));
}

function mergeMappings(target: Mapping, patch: Mapping, known: boolean): Mapping | undefined {
  const directive = stringAt(patch, "$patch");
  if (directive === "delete") return undefined;
  if (directive === "replace") return withoutDirectives(patch) as Mapping;
  let merged = target;
  for (const { key, value } of patch.entries) {
    if (key.startsWith("$deleteFromPrimitiveList/"))
      merged = withoutItems(merged, key.slice(key.indexOf("/") + 1), value);
    if (isDirective(key)) continue;
    merged = withEntry(merged, key, mergeValue(get(merged, key), value, key, known));
  }
  return merged;
}

function mergeValue(before: Node | undefined, value: Node, key: string, known: boolean): Node | undefined {
  if (isNull(value)) return undefined;
  if (value.kind === "mapping") {
    if (before?.kind === "mapping") return mergeMappings(before, value, known);
    return stringAt(value, "$patch") === "delete" ? undefined : withoutDirectives(value);
  }
  if (value.kind === "sequence") {
    const mergeKey = known ? mergeKeyOf(key, value, before) : undefined;
    if (
      value.items.some(
        (item) =>
          stringAt(item, "$patch") === "replace" && item.kind === "mapping" && item.entries.length === 1,
      )
    ) {
      return withoutDirectives({
        ...value,
        items: value.items.filter((item) => stringAt(item, "$patch") === undefined),
      });
    }
    if (mergeKey !== undefined && before?.kind === "sequence")
      return mergeLists(before, value, mergeKey, known);
    if (known && key === "finalizers" && before?.kind === "sequence")
      return { ...before, items: [...before.items, ...value.items.filter((item) => !hasItem(before, item))] };
    return withoutDirectives({
      ...value,
      items: value.items.filter((item) => stringAt(item, "$patch") !== "delete"),
    });
  }
  return value;
}

const hasItem = (list: Sequence, item: Node): boolean =>
  list.items.some((other) => other.kind === "scalar" && item.kind === "scalar" && other.value === item.value);

function mergeKeyOf(key: string, patch: Sequence, before: Node | undefined): string | undefined {
  const items = [...patch.items, ...(before?.kind === "sequence" ? before.items : [])];
  return MERGE_KEYS[key]?.find((candidate) => items.every((item) => stringAt(item, candidate) !== undefined));
}

/** Items that the patch names come first, in its order, as in kustomize. */
function mergeLists(before: Sequence, patch: Sequence, key: string, known: boolean): Sequence {
  const first: Node[] = [];
  let rest = before.items;
  for (const item of patch.items) {
    if (item.kind !== "mapping") continue;
    const same = (other: Node): boolean =>
      stringAt(other, key) === stringAt(item, key) && samePort(key, other, item);
    const found = rest.find(same);
    rest = rest.filter((other) => !same(other));
    if (found?.kind === "mapping") {
      const merged = mergeMappings(found, item, known);
      if (merged) first.push(merged);
    } else if (stringAt(item, "$patch") !== "delete") first.push(withoutDirectives(item));
  }
  return { ...before, items: [...first, ...rest] };
}

/** Ports are also distinguished by their protocol. */
function samePort(key: string, a: Node | undefined, b: Node): boolean {
  return !/port$/i.test(key) || (stringAt(a, "protocol") ?? "TCP") === (stringAt(b, "protocol") ?? "TCP");
}

function withoutItems(node: Mapping, key: string, values: Node): Mapping {
  const list = get(node, key);
  if (list?.kind !== "sequence" || values.kind !== "sequence") return node;
  return withEntry(node, key, { ...list, items: list.items.filter((item) => !hasItem(values, item)) });
}
