import { tryParseReference } from "../../oci/reference.ts";
import type { Text } from "../documents/text.ts";
import { judge } from "./judge.ts";
import { canonical, type Sighting } from "./sighting.ts";

/** What a line holds but for what YAML, JSON and comments put around it. */
const COMMENT = /(?:^|[ \t])#.*$/s;
const WORD = /[^\s"',[\]]+/g;
const AROUND = new Set(["-", "---"]);

/**
 * A text that is a list of images, one reference a line or several apart by spaces or commas, as
 * projects publish them for mirroring. What stands in such a list is meant to be pulled, so a name
 * that has a line of its own needs neither host nor tag.
 * @returns undefined when some word is anything else, or none has a tag or digest
 */
export function imagesInList(text: Text): Sighting[] | undefined {
  const found: Sighting[] = [];
  let [start, pinned] = [0, false];
  for (const line of text.text.split("\n")) {
    const words = [...line.replace(COMMENT, "").matchAll(WORD)].filter(({ 0: word }) => !AROUND.has(word));
    for (const { 0: word, index } of words) {
      const sighting = inWord(text, word, start + index);
      if (sighting === undefined || (words.length > 1 && !isPinned(sighting.written))) return undefined;
      pinned ||= isPinned(sighting.written);
      found.push(sighting);
    }
    start += line.length + 1;
  }
  return pinned ? found : undefined;
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
