import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Pair,
  parseDocument,
  type Node as YamlNode,
  type Scalar as YamlScalar,
} from "yaml";
import { AirgapError } from "../../errors.ts";
import { Indented, indented, seriousError } from "./lenient.ts";
import { type Entry, type Mapping, mapping, type Node, type Sequence } from "./node.ts";
import { contentStart, splitDocuments } from "./split.ts";
import type { Text } from "./text.ts";

/** Largest single document. A Kubernetes object is at most 1.5 MiB; a `List` of many is larger. */
export const MAX_DOCUMENT = 10 * 1024 * 1024;
/** Largest file or rendering. */
export const MAX_FILE = 32 * 1024 * 1024;
/** Nodes that the aliases of one document may expand to; more is an attack. */
const MAX_EXPANDED = 1_000_000;

/** One document of a stream. */
export interface Document {
  root: Node;
  /** Where it starts and ends in its text. */
  start: number;
  end: number;
}

/** A text that is not YAML, with its location. */
export class YamlError extends AirgapError {
  constructor(text: Text, offset: number, why: string, suggestion?: string) {
    super(
      "spec",
      `${text.file}:${text.lineOf(offset)}: ${why}`,
      suggestion ? { suggestions: [suggestion] } : {},
    );
  }
}

/** Definitions of custom resources are large and hold only schemas, no images; they are not parsed. */
function isDefinition(text: string, from: number, to: number): boolean {
  return /^kind:[ \t]*["']?CustomResourceDefinition["']?[ \t]*(?:#.*)?\r?$/m.test(
    text.slice(from, Math.min(to, from + 65_536)),
  );
}

/**
 * Parses a YAML or JSON stream.
 * @param definitions include custom resource definitions, which are left out otherwise
 * @throws YamlError with file and line, in bounded time and memory for any input
 */
export function* parseStream(text: Text, definitions = false): Generator<Document> {
  if (text.text.length > MAX_FILE)
    throw new YamlError(text, 0, `is larger than ${MAX_FILE >> 20} MiB`, "split it into several files");
  for (const [start, end] of splitDocuments(text.text)) {
    if (!definitions && isDefinition(text.text, start, end)) continue;
    const root = parseOne(text, start, end);
    if (root !== undefined) yield { root, start, end };
  }
}

/** Parses one document between two offsets. @throws YamlError */
export function parseOne(text: Text, start = 0, end = text.text.length): Node | undefined {
  if (end - start > MAX_DOCUMENT) {
    throw new YamlError(
      text,
      start,
      `a document of ${((end - start) / 1048576).toFixed(1)} MiB; at most ${MAX_DOCUMENT >> 20} MiB are allowed`,
      "split it into several documents",
    );
  }
  const from = contentStart(text.text, start);
  const { document, source } = parseLeniently(text, from, end);
  return document.contents === null
    ? undefined
    : new Converter(text, (offset) => from + source.source(offset)).convert(document.contents as YamlNode);
}

function parseLeniently(text: Text, from: number, end: number): { document: Parsed; source: Indented } {
  // A carriage return alone ends a line too (YAML 1.2, 5.4); the parser knows it before a line feed only.
  const written = text.text.slice(from, end).replace(/\r(?!\n)/g, "\n");
  let source = new Indented(written);
  let document = parseYaml(written);
  let error = seriousError(document.errors);
  const deeper = error && indented(written, error);
  if (deeper !== undefined) {
    source = deeper;
    document = parseYaml(source.text);
    error = seriousError(document.errors);
  }
  if (error) throw new YamlError(text, from + source.source(error.pos[0]), plainMessage(error.message));
  return { document, source };
}

type Parsed = ReturnType<typeof parseDocument>;

const parseYaml = (text: string): Parsed =>
  parseDocument(text, {
    schema: "failsafe",
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: "silent",
    keepSourceTokens: false,
  });

function plainMessage(message: string): string {
  return message.startsWith("Maximum call stack")
    ? "nested too deeply"
    : `is not YAML: ${message.split("\n")[0]}`;
}

const MAX_DEPTH = 500;

