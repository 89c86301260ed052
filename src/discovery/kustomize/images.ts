import {
  get,
  itemsOf,
  type Mapping,
  type Node,
  type Scalar,
  stringAt,
  withEntry,
} from "../documents/node.ts";
import { changeAt, type Field, parsePath } from "./field-path.ts";
import { fits, type Resource, selects } from "./resource.ts";

/** An entry of `images:`. https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/ */
interface ImageChange {
  name: string;
  newName?: string;
  newTag?: string;
  digest?: string;
  tagSuffix?: string;
}

function changesOf(kustomization: Node): ImageChange[] {
  return itemsOf(get(kustomization, "images")).flatMap((entry) => {
    const name = stringAt(entry, "name");
    if (!name) return [];
    const change: ImageChange = { name };
    for (const key of ["newName", "newTag", "digest", "tagSuffix"] as const) {
      const value = stringAt(entry, key);
      if (value) change[key] = value;
    }
    return [change];
  });
}

/** Name, tag and digest as written, without Docker's defaults: kustomize compares the text. */
function split(image: string): { name: string; tag: string; digest: string } {
  const at = image.indexOf("@");
  const named = at < 0 ? image : image.slice(0, at);
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  return {
    name: colon < 0 ? named : named.slice(0, colon),
    tag: colon < 0 ? "" : named.slice(colon + 1),
    digest: at < 0 ? "" : image.slice(at + 1),
  };
}

function changed(
  image: string,
  { name, newName, newTag, digest, tagSuffix }: ImageChange,
): string | undefined {
  const parts = split(image);
  if (!fits(name, [parts.name])) return undefined;
  const result = { ...parts, name: newName ?? parts.name };
  if (newTag !== undefined || digest !== undefined) {
    result.tag = newTag ?? "";
    result.digest = digest ?? "";
  } else if (tagSuffix !== undefined && parts.tag !== "") result.tag = `${parts.tag}${tagSuffix}`;
  return `${result.name}${result.tag ? `:${result.tag}` : ""}${result.digest ? `@${result.digest}` : ""}`;
}

function changeScalar(node: Node | undefined, changes: ImageChange[]): Node | undefined {
  if (node?.kind !== "scalar") return node;
  let image = node.value;
  for (const change of changes) image = changed(image, change) ?? image;
  return image === node.value ? node : ({ kind: "scalar", value: image, plain: false } satisfies Scalar);
}

const LISTS = new Set(["containers", "initContainers"]);

/** Every list of containers, wherever it is. */
function inContainers(node: Node, changes: ImageChange[]): Node {
  if (node.kind === "sequence")
    return { ...node, items: node.items.map((item) => inContainers(item, changes)) };
  if (node.kind !== "mapping") return node;
  let result: Mapping = {
    ...node,
    entries: node.entries.map(({ key, value }) => ({ key, value: inContainers(value, changes) })),
  };
  for (const key of LISTS) {
    const list = get(result, key);
    if (list?.kind !== "sequence") continue;
    const items = list.items.map((item) => (item.kind === "mapping" ? withImage(item, changes) : item));
    result = withEntry(result, key, { ...list, items });
  }
  return result;
}

function withImage(container: Mapping, changes: ImageChange[]): Mapping {
  const image = get(container, "image");
  return image === undefined ? container : withEntry(container, "image", changeScalar(image, changes));
}

/** Applies `images:` to containers of any kind, and to the fields that `configurations:` name. Texts are left alone. */
export function transformImages(resources: Resource[], kustomization: Node, fields: Field[]): Resource[] {
  const changes = changesOf(kustomization);
  if (changes.length === 0) return resources;
  return resources.map((resource) => {
    if (stringAt(resource.node, "kind") === "CustomResourceDefinition") return resource;
    let node = inContainers(resource.node, changes) as Mapping;
    for (const { selector, path } of fields) {
      if (selects(selector, resource))
        node = changeAt(
          node,
          parsePath(path, "/"),
          (found) => changeScalar(found, changes),
          false,
        ) as Mapping;
    }
    return { ...resource, node };
  });
}
