import { AirgapError } from "../../errors.ts";
import { get, itemsOf, type Mapping, type Node, type Scalar, stringAt } from "../documents/node.ts";
import { parseStream } from "../documents/parse.ts";
import { Text } from "../documents/text.ts";
import type { Files } from "./files.ts";
import { jsonPatch } from "./json-patch.ts";
import { strategicMerge } from "./merge.ts";
import { aimedAt, nameOf, type Resource, readSelector, type Selector, selects } from "./resource.ts";

interface Patch {
  documents: Node[];
  where: string;
  target?: Selector;
  /** `options:` that allow a patch to change an object's name or kind. */
  renames?: { name: boolean; kind: boolean };
}

function parse(text: Text, where: string): { documents: Node[]; where: string } {
  return { documents: [...parseStream(text, true)].map(({ root }) => root), where };
}

/** A patch written in the kustomization keeps its location in that file. */
function inline(node: Scalar, file: string): Text {
  return new Text(
    node.span?.in.file ?? file,
    node.value,
    node.span ? { span: node.span, value: node.value } : undefined,
  );
}

async function fromFile(
  folder: string,
  name: string,
  files: Files,
  by: string,
): Promise<{ documents: Node[]; where: string }> {
  const { path, text } = await files.text(folder, name, by);
  return parse(new Text(files.shown(path), text), files.shown(path));
}

async function entryPatch(entry: Node, folder: string, files: Files, by: string): Promise<Patch> {
  const [path, patch, target] = [stringAt(entry, "path"), get(entry, "patch"), get(entry, "target")];
  const read = path
    ? await fromFile(folder, path, files, by)
    : parse(patch?.kind === "scalar" ? inline(patch, by) : new Text(by, ""), by);
  const allows = (key: string): boolean => stringAt(entry, "options", key) === "true";
  const renames = { name: allows("allowNameChange"), kind: allows("allowKindChange") };
  return { ...read, renames, ...(target ? { target: readSelector(target) } : {}) };
}

async function allPatches(kustomization: Node, folder: string, files: Files, by: string): Promise<Patch[]> {
  const patches: Patch[] = [];
  for (const entry of itemsOf(get(kustomization, "patchesStrategicMerge"))) {
    if (entry.kind !== "scalar") continue;
    patches.push(
      entry.value.includes("\n")
        ? parse(inline(entry, by), by)
        : await fromFile(folder, entry.value, files, by),
    );
  }
  for (const field of ["patches", "patchesJson6902"]) {
    for (const entry of itemsOf(get(kustomization, field))) {
      patches.push(
        entry.kind === "scalar"
          ? await fromFile(folder, entry.value, files, by)
          : await entryPatch(entry, folder, files, by),
      );
    }
  }
  return patches;
}

function applyDocument(resources: Resource[], document: Node, { target, where, renames }: Patch): Resource[] {
  if (document.kind === "sequence") {
    if (target === undefined) throw new AirgapError("spec", `${where}: a JSON patch needs a target`);
    return resources.map((each) =>
      selects(target, each) ? { ...each, node: jsonPatch(each.node, document, where) } : each,
    );
  }
  if (document.kind !== "mapping") return resources;
  const aims = target
    ? new Set(resources.filter((each) => selects(target, each)))
    : aimedAt(document, resources);
  return resources.flatMap((each) => {
    if (!aims.has(each)) return [each];
    const node = strategicMerge(
      each.node,
      target ? { ...document, entries: withoutIdentity(document, renames) } : document,
    );
    if (node === undefined) return [];
    if (!renames?.name) return [{ ...each, node: keepName(node, each.node) }];
    return [{ node, formerNames: [...each.formerNames, nameOf(each)] }];
  });
}

/** A patch may target an object that an earlier patch deleted, but not one that never existed. */
function checkAim(resources: Resource[], document: Node, { target, where }: Patch): void {
  if (target !== undefined || document.kind !== "mapping" || aimedAt(document, resources).size > 0) return;
  throw new AirgapError(
    "spec",
    `${where}: the patch of ${stringAt(document, "kind")} ${stringAt(document, "metadata", "name")} does not match any object; kustomize refuses that too`,
  );
}

/** With a target, kind and name in the patch are ignored. */
function withoutIdentity(document: Mapping, renames: Patch["renames"]): Mapping["entries"] {
  return document.entries.flatMap(({ key, value }) => {
    if (key === "apiVersion" || key === "kind") return renames?.kind ? [{ key, value }] : [];
    if (key !== "metadata" || value.kind !== "mapping") return [{ key, value }];
    return [
      {
        key,
        value: {
          ...value,
          entries: value.entries.filter(
            (entry) => (entry.key !== "name" || renames?.name) && entry.key !== "namespace",
          ),
        },
      },
    ];
  });
}

/** A patch may use a former name, which it does not restore. */
function keepName(node: Mapping, before: Mapping): Mapping {
  const [metadata, name] = [get(node, "metadata"), get(before, "metadata", "name")];
  if (metadata?.kind !== "mapping" || name === undefined) return node;
  const entries = metadata.entries.map((entry) =>
    entry.key === "name" ? { key: "name", value: name } : entry,
  );
  return {
    ...node,
    entries: node.entries.map((entry) =>
      entry.key === "metadata" ? { key: "metadata", value: { ...metadata, entries } } : entry,
    ),
  };
}

/** Applies `patchesStrategicMerge`, `patches` and `patchesJson6902`. @throws AirgapError `spec` */
export async function transformPatches(
  resources: Resource[],
  kustomization: Node,
  folder: string,
  files: Files,
  by: string,
): Promise<Resource[]> {
  let result = resources;
  for (const patch of await allPatches(kustomization, folder, files, by)) {
    for (const document of patch.documents) {
      checkAim(resources, document, patch);
      result = applyDocument(result, document, patch);
    }
  }
  return result;
}
