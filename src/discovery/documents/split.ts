/** A stretch of a text that is one document: UTF-16 offsets, `end` exclusive. */
export type Bounds = [start: number, end: number];

/**
 * Stretches between `---` lines. Such a line ends a document even inside a block scalar (YAML
 * 1.2, 9.1). kubectl and helm also accept a comment or content right after the dashes, and read JSON
 * objects that follow each other without a line between them; so does airgap.
 */
export function splitDocuments(text: string): Bounds[] {
  const parts: Bounds[] = [];
  let start = 0;
  for (const match of text.matchAll(/^(?:---(?!-)|\.\.\.(?=[ \t\r\n]|$).*)/gm)) {
    parts.push([start, match.index]);
    start = match[0].startsWith(".") ? match.index + match[0].length : match.index;
  }
  parts.push([start, text.length]);
  return parts.filter(([from, to]) => hasContent(text, from, to)).flatMap((part) => splitJson(text, part));
}

/** Where a document's own text starts: after the dashes of its separator. */
export function contentStart(text: string, start: number): number {
  return start + (/^---[ \t]*/.exec(text.slice(start, start + 1024))?.[0].length ?? 0);
}

function hasContent(text: string, from: number, to: number): boolean {
  return /^(?!\s*(?:#|---\s*(?:#|$)|%YAML|%TAG|$)).+/m.test(text.slice(from, to));
}

/** Objects one after another: `{…}{…}`, on one line or on several. */
function splitJson(text: string, [from, to]: Bounds): Bounds[] {
  const parts: Bounds[] = [];
  let start = from;
  for (;;) {
    const opens = firstCharacter(text, contentStart(text, start), to);
    const end = text[opens] === "{" ? endOfObject(text, opens, to) : undefined;
    const next = end === undefined ? to : firstCharacter(text, end, to);
    if (end === undefined || text[next] !== "{") return [...parts, [start, to]];
    parts.push([start, end]);
    start = end;
  }
}

function firstCharacter(text: string, from: number, to: number): number {
  let at = from;
  while (at < to && /[\s\ufeff]/.test(text[at] as string)) at++;
  return at;
}

/** The offset after the bracket that closes the one at `from`; undefined when none does, or it is not JSON. */
function endOfObject(text: string, from: number, to: number): number | undefined {
  let depth = 0;
  let quoted = false;
  for (let at = from; at < to; at++) {
    const char = text[at];
    if (quoted) {
      if (char === "\\") at++;
      else if (char === '"') quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === "'" || char === "#") return undefined;
    else if (char === "{" || char === "[") depth++;
    else if ((char === "}" || char === "]") && --depth === 0) return at + 1;
  }
  return undefined;
}
