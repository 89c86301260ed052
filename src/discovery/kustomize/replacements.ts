import { AirgapError } from "../../errors.ts";
import { get, itemsOf, type Mapping, type Node, scalar, stringAt } from "../documents/node.ts";
import { changeAt, parsePath, readAt } from "./field-path.ts";
import { type Resource, readSelector, type Selector, selects } from "./resource.ts";

const exactly = (selector: Selector): Selector =>
  Object.fromEntries(
    Object.entries(selector).map(([key, value]) => [
      key,
      key.endsWith("Selector") ? value : value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"),
    ]),
  );

/** One piece of a text between delimiters, or the whole text. */
function piece(text: string, options: Node | undefined): string {
  const delimiter = stringAt(options, "delimiter");
  if (!delimiter) return text;
  return text.split(delimiter)[Number(stringAt(options, "index") ?? 0)] ?? "";
}

function placed(before: string, value: string, options: Node | undefined): string {
  const delimiter = stringAt(options, "delimiter");
  if (!delimiter) return value;
  const parts = before.split(delimiter);
  const index = Number(stringAt(options, "index") ?? 0);
  if (index < 0) parts.unshift(value);
  else if (index >= parts.length) parts.push(value);
  else parts[index] = value;
  return parts.join(delimiter);
}

function sourceValue(source: Node | undefined, resources: Resource[], by: string): Node {
  const selector = exactly(readSelector(source));
  const [resource] = resources.filter((each) => selects(selector, each));
  const path = stringAt(source, "fieldPath") ?? "metadata.name";
  const [value] = resource ? readAt(resource.node, parsePath(path, ".")) : [];
  if (value === undefined)
    throw new AirgapError(
      "spec",
      `${by}: a replacement takes its value from ${selector.kind ?? "an object"} ${selector.name ?? ""} ${path}, which does not exist`,
    );
  return value.kind === "scalar" ? { ...value, value: piece(value.value, get(source, "options")) } : value;
}

function withValue(resource: Resource, target: Node, value: Node): Resource {
  const options = get(target, "options");
  const create = stringAt(options, "create") === "true";
  let node: Node = resource.node;
  for (const path of itemsOf(get(target, "fieldPaths"))) {
    if (path.kind !== "scalar") continue;
    node = changeAt(
      node,
      parsePath(path.value, "."),
      (found) => {
        if (value.kind !== "scalar" || found?.kind !== "scalar") return value;
        const text = placed(found.value, value.value, options);
        return text === found.value ? found : text === value.value ? value : scalar(text);
      },
      create,
    );
  }
  return { ...resource, node: node as Mapping };
}

/** Copies values from one object to others: `replacements:`. */
export function transformReplacements(resources: Resource[], replacements: Node[], by: string): Resource[] {
  let result = resources;
  for (const replacement of replacements) {
    const value = sourceValue(get(replacement, "source"), result, by);
    for (const target of itemsOf(get(replacement, "targets"))) {
      const select = readSelector(get(target, "select"));
      const reject = itemsOf(get(target, "reject")).map(readSelector);
      result = result.map((each) =>
        selects(exactly(select), each) && !reject.some((selector) => selects(exactly(selector), each))
          ? withValue(each, target, value)
          : each,
      );
    }
  }
  return result;
}
