/**
 * A text that locations refer to: a file, or the decoded value of a scalar in another text (such as a YAML
 * document inside a ConfigMap).
 */
export class Text {
  /** For messages: the file as the user named it. */
  readonly file: string;
  readonly text: string;
  /** The scalar whose value this text is. */
  readonly parent: Embedded | undefined;
  #lineStarts: number[] | undefined;

  constructor(file: string, text: string, parent?: Embedded) {
    this.file = file;
    this.text = text;
    this.parent = parent;
  }

  /** Line of an offset, from 1. */
  lineOf(offset: number): number {
    this.#lineStarts ??= lineStarts(this.text);
    let [low, high] = [0, this.#lineStarts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#lineStarts[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return low + 1;
  }
}

/** How a scalar's value became the text: as it is, or as base64 in a Secret. */
export interface Embedded {
  span: Span;
  /** The scalar's decoded value. */
  value: string;
  encoding?: "base64";
}

/** A stretch of a text: UTF-16 offsets, `end` exclusive. */
export interface Span {
  in: Text;
  start: number;
  end: number;
}

/** A stretch of a file. With `within`, the offsets are inside the decoded base64. */
export interface FileSpan {
  file: string;
  start: number;
  end: number;
  within?: { start: number; end: number };
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

function occurrences(text: string, literal: string, before: number): number {
  let count = 0;
  for (let at = text.indexOf(literal); at >= 0 && at < before; at = text.indexOf(literal, at + 1)) count++;
  return count;
}

/**
 * Where a part of a scalar's value is in the scalar's source. The wanted part has no
 * characters that a quoting style changes, so the n-th time it occurs in the value is the n-th time
 * in the source.
 * @param start offset in `value`
 * @returns undefined when the source spells it differently (folded or escaped)
 */
export function locate(span: Span, value: string, start: number, end: number): Span | undefined {
  const literal = value.slice(start, end);
  if (literal === "") return undefined;
  const source = span.in.text.slice(span.start, span.end);
  const nth = occurrences(value, literal, start);
  if (
    occurrences(value, literal, Number.POSITIVE_INFINITY) !==
    occurrences(source, literal, Number.POSITIVE_INFINITY)
  )
    return undefined;
  let at = -1;
  for (let i = 0; i <= nth; i++) at = source.indexOf(literal, at + 1);
  return at < 0 ? undefined : { in: span.in, start: span.start + at, end: span.start + at + literal.length };
}

/** The same stretch in the file itself, through every text that encloses it. */
export function fileSpan(span: Span): FileSpan | undefined {
  const { parent } = span.in;
  if (parent === undefined) return { file: span.in.file, start: span.start, end: span.end };
  if (parent.encoding === "base64") {
    const outer = fileSpan(parent.span);
    return outer === undefined || outer.within
      ? undefined
      : {
          file: outer.file,
          start: span.start,
          end: span.end,
          within: { start: outer.start, end: outer.end },
        };
  }
  const outer = locate(parent.span, span.in.text, span.start, span.end);
  return outer === undefined ? undefined : fileSpan(outer);
}

/** The line in the file; when the source spells it differently, the line where the scalar starts. */
export function lineOf(span: Span): number {
  const { parent } = span.in;
  if (parent === undefined) return span.in.lineOf(span.start);
  const outer =
    parent.encoding === undefined ? locate(parent.span, span.in.text, span.start, span.end) : undefined;
  return lineOf(outer ?? parent.span);
}
