import type { Find, Mention } from "../discovery/images/find.ts";
import type { Fate, NamedImage } from "../lock/carried-facts.ts";
import { formatReference, parseReference, withDefaultTag } from "../oci/reference.ts";

export interface Choices {
  addImages?: string[] | undefined;
  acceptImages?: string[] | undefined;
  ignoreImages?: string[] | undefined;
}

const MAX_PLACES = 8;

/** `*` stands for any characters, slashes too. Takes linear time, apart from the length of the pattern. */
export function fitsPattern(pattern: string, text: string): boolean {
  let [p, t, star, mark] = [0, 0, -1, 0];
  while (t < text.length) {
    if (pattern[p] === "*") {
      star = p++;
      mark = t;
    } else if (pattern[p] === text[t]) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++mark;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

function fitsAny(patterns: string[] | undefined, { reference, places }: Find): boolean {
  const { host, repository } = parseReference(reference);
  const names = [reference, `${host}/${repository}`, ...places.map(({ written }) => written)];
  return (patterns ?? []).some((pattern) => names.some((name) => fitsPattern(pattern, name)));
}

export function describeMention({ file, line, object, path }: Mention): string {
  return [file === undefined ? "" : line === undefined ? file : `${file}:${line}`, object, path]
    .filter(Boolean)
    .join(" ");
}

/** Whether `ignoreImages` lists a text that is not an image. */
export const isIgnored = ({ ignoreImages }: Choices, written: string): boolean =>
  (ignoreImages ?? []).some((pattern) => fitsPattern(pattern, written));

function fateOf(find: Find, choices: Choices): Fate {
  if (fitsAny(choices.ignoreImages, find)) return "ignored";
  if (fitsAny(choices.acceptImages, find)) return "carried";
  if (find.confidence === "possible" || find.artifact) return "possible";
  return find.behind ? "off" : "carried";
}

/** Decides on every find, and adds the spec's own images. Sorted by reference. */
export function decide(finds: Find[], choices: Choices): NamedImage[] {
  const named = new Map<string, NamedImage>();
  for (const find of finds) {
    const { reference, confidence, places } = find;
    const how = (places.find((place) => place.confidence === confidence) ?? places[0])?.how ?? "field";
    named.set(reference, {
      reference,
      fate: fateOf(find, choices),
      confidence,
      how,
      places: places.slice(0, MAX_PLACES).map(describeMention),
    });
  }
  for (const text of choices.addImages ?? []) {
    const reference = formatReference(withDefaultTag(parseReference(text)));
    if (named.get(reference)?.fate !== "carried")
      named.set(reference, {
        reference,
        fate: "added",
        confidence: "certain",
        how: "spec",
        places: ["addImages"],
      });
  }
  return [...named.values()].sort((a, b) => (a.reference < b.reference ? -1 : 1));
}

export const isWanted = ({ fate }: Pick<NamedImage, "fate">): boolean =>
  fate === "carried" || fate === "added";
