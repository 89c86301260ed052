import { type Evidence, type Judged, judge } from "./judge.ts";
import { type Speaks, speaks } from "./vocabulary.ts";

/** An image found inside a longer text. Offsets in that text, scheme left out. */
export interface Hit extends Judged {
  start: number;
  end: number;
  /** The flag, key or variable that named it. */
  by?: string;
}

/** Longest line that is read word by word; longer ones are data, not text. */
const MAX_LINE = 64 * 1024;
const WORD = /[^\s"'`,;()[\]{}<>|\\]+/g;
const NAME = /^-{0,2}[A-Za-z_][\w./-]*$/;
/** `name=value`, `--name=value`, and `name:value` when the colon is not an image's. */
const ASSIGNMENT = /^(-{0,2}[A-Za-z0-9_][\w./-]*)=(.+)$/s;

const LEVEL: Record<Evidence, number> = { none: 0, prose: 0, near: 1, named: 2, schema: 3 };

export function evidenceOf(said: Speaks): Evidence {
  return said === "image"
    ? "named"
    : said === "images-loosely"
      ? "near"
      : said === "prose"
        ? "prose"
        : "none";
}

function stronger(a: Evidence, b: Evidence): Evidence {
  return LEVEL[a] >= LEVEL[b] ? a : b;
}

/**
 * Reads any text for images: arguments, shell lines, properties, templates, lists of
 * `version=image`. Each word is judged by its name (flag, key before `:` or `=`), otherwise by
 * `base`, the name of the whole text.
 */
export function scanText(text: string, base: Evidence = "none"): Hit[] {
  const hits: Hit[] = [];
  let start = 0;
  for (const line of text.split("\n")) {
    if (line.length <= MAX_LINE && line.length > 2 && !isComment(line)) scanLine(line, start, base, hits);
    start += line.length + 1;
  }
  return hits;
}

const isComment = (line: string): boolean => /^\s*(?:#|\/\/)/.test(line);

interface Named {
  name: string;
  evidence: Evidence;
}

/** The name of a whole line: `image: …`, `FOO_IMAGE=…`, also around a template. */
function lineName(line: string): Named | undefined {
  const match = /^\s*(?:-\s+)?(?:export\s+)?["']?([\w./-]+)["']?\s*(?::\s|:$|=)/.exec(line);
  if (match === null) return undefined;
  const evidence = evidenceOf(speaks(match[1] as string));
  return evidence === "none"
    ? undefined
    : { name: match[1] as string, evidence: evidence === "named" ? "near" : evidence };
}

function scanLine(line: string, start: number, base: Evidence, hits: Hit[]): void {
  const whole = lineName(line);
  let named: Named | undefined;
  let before = "";
  for (const match of line.matchAll(WORD)) {
    const word = match[0];
    const at = match.index;
    if (word === ":" || word === "=" || word === ":=") {
      if (NAME.test(before)) named = { name: before, evidence: evidenceOf(speaks(before)) };
      continue;
    }
    const evidence = stronger(
      named?.evidence ?? "none",
      stronger(whole?.evidence ?? "none", base === "named" ? "near" : base),
    );
    if (!cut(line, at, at + word.length))
      scanWord(word, start + at, base === "prose" ? "prose" : evidence, named?.name ?? whole?.name, hits);
    named = nameFor(word);
    before = word;
  }
}

/** A word that continues in a template or variable is a piece of something unknown. */
function cut(line: string, start: number, end: number): boolean {
  return /[}>$%*)]/.test(line[start - 1] ?? " ") || /[{<$%*(]/.test(line[end] ?? " ");
}

/** What a word says about the next one: `--image`, `image:`, `IMAGE=`. */
function nameFor(word: string): Named | undefined {
  // `docker pull`, `crictl pull`, `ctr images pull`
  if (word === "pull") return { name: word, evidence: "named" };
  const name =
    /^(-{1,2}[A-Za-z][\w.-]*)$/.exec(word)?.[1] ?? /^([\w./-]*[A-Za-z][\w./-]*)[:=]$/.exec(word)?.[1];
  return name === undefined ? undefined : { name, evidence: evidenceOf(speaks(name)) };
}

function scanWord(
  word: string,
  start: number,
  evidence: Evidence,
  by: string | undefined,
  hits: Hit[],
): void {
  const assigned = ASSIGNMENT.exec(word);
  if (assigned) {
    const [, name, value] = assigned as unknown as [string, string, string];
    const own = evidenceOf(speaks(name));
    scanWord(
      value,
      start + word.length - value.length,
      stronger(own, evidence),
      own === "none" ? by : name,
      hits,
    );
    return;
  }
  const trimmed = word.replace(/[.:/!?]+$/, "").replace(/^(?:[=:@-]+)/, (lead) => " ".repeat(lead.length));
  const lead = trimmed.length - trimmed.trimStart().length;
  const text = trimmed.slice(lead);
  const judged = judge(text, evidence, by);
  if (judged === undefined) {
    for (const [at, piece] of piecesOf(text)) scanWord(piece, start + lead + at, evidence, by, hits);
    return;
  }
  if (!pinnedEnough(text, judged, evidence)) return;
  const scheme = /^(?:docker|oci):\/\//.exec(text)?.[0].length ?? 0;
  hits.push({
    ...judged,
    start: start + lead + scheme,
    end: start + lead + text.length,
    ...(by ? { by } : {}),
  });
}

/** `a/b:1@c/d:2` and `a/b:1+c/d:2` are several images, if each piece has its own tag. */
function piecesOf(text: string): [at: number, piece: string][] {
  const pieces = [...text.matchAll(/[^@+]+(?:@sha256:[0-9a-f]{64})?/g)].map(
    ({ 0: piece, index }): [number, string] => [index, piece],
  );
  return pieces.length > 1 &&
    pieces.every(([, piece]) => /^[^:]+(?::\d+\/[^:]+)?:[\w][\w.-]*(?:@|$)/.test(piece))
    ? pieces
    : [];
}

/** Inside a text, a name without host, tag and digest is an ordinary word. */
function pinnedEnough(text: string, { reference, confidence }: Judged, evidence: Evidence): boolean {
  if (reference.tag !== undefined || reference.digest !== undefined) return true;
  const hosted = reference.host !== "docker.io" || text.startsWith("docker.io/");
  return hosted && (evidence !== "none" || confidence === "possible");
}
