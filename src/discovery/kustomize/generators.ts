import { basename } from "node:path";
import { AirgapError } from "../../errors.ts";
import {
  type Entry,
  get,
  isNull,
  itemsOf,
  type Mapping,
  mapping,
  type Node,
  scalar,
  stringAt,
  withEntry,
} from "../documents/node.ts";
import { Text } from "../documents/text.ts";
import type { Files } from "./files.ts";
import { kindOf, nameOf, namespaceOf, type Resource } from "./resource.ts";

const fromText = (path: string, text: string): Node =>
  scalar(text, { in: new Text(path, text), start: 0, end: text.length });

const unquoted = (value: string): string =>
  /^(["']).*\1$/s.test(value) && value.length >= 2 ? value.slice(1, -1) : value;

interface Datum extends Entry {
  /** The file's bytes, when they are not UTF-8. */
  binary?: Buffer;
}

/** The data of a ConfigMap or Secret from `literals`, `files` and `envs`. */
async function dataOf(entry: Node, folder: string, files: Files, by: string): Promise<Datum[]> {
  const data: Datum[] = [];
  for (const item of itemsOf(get(entry, "literals"))) {
    const text = item.kind === "scalar" ? item.value : "";
    const at = text.indexOf("=");
    if (at > 0) data.push({ key: text.slice(0, at), value: scalar(unquoted(text.slice(at + 1))) });
  }
  for (const item of itemsOf(get(entry, "files"))) {
    const text = item.kind === "scalar" ? item.value : "";
    const at = text.indexOf("=");
    const name = text.slice(at + 1);
    const found = await files.text(folder, name, by);
    data.push({
      key: at > 0 ? text.slice(0, at) : basename(name),
      value: fromText(files.shown(found.path), found.text),
      ...(found.binary ? { binary: found.binary } : {}),
    });
  }
  const [one, many] = [get(entry, "env"), itemsOf(get(entry, "envs"))];
  for (const item of one ? [one, ...many] : many) {
    const found = await files.text(folder, item.kind === "scalar" ? item.value : "", by);
    for (const line of found.text.split(/\r?\n/)) {
      const at = line.indexOf("=");
      if (at > 0 && !/^\s*#/.test(line))
        data.push({ key: line.slice(0, at).trim(), value: scalar(line.slice(at + 1)) });
    }
  }
  return data;
}

function merged(before: Node | undefined, data: Entry[]): Mapping {
  let result = before?.kind === "mapping" ? before : mapping([]);
  for (const { key, value } of data) result = withEntry(result, key, value);
  return result;
}

/** The fields of an object for the data: base64 for a Secret, and for bytes in a ConfigMap. */
function fieldsOf(kind: string, data: Datum[]): [field: string, entries: Entry[]][] {
  const encoded = ({ key, value, binary }: Datum): Entry => ({
    key,
    value: scalar((binary ?? Buffer.from(value.kind === "scalar" ? value.value : "")).toString("base64")),
  });
  if (kind === "Secret") return [["data", data.map(encoded)]];
  const plain = data.filter(({ binary }) => binary === undefined).map(({ key, value }) => ({ key, value }));
  return [
    ["data", plain],
    ["binaryData", data.filter(({ binary }) => binary !== undefined).map(encoded)],
  ];
}

/**
 * Adds the objects of `configMapGenerator` and `secretGenerator`. Their names get no hash: nothing
 * is rolled out again in a new installation, and references stay as written.
 */
export async function generate(
  resources: Resource[],
  kustomization: Node,
  folder: string,
  files: Files,
  by: string,
): Promise<Resource[]> {
  let result = resources;
  for (const [field, kind] of [
    ["configMapGenerator", "ConfigMap"],
    ["secretGenerator", "Secret"],
  ] as const) {
    for (const entry of itemsOf(get(kustomization, field))) {
      const data = await dataOf(entry, folder, files, by);
      result = add(result, entry, kind, fieldsOf(kind, data), by, optionsOf(kustomization, entry));
    }
  }
  return result;
}

/** `generatorOptions` merged with an entry's own `options`, which win. */
function optionsOf(kustomization: Node, entry: Node): Options {
  const both = [get(kustomization, "generatorOptions"), get(entry, "options")];
  const pairs = (key: string): Entry[] =>
    both.reduce<Mapping>((before, each) => {
      const own = get(each, key);
      return own?.kind === "mapping" ? merged(before, own.entries) : before;
    }, mapping([])).entries;
  return {
    labels: pairs("labels"),
    annotations: pairs("annotations"),
    immutable: both.some((each) => stringAt(each, "immutable") === "true"),
  };
}

interface Options {
  labels: Entry[];
  annotations: Entry[];
  immutable: boolean;
}

function add(
  resources: Resource[],
  entry: Node,
  kind: string,
  fields: [string, Entry[]][],
  by: string,
  { labels, annotations, immutable }: Options,
): Resource[] {
  const name = stringAt(entry, "name");
  const namespace = stringAt(entry, "namespace");
  const behavior = stringAt(entry, "behavior") ?? "create";
  if (name === undefined) throw new AirgapError("spec", `${by}: a generator of a ${kind} has no name`);
  const at = resources.findIndex(
    (each) =>
      kindOf(each) === kind &&
      [nameOf(each), ...each.formerNames].includes(name) &&
      (!namespace || namespaceOf(each) === namespace),
  );
  const before = resources[at];
  if (before && behavior !== "create") {
    let node = before.node;
    for (const [field, entries] of fields) {
      const data = merged(behavior === "merge" ? get(node, field) : undefined, entries);
      node = withEntry(node, field, data.entries.length > 0 ? data : undefined);
    }
    return resources.with(at, { ...before, node });
  }
  const metadata = mapping([
    { key: "name", value: scalar(name) },
    ...(namespace ? [{ key: "namespace", value: scalar(namespace) }] : []),
    ...(labels.length > 0 ? [{ key: "labels", value: mapping(labels) }] : []),
    ...(annotations.length > 0 ? [{ key: "annotations", value: mapping(annotations) }] : []),
  ]);
  const type = get(entry, "type");
  const node = mapping([
    { key: "apiVersion", value: scalar("v1") },
    { key: "kind", value: scalar(kind) },
    { key: "metadata", value: metadata },
    ...(kind === "Secret" ? [{ key: "type", value: type && !isNull(type) ? type : scalar("Opaque") }] : []),
    ...fields
      .filter(([, entries]) => entries.length > 0)
      .map(([key, entries]) => ({ key, value: mapping(entries) })),
    ...(immutable
      ? [{ key: "immutable", value: { kind: "scalar" as const, value: "true", plain: true } }]
      : []),
  ]);
  return [...resources, { node, formerNames: [] }];
}
