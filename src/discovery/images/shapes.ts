import {
  get,
  itemsOf,
  type Mapping,
  type Scalar,
  type Sequence,
  spanOf,
  stringAt,
} from "../documents/node.ts";
import type { Span } from "../documents/text.ts";
import { type Inherited, inherit, type Pair, type Parts, type Stretches } from "./join.ts";

const CONTAINERS = new Set(["containers", "initContainers", "ephemeralContainers"]);
/** Keys that show that a mapping runs its image as written: a step, a task, a job. */
const RUNS = new Set("command args script source run workingDir entrypoint".split(" "));

/** Whether a path is an item of a list of containers. */
export const isContainer = (path: string): boolean => {
  const match = /(?:^|[.:])(\w+)\[\d+\]$/.exec(path);
  return match !== null && CONTAINERS.has(match[1] as string);
};

/** Whether a mapping has a key of a running container beside the given key. */
export const likeContainer = (node: Mapping, key: string): boolean =>
  node.entries.some((entry) => entry.key !== key && RUNS.has(entry.key));
/** Keys in a mapping of images that are properties, not images. */
export const aboutImages = (key: string): boolean =>
  /pull|secret|policy|registry|repository|digest|tag$|version$|^name$|^type$/i.test(key);
/** A container whose image is never pulled. */
export const never = (node: Mapping): boolean =>
  stringAt(node, "imagePullPolicy") === "Never" && get(node, "image") !== undefined;

/**
 * What an entry of kustomize's `images:` changes a name to: Flux has such lists in its own objects.
 * https://fluxcd.io/flux/components/kustomize/kustomizations/#images
 */
export function changeOf(node: Mapping): { written: string; parts: Parts } | undefined {
  const scalarAt = (key: string): Scalar | undefined => {
    const value = get(node, key);
    return value?.kind === "scalar" && value.value.trim() !== "" ? value : undefined;
  };
  const [newName, tag, digest] = [scalarAt("newName"), scalarAt("newTag"), scalarAt("digest")];
  const name = newName ?? scalarAt("name");
  if (name === undefined || scalarAt("name") === undefined || (newName ?? tag) === undefined)
    return undefined;
  const written = `${name.value}${tag ? `:${tag.value}` : ""}${digest ? `@${digest.value}` : ""}`;
  return { written, parts: { names: [name], ...(tag ? { tag } : {}), ...(digest ? { digest } : {}) } };
}

/** The scalars of a mapping by their keys. */
export function pairsOf(node: Mapping, variables: Map<string, string> | undefined): Pair[] {
  return node.entries.flatMap(({ key, value }) =>
    value.kind === "scalar" ? [{ key, value: substituted(value, variables) }] : [],
  );
}

/** The values of a list of `{name, value}`. */
export function namedPairs(node: Sequence, variables: Map<string, string> | undefined): Pair[] {
  return node.items.flatMap((item) => {
    const key = stringAt(item, "name");
    const value = get(item, "value");
    return key !== undefined && value?.kind === "scalar"
      ? [{ key, value: substituted(value, variables) }]
      : [];
  });
}

/** Registries and tags are set by outer mappings, and by `global` beside them. */
export function inheritInside(node: Mapping, outer: Inherited, pairs: Pair[]): Inherited {
  const global = get(node, "global");
  const base = global?.kind === "mapping" ? inherit(outer, pairsOf(global, undefined)) : outer;
  return inherit(base, pairs);
}

/** The parameters of an OpenShift Template: `${NAME}` in its objects. */
export function variablesOf(object: Mapping): Map<string, string> | undefined {
  if (stringAt(object, "kind") !== "Template") return undefined;
  const parameters = itemsOf(get(object, "parameters")).map(
    (item) => [stringAt(item, "name") ?? "", stringAt(item, "value") ?? ""] as const,
  );
  return new Map(parameters.filter(([, value]) => value !== ""));
}

export function substituted(scalar: Scalar, variables: Map<string, string> | undefined): Scalar {
  if (!variables?.size || !scalar.value.includes("${")) return scalar;
  const value = scalar.value.replace(/\$\{(\w+)\}/g, (whole, name: string) => variables.get(name) ?? whole);
  return value === scalar.value ? scalar : { ...scalar, value };
}

/** A part of a scalar as a scalar: the text after `--flag=`. */
export function part(scalar: Scalar, start: number, end = scalar.value.length): Scalar {
  const span = spanOf(scalar, start, end);
  return { kind: "scalar", value: scalar.value.slice(start, end), plain: false, ...(span ? { span } : {}) };
}

export function stretchesOf({ names, tag, digest }: Parts): Stretches | undefined {
  const spans = names.map((scalar) => spanOf(scalar));
  if (spans.some((span) => span === undefined)) return undefined;
  const [tagSpan, digestSpan] = [tag && spanOf(tag), digest && spanOf(digest)];
  return {
    names: spans as Span[],
    whole: false,
    ...(tagSpan ? { tag: tagSpan } : {}),
    ...(digestSpan ? { digest: digestSpan } : {}),
  };
}

/** Structure with something in it that could be an image; other texts are not worth parsing. */
export function looksLikeDocument(value: string): boolean {
  const structured =
    /^\s*(?:\{(?!\{)|\[(?!\[))/.test(value) ||
    (value.includes("\n") && /^[ \t]*(?:- )?["']?[\w./-]+["']?[ \t]*:(?:\s|$)/m.test(value));
  return structured && /image|img|registry|repository|hub|[a-z0-9]\/[\w./-]+[:@]|container/i.test(value);
}

export function decode(value: string): string | undefined {
  const packed = value.replace(/\s+/g, "");
  if (packed.length < 8 || packed.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(packed))
    return undefined;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(packed, "base64"));
    return /[^\P{Cc}\s]/u.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}
