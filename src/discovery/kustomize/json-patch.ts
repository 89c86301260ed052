import { AirgapError } from "../../errors.ts";
import { get, itemsOf, type Mapping, type Node, stringAt, withEntry } from "../documents/node.ts";

const plainPart = (part: string): string => part.replaceAll("~1", "/").replaceAll("~0", "~");

/** The parts of a JSON Pointer. RFC 6901 */
function pointer(path: string): string[] {
  return path === "" ? [] : path.split("/").slice(1).map(plainPart);
}

class Patch {
  readonly #where: string;

  constructor(where: string) {
    this.#where = where;
  }

  fail(why: string): AirgapError {
    return new AirgapError("spec", `${this.#where}: the JSON patch does not apply: ${why}`);
  }

  read(node: Node, path: string): Node {
    let found: Node | undefined = node;
    for (const part of pointer(path))
      found =
        found?.kind === "sequence" ? found.items[this.#index(part, found.items.length)] : get(found, part);
    if (found === undefined) throw this.fail(`there is nothing at ${path}`);
    return found;
  }

  #index(part: string, length: number): number {
    const index = part === "-" ? length : Number(part);
    if (!/^(?:-|\d{1,6})$/.test(part) || index > length)
      throw this.fail(`'${part}' is not an index of a list of ${length}`);
    return index;
  }

  /** `change` gets the value at the path and gives the new one; undefined removes it. */
  at(
    node: Node,
    parts: string[],
    change: (found: Node | undefined) => Node | undefined,
    insert: boolean,
  ): Node {
    const [head, ...rest] = parts as [string, ...string[]];
    if (node.kind === "mapping") {
      const inner = get(node, head);
      if (rest.length === 0) return withEntry(node, head, change(inner));
      if (inner === undefined) throw this.fail(`there is no '${head}'`);
      return withEntry(node, head, this.at(inner, rest, change, insert));
    }
    if (node.kind !== "sequence")
      throw this.fail(`'${head}' cannot be found: its parent is not a mapping or a list`);
    const index = this.#index(head, node.items.length);
    const items = [...node.items];
    if (rest.length === 0) {
      const value = change(items[index]);
      if (!insert && items[index] === undefined) throw this.fail(`there is no item ${index}`);
      if (insert && value !== undefined) items.splice(index, 0, value);
      else if (value === undefined) items.splice(index, 1);
      else items[index] = value;
    } else {
      const inner = items[index];
      if (inner === undefined) throw this.fail(`there is no item ${index}`);
      items[index] = this.at(inner, rest, change, insert);
    }
    return { ...node, items };
  }
}

function applyOne(node: Node, operation: Node, patch: Patch): Node {
  const op = stringAt(operation, "op") ?? "";
  const path = stringAt(operation, "path") ?? "";
  const value = get(operation, "value");
  const parts = pointer(path);
  const set = (found: Node): Node => (parts.length === 0 ? found : patch.at(node, parts, () => found, true));
  switch (op) {
    case "add":
      if (value === undefined) throw patch.fail(`add ${path} has no value`);
      return set(value);
    // Like kustomize, and unlike the RFC, a missing key is set.
    case "replace":
      if (value === undefined) throw patch.fail(`replace ${path} has no value`);
      return parts.length === 0 ? value : patch.at(node, parts, () => value, false);
    case "remove":
      patch.read(node, path);
      return patch.at(node, parts, () => undefined, false);
    case "copy":
      return set(patch.read(node, stringAt(operation, "from") ?? ""));
    case "move": {
      const from = stringAt(operation, "from") ?? "";
      const moved = patch.read(node, from);
      const without = patch.at(node, pointer(from), () => undefined, false);
      return patch.at(without, parts, () => moved, true);
    }
    case "test":
      patch.read(node, path);
      return node;
    default:
      throw patch.fail(`'${op}' is not an operation`);
  }
}

/**
 * Applies a JSON patch. RFC 6902
 * @param where where the patch is, for messages
 * @throws AirgapError `spec` when it does not apply
 */
export function jsonPatch(target: Mapping, operations: Node, where: string): Mapping {
  const patch = new Patch(where);
  let node: Node = target;
  for (const operation of itemsOf(operations)) node = applyOne(node, operation, patch);
  return node as Mapping;
}
