import { AirgapError } from "../../errors.ts";
import { get, isNull, type Mapping, mapping, type Node, type Scalar, withEntry } from "../documents/node.ts";

const EMPTY: Mapping = mapping([]);

export const asMapping = (node: Node | undefined): Mapping => (node?.kind === "mapping" ? node : EMPTY);

/**
 * Helm's order: `over` wins, mappings are merged, everything else is replaced, null removes a key.
 * @param keepNull for values that are merged over others later, where null must still remove a key
 */
export function mergeValues(under: Node | undefined, over: Node | undefined, keepNull = false): Mapping {
  let merged = asMapping(under);
  for (const { key, value } of asMapping(over).entries) {
    const before = get(merged, key);
    if (isNull(value) && !keepNull) merged = withEntry(merged, key, undefined);
    else if (before?.kind === "mapping" && value.kind === "mapping")
      merged = withEntry(merged, key, mergeValues(before, value, keepNull));
    else merged = withEntry(merged, key, value);
  }
  return merged;
}

/** Splits `a.b[0].c` and `a\.b` as Helm's strvals do. */
function segments(path: string, assignment: string): (string | number)[] {
  const found: (string | number)[] = [];
  let current = "";
  for (let i = 0; i < path.length; i++) {
    const char = path[i] as string;
    if (char === "\\" && i + 1 < path.length) current += path[++i];
    else if (char === ".") {
      if (current !== "") found.push(current);
      current = "";
    } else if (char === "[") {
      const end = path.indexOf("]", i);
      const index = Number(path.slice(i + 1, end));
      if (end < 0 || !Number.isInteger(index) || index < 0 || index > 10_000)
        throw new AirgapError("usage", `--set ${assignment}: '${path.slice(i)}' is not an index`);
      if (current !== "") found.push(current);
      found.push(index);
      current = "";
      i = end;
    } else current += char;
  }
  if (current !== "") found.push(current);
  return found;
}

function put(node: Node | undefined, path: (string | number)[], value: Node): Node {
  const [head, ...rest] = path;
  if (head === undefined) return value;
  if (typeof head === "string") return withEntry(asMapping(node), head, put(get(node, head), rest, value));
  const items = node?.kind === "sequence" ? [...node.items] : [];
  while (items.length <= head) items.push({ kind: "scalar", value: "", plain: true });
  items[head] = put(items[head], rest, value);
  return { kind: "sequence", items };
}

/** Splits at commas that are neither escaped nor in braces. */
function assignments(text: string): string[] {
  const parts: string[] = [];
  let [current, depth] = ["", 0];
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (char === "\\" && i + 1 < text.length) current += char + text[++i];
    else if (char === "," && depth === 0) {
      parts.push(current);
      current = "";
    } else {
      if (char === "{") depth++;
      if (char === "}") depth--;
      current += char;
    }
  }
  return [...parts, current].filter((part) => part !== "");
}

/**
 * Applies `helm --set` expressions, to read values without Helm.
 * @throws AirgapError `usage`
 */
export function setValues(values: Mapping, expressions: string[]): Mapping {
  let result: Node = values;
  for (const expression of expressions) {
    for (const assignment of assignments(expression)) {
      const at = assignment.indexOf("=");
      if (at <= 0) throw new AirgapError("usage", `--set ${assignment}: key=value is expected`);
      const value = assignment.slice(at + 1);
      const list = /^\{(.*)\}$/s.exec(value);
      const scalar = (text: string): Scalar => ({
        kind: "scalar",
        value: text.replace(/\\(.)/g, "$1"),
        plain: true,
      });
      const node: Node = list
        ? { kind: "sequence", items: assignments(list[1] as string).map(scalar) }
        : scalar(value);
      result = put(result, segments(assignment.slice(0, at), assignment), node);
    }
  }
  return asMapping(result);
}

/** Whether a template's `if` takes a value as true. */
export function isTrue(node: Node | undefined): boolean {
  if (node === undefined || isNull(node)) return false;
  if (node.kind === "scalar") return node.plain ? !/^(?:false|0|0\.0)$/i.test(node.value) : node.value !== "";
  return node.kind === "mapping" ? node.entries.length > 0 : node.items.length > 0;
}
