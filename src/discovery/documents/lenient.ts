import type { YAMLParseError } from "yaml";

/**
 * Text that Go's YAML reads but the specification does not allow: kubectl, helm and kustomize accept such
 * files, so an answer without them would be wrong. Compared with kustomize and helm by test/discovery.
 */

/** The value is right in spite of the error. */
const HARMLESS =
  /^(?:Comments must be separated from other tokens|Block collection cannot start on same line with directives-end)/;
const TOO_SHALLOW =
  /^(?:Missing closing ['"]quote|Flow (?:map|sequence) in block collection must be sufficiently indented)/;

/** The first error that means that the text cannot be read as it is. */
export function seriousError(errors: YAMLParseError[]): YAMLParseError | undefined {
  return errors.find(({ message }) => !HARMLESS.test(message));
}

/** Spaces that may be inserted into one document, in characters. */
const MAX_ADDED = 8 * 1024 * 1024;

/** A text with inserted spaces that still knows the original offsets. */
export class Indented {
  text = "";
  /** Offsets in `text` where inserted spaces start, and how many were inserted before. */
  readonly #added: { at: number; count: number; before: number }[] = [];
  #total = 0;

  /** @param stretches parts of the source whose lines, except the first, get `count` more spaces */
  constructor(source: string, stretches: { start: number; end: number; count: number }[] = []) {
    let done = 0;
    for (const { start, end, count } of stretches) {
      for (let at = source.indexOf("\n", start); at >= 0 && at < end; at = source.indexOf("\n", done)) {
        if (this.#total + count > MAX_ADDED) break;
        this.text += source.slice(done, at + 1);
        this.#added.push({ at: this.text.length, count, before: this.#total });
        this.text += " ".repeat(count);
        this.#total += count;
        done = at + 1;
      }
    }
    this.text += source.slice(done);
  }

  /** The offset in the source. */
  source(offset: number): number {
    let [low, high] = [0, this.#added.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#added[middle]?.at ?? 0) < offset) low = middle + 1;
      else high = middle;
    }
    const last = this.#added[low - 1];
    return last === undefined ? offset : offset - last.before - Math.min(last.count, offset - last.at);
  }
}

/**
 * A quoted text or a bracket may continue at the margin, or at its key's own indentation, where the
 * specification requires more: gives the text with such lines indented.
 * @returns undefined when the error is another one, or no line needs indentation
 */
export function indented(source: string, { message }: YAMLParseError): Indented | undefined {
  if (!TOO_SHALLOW.test(message)) return undefined;
  const found = new Indented(source, continued(source));
  return found.text.length === source.length ? undefined : found;
}

const PREFIX = /[ \t]*(?:[-?](?:[ \t]+|$))*/my;
const KEY = /(?:(?! #)[^\n])*?:(?=[ \t\r\n]|$)/my;
const PROPERTIES = /[ \t]*(?:[!&][^ \t\r\n]*[ \t]+)*/y;
const BLOCK = /[|>][-+0-9]*[ \t]*(?:#.*)?\r?$/my;

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

/** The quoted texts and brackets of several lines, with the most spaces that a line is missing. */
function continued(text: string): { start: number; end: number; count: number }[] {
  const found: { start: number; end: number; count: number }[] = [];
  let line = 0;
  while (line < text.length) {
    const prefix = matchAt(PREFIX, text, line) ?? "";
    const key = keyAt(text, line + prefix.length);
    const at = key + (matchAt(PROPERTIES, text, key)?.length ?? 0);
    const end = endOfValue(text, at);
    if (end === undefined) return found;
    if (text.slice(at, end).includes("\n")) found.push({ start: at, end, count: prefix.length + 1 });
    const next = text.indexOf("\n", end);
    if (next < 0) return found;
    const column = key > line + prefix.length ? prefix.length : prefix.search(/[-?][ \t]*$/);
    line = matchAt(BLOCK, text, at) === undefined ? next + 1 : behindBlock(text, next + 1, column);
  }
  return found;
}

/** The offset after a key's colon, or `from` when there is no key. */
function keyAt(text: string, from: number): number {
  const quote = text[from];
  if (quote !== '"' && quote !== "'")
    return from + (/[[{#]/.test(quote ?? "") ? 0 : (matchAt(KEY, text, from)?.length ?? 0));
  const end = endOfQuoted(text, from);
  const colon = end === undefined ? undefined : matchAt(/[ \t]*:(?=[ \t\r\n]|$)/my, text, end);
  return end === undefined || colon === undefined ? from : end + colon.length;
}

/** The offset after a value that has its own end mark, or `at`; undefined when the end is missing. */
function endOfValue(text: string, at: number): number | undefined {
  const char = text[at];
  if (char === '"' || char === "'") return endOfQuoted(text, at);
  return char === "[" || char === "{" ? endOfFlow(text, at) : at;
}

/** The first line after a block scalar whose key is at a column. */
function behindBlock(text: string, from: number, column: number): number {
  let line = from;
  while (line < text.length) {
    const indent = matchAt(/ */y, text, line)?.length ?? 0;
    const blank = /[\r\n]/.test(text[line + indent] ?? "\n");
    if (!blank && indent <= column) return line;
    const next = text.indexOf("\n", line);
    if (next < 0) return text.length;
    line = next + 1;
  }
  return line;
}

/** The offset after the quote that closes the one at `from`. */
function endOfQuoted(text: string, from: number): number | undefined {
  const quote = text[from];
  for (let at = from + 1; at < text.length; at++) {
    if (quote === '"' && text[at] === "\\") at++;
    else if (text[at] === quote) {
      if (quote === "'" && text[at + 1] === "'") at++;
      else return at + 1;
    }
  }
  return undefined;
}

/** The offset after the bracket that closes the one at `from`. */
function endOfFlow(text: string, from: number): number | undefined {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const char = text[at] as string;
    const before = text[at - 1] ?? " ";
    if (char === "#" && /\s/.test(before)) {
      const end = text.indexOf("\n", at);
      at = end < 0 ? text.length : end;
    } else if ((char === '"' || char === "'") && /[\s,[{:]/.test(before)) {
      const end = endOfQuoted(text, at);
      if (end === undefined) return undefined;
      at = end - 1;
    } else if (char === "[" || char === "{") depth++;
    else if ((char === "]" || char === "}") && --depth === 0) return at + 1;
  }
  return undefined;
}
