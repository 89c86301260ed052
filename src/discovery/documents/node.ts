import { locate, type Span } from "./text.ts";

/**
 * A YAML or JSON value that knows its location. A node reached through several aliases is one
 * object. Nodes are never changed; a transformation makes new ones.
 */
export type Node = Scalar | Mapping | Sequence;

export interface Scalar {
  kind: "scalar";
  /** The decoded string; of a plain scalar its source, so that `1.20` stays `1.20`. */
  value: string;
  /** Written without quotes: it may be a number, a boolean or null. */
  plain: boolean;
  /** Where it was written, quotes included; absent when a transformation made it. */
  span?: Span;
}

export interface Entry {
  key: string;
  value: Node;
}

export interface Mapping {
  kind: "mapping";
  entries: Entry[];
  span?: Span;
}

export interface Sequence {
  kind: "sequence";
  items: Node[];
  span?: Span;
}

export const isNull = (node: Node | undefined): boolean =>
  node?.kind === "scalar" && node.plain && /^(?:~|null|Null|NULL)?$/.test(node.value);

/** A number or a boolean to any reader of YAML, version 1.1 included. */
export const isTyped = (node: Node): boolean =>
  node.kind === "scalar" &&
  node.plain &&
  /^(?:true|false|yes|no|on|off|[-+]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?|0x[\da-f]+|0o?[0-7]+)$/i.test(
    node.value,
  );

/** The value of a key; the last one when the key occurs twice, as Kubernetes reads it. */
export function get(node: Node | undefined, ...path: string[]): Node | undefined {
  let found = node;
  for (const key of path) {
    if (found?.kind !== "mapping") return undefined;
    found = found.entries.findLast((entry) => entry.key === key)?.value;
  }
  return found;
}

/** The string value of a key, or undefined when it is not a string. */
export function stringAt(node: Node | undefined, ...path: string[]): string | undefined {
  const found = get(node, ...path);
  return found?.kind === "scalar" && !isNull(found) ? found.value : undefined;
}

export function itemsOf(node: Node | undefined): Node[] {
  return node?.kind === "sequence" ? node.items : [];
}

/** Where a part of a scalar's value was written. */
export function spanOf(scalar: Scalar, start = 0, end = scalar.value.length): Span | undefined {
  return scalar.span && locate(scalar.span, scalar.value, start, end);
}

export const scalar = (value: string, span?: Span): Scalar => ({
  kind: "scalar",
  value,
  plain: false,
  ...(span ? { span } : {}),
});
export const mapping = (entries: Entry[], span?: Span): Mapping => ({
  kind: "mapping",
  entries,
  ...(span ? { span } : {}),
});
export const sequence = (items: Node[], span?: Span): Sequence => ({
  kind: "sequence",
  items,
  ...(span ? { span } : {}),
});

/** `node` with `value` for `key`, in its place; undefined removes the key. */
export function withEntry(node: Mapping, key: string, value: Node | undefined): Mapping {
  const at = node.entries.findLastIndex((entry) => entry.key === key);
  const entries = node.entries.filter((entry, i) => entry.key !== key || i === at);
  const place = entries.findIndex((entry) => entry.key === key);
  if (value === undefined) entries.splice(place, place < 0 ? 0 : 1);
  else if (place < 0) entries.push({ key, value });
  else entries[place] = { key, value };
  return mapping(entries, node.span);
}
