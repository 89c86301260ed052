import { tryParseReference } from "../../oci/reference.ts";
import type { Span, Text } from "../documents/text.ts";
import { judge } from "./judge.ts";
import { scanText } from "./scan.ts";
import { canonical, type Sighting, type Unread } from "./sighting.ts";

/** What a line holds but for what YAML, JSON and comments put around it. */
const COMMENT = /(?:^|[ \t])#.*$/s;
const WORD = /[^\s"',[\]]+/g;
const AROUND = new Set(["-", "---"]);

/** A line that is neither empty nor a comment. */
interface Line {
  /** Its images; undefined when some word is anything else. */
  images: Sighting[] | undefined;
  /** From the first word to the last. */
  span: Span;
}

/**
 * A text that is a list of images, one reference a line or several apart by spaces or commas, as
 * projects publish them for mirroring. What stands in such a list is meant to be pulled, so a name
 * that has a line of its own needs neither host nor tag.
 * @returns undefined when some word is anything else, or none has a tag or digest
 */
export function imagesInList(text: Text): Sighting[] | undefined {
  const found: Sighting[] = [];
  for (const { images } of linesOf(text)) {
    if (images === undefined) return undefined;
    found.push(...images);
  }
  return found.some(({ written }) => isPinned(written)) ? found : undefined;
}

/**
 * The same for a text in which some lines are something else: a heading, a template that was not filled in.
 * Those are searched as text.
 * @returns undefined when fewer than two lines, or fewer than half of them, name images with tag or digest
 */
export function mostlyImages(text: Text): { sightings: Sighting[]; unread: Unread[] } | undefined {
  const lines = [...linesOf(text)];
  const pinned = lines.filter(({ images }) => images?.some(({ written }) => isPinned(written)));
  if (pinned.length < 2 || pinned.length < lines.length / 2) return undefined;
  const hits = imagesInText(text);
  const sightings: Sighting[] = [];
  const unread: Unread[] = [];
  for (const { images, span } of lines) {
    const found = images ?? hits.filter((hit) => hit.span && isWithin(hit.span, span));
    sightings.push(...found);
    if (found.length === 0)
      unread.push({
        written: text.text.slice(span.start, span.end),
        why: "is not an image",
        path: "",
        span,
      });
  }
  return { sightings, unread };
}

const isWithin = (inner: Span, outer: Span): boolean => inner.start >= outer.start && inner.end <= outer.end;

function* linesOf(text: Text): Generator<Line> {
  let start = 0;
  for (const line of text.text.split("\n")) {
    const words = [...line.replace(COMMENT, "").matchAll(WORD)].filter(({ 0: word }) => !AROUND.has(word));
    const [first, last] = [words[0], words.at(-1)];
    if (first !== undefined && last !== undefined) {
      const images = words.map(({ 0: word, index }) => inWord(text, word, start + index));
      const read = images.every(
        (image): image is Sighting => image !== undefined && (words.length === 1 || isPinned(image.written)),
      );
      const span = { in: text, start: start + first.index, end: start + last.index + last[0].length };
      yield { images: read ? images : undefined, span };
    }
    start += line.length + 1;
  }
}

const isPinned = (written: string): boolean => /@|:[^/]+$/.test(written);

function inWord(text: Text, word: string, at: number): Sighting | undefined {
  const scheme = /^docker:\/\//.exec(word)?.[0].length ?? 0;
  const reference = tryParseReference(word.slice(scheme));
  const judged = judge(word, "named");
  if (reference === undefined || judged === undefined) return undefined;
  const span = { in: text, start: at + scheme, end: at + word.length };
  return {
    reference: canonical(reference),
    written: word.slice(scheme),
    confidence: "likely",
    how: "list",
    path: "",
    span,
    stretches: { names: [span], whole: true },
    ...(judged.artifact ? { artifact: true } : {}),
  };
}

/** The images in a text that is not YAML, such as a template. */
export function imagesInText(text: Text): Sighting[] {
  return scanText(text.text).map((hit) => {
    const span = { in: text, start: hit.start, end: hit.end };
    const { reference, confidence, artifact } = hit;
    return {
      reference: canonical(reference),
      written: text.text.slice(hit.start, hit.end),
      confidence,
      how: "text",
      path: hit.by ?? "",
      span,
      stretches: { names: [span], whole: true },
      ...(artifact ? { artifact } : {}),
    };
  });
}