/** Turns the parser's tree into ours: aliases followed, `<<` merged, positions kept. */
class Converter {
  readonly #text: Text;
  readonly #offset: (offset: number) => number;
  readonly #anchors = new Map<string, { node?: Node }>();
  /** Nodes counted with every alias expanded. */
  readonly #sizes = new Map<Node, number>();

  /** @param offset the document's offset in the text */
  constructor(text: Text, offset: (offset: number) => number) {
    this.#text = text;
    this.#offset = offset;
  }

  convert(node: YamlNode | null, depth = 0): Node {
    if (depth > MAX_DEPTH) throw this.#fail(node, "nested too deeply");
    if (isAlias(node)) return this.#follow(node);
    const anchor: { node?: Node } = {};
    const name = (node as { anchor?: string } | null)?.anchor;
    if (name !== undefined) this.#anchors.set(name, anchor);
    const made = this.#make(node, depth);
    anchor.node = made;
    return made;
  }

  #make(node: YamlNode | null, depth: number): Node {
    const span = node?.range
      ? { in: this.#text, start: this.#offset(node.range[0]), end: this.#offset(node.range[1]) }
      : undefined;
    let made: Node;
    if (isMap(node)) made = { ...this.#mapping(node.items as Pair[], depth), ...(span ? { span } : {}) };
    else if (isSeq(node))
      made = { ...this.#sequence(node.items as YamlNode[], depth), ...(span ? { span } : {}) };
    else {
      const { value, type } = (node ?? { value: "", type: "PLAIN" }) as YamlScalar;
      made = {
        kind: "scalar",
        value: typeof value === "string" ? value : String(value ?? ""),
        plain: type === "PLAIN" || type === undefined,
        ...(span ? { span } : {}),
      };
    }
    this.#count(made, node);
    return made;
  }

  #mapping(items: Pair[], depth: number): Mapping {
    const entries: Entry[] = [];
    const merged: Entry[] = [];
    for (const item of items) {
      const key = isScalar(item.key)
        ? String(item.key.value)
        : isAlias(item.key)
          ? this.#keyOf(this.#follow(item.key))
          : "?";
      const value = this.convert(item.value as YamlNode | null, depth + 1);
      if (key === "<<") merged.push(...this.#merge(value));
      else entries.push({ key, value });
    }
    const own = new Set(entries.map((entry) => entry.key));
    return mapping([...merged.filter((entry) => !own.has(entry.key)), ...entries]);
  }

  #keyOf(node: Node): string {
    return node.kind === "scalar" ? node.value : "?";
  }

  /** `<<: *x` or `<<: [*x, *y]`, of which the first wins. https://yaml.org/type/merge.html */
  #merge(value: Node): Entry[] {
    if (value.kind === "mapping") return value.entries;
    return value.kind === "sequence"
      ? value.items.toReversed().flatMap((item) => (item.kind === "mapping" ? item.entries : []))
      : [];
  }

  #sequence(items: YamlNode[], depth: number): Sequence {
    return { kind: "sequence", items: items.map((item) => this.convert(item, depth + 1)) };
  }

  #follow(alias: Alias): Node {
    const anchor = this.#anchors.get(alias.source);
    if (anchor === undefined)
      throw this.#fail(alias, `is not YAML: no anchor '${alias.source}' before this alias`);
    if (anchor.node === undefined)
      throw this.#fail(alias, `the alias '*${alias.source}' is inside its own anchor`);
    return anchor.node;
  }

  #count(made: Node, node: YamlNode | null): void {
    let size = 1;
    if (made.kind === "mapping")
      for (const { value } of made.entries) size += 1 + (this.#sizes.get(value) ?? 1);
    if (made.kind === "sequence") for (const item of made.items) size += this.#sizes.get(item) ?? 1;
    if (size > MAX_EXPANDED)
      throw this.#fail(
        node,
        `expands to more than ${MAX_EXPANDED} values: aliases of aliases`,
        "write out what the aliases stand for",
      );
    this.#sizes.set(made, size);
  }

  #fail(node: YamlNode | null, why: string, suggestion?: string): YamlError {
    return new YamlError(this.#text, this.#offset(node?.range?.[0] ?? 0), why, suggestion);
  }
}
