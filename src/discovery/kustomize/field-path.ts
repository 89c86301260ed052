import { get, type Mapping, mapping, type Node, stringAt, withEntry } from "../documents/node.ts";
import type { Selector } from "./resource.ts";

/** A field of some kinds of objects, as transformer configurations name it. */
export interface Field {
  selector: Selector;
  path: string;
  create: boolean;
}

/** One step of a path: a key, every item, an item by index, or the items of which a field has a value. */
export type PathStep =
  | { key: string }
  | { each: true }
  | { index: number }
  | { field: string; value: string };

/**
 * Reads kustomize's paths: `spec/template/spec/containers[]/image` of field specs, and
 * `spec.template.spec.containers.[name=web].image` or `metadata.annotations.a\.b` of replacements.
 */
export function parsePath(text: string, separator: "/" | "."): PathStep[] {
  const parts: string[] = [];
  let [current, bracket] = ["", 0];
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (char === "\\" && text[i + 1] === separator) current += text[++i];
    else if (char === separator && bracket === 0) {
      parts.push(current);
      current = "";
    } else {
      if (char === "[") bracket++;
      if (char === "]") bracket--;
      current += char;
    }
  }
  return [...parts, current].filter((part) => part !== "").flatMap(stepsOf);
}

function stepsOf(part: string): PathStep[] {
  if (part === "*" || part === "[]") return [{ each: true }];
  const selected = /^\[([^=\]]+)=(.*)\]$/.exec(part);
  if (selected)
    return [{ field: selected[1] as string, value: (selected[2] as string).replace(/^["']|["']$/g, "") }];
  const literal = /^\[(.+)\]$/.exec(part);
  if (literal) return [{ key: literal[1] as string }];
  const indexed = /^([^[\]]+)\[([^\]]+)\]$/.exec(part);
  if (indexed)
    return [
      { key: indexed[1] as string },
      ...stepsOf(/^\d+$/.test(indexed[2] as string) ? (indexed[2] as string) : `[${indexed[2]}]`),
    ];
  if (part.endsWith("[]")) return [{ key: part.slice(0, -2) }, { each: true }];
  return [/^\d+$/.test(part) ? { index: Number(part) } : { key: part }];
}

/** What a path leads to. */
export function readAt(node: Node | undefined, steps: PathStep[]): Node[] {
  const [step, ...rest] = steps;
  if (node === undefined) return [];
  if (step === undefined) return [node];
  if ("key" in step)
    return node.kind === "sequence"
      ? node.items.flatMap((item) => readAt(item, steps))
      : readAt(get(node, step.key), rest);
  if ("index" in step)
    return node.kind === "sequence"
      ? readAt(node.items[step.index], rest)
      : readAt(get(node, String(step.index)), rest);
  if (node.kind === "mapping" && "each" in step)
    return node.entries.flatMap(({ value }) => readAt(value, rest));
  if (node.kind !== "sequence") return [];
  return node.items
    .filter((item) => "each" in step || selected(item, step))
    .flatMap((item) => readAt(item, rest));
}

function selected(item: Node, step: { field: string; value: string }): boolean {
  return item.kind === "scalar" ? item.value === step.value : stringAt(item, step.field) === step.value;
}

/**
 * Changes the nodes at a path.
 * @param create creates missing mappings on the path
 */
export function changeAt(
  node: Node,
  steps: PathStep[],
  change: (found: Node | undefined) => Node | undefined,
  create: boolean,
): Node {
  const [step, ...rest] = steps;
  if (step === undefined) return change(node) ?? node;
  const inItems = (matches: (item: Node, i: number) => boolean): Node =>
    node.kind === "sequence"
      ? {
          ...node,
          items: node.items.map((item, i) =>
            matches(item, i) ? changeAt(item, rest, change, create) : item,
          ),
        }
      : node;
  if ("index" in step && node.kind === "sequence") return inItems((_, i) => i === step.index);
  if ("field" in step) return inItems((item) => selected(item, step));
  if ("each" in step && node.kind === "sequence") return inItems(() => true);
  if ("each" in step)
    return node.kind === "mapping"
      ? {
          ...node,
          entries: node.entries.map(({ key, value }) => ({
            key,
            value: changeAt(value, rest, change, create),
          })),
        }
      : node;
  const key = "key" in step ? step.key : String(step.index);
  if (node.kind === "sequence")
    return { ...node, items: node.items.map((item) => changeAt(item, steps, change, create)) };
  if (node.kind !== "mapping") return node;
  return changeKey(node, key, rest, change, create);
}

function changeKey(
  node: Mapping,
  key: string,
  rest: PathStep[],
  change: (found: Node | undefined) => Node | undefined,
  create: boolean,
): Node {
  const inner = get(node, key);
  if (inner === undefined && !create) return node;
  const value = rest.length === 0 ? change(inner) : changeAt(inner ?? mapping([]), rest, change, create);
  return value === undefined ? node : withEntry(node, key, value);
}
