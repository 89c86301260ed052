import { count } from "../../format.ts";
import { nameOf, parseReference } from "../../oci/reference.ts";
import type { Sighting } from "./sighting.ts";

/** From so many versions of one image on, an operator carries a choice rather than what it runs. */
const MANY = 3;

interface Choice {
  object: string;
  name: string;
  references: Set<string>;
}

/**
 * Operators name every version of their product in variables (`RELATED_IMAGE_…`), of which a site
 * runs one: says how many there are, and how to choose.
 */
export function manyVersions(sightings: Sighting[]): string[] {
  const choices = new Map<string, Choice>();
  for (const { reference, how, object, path, confidence } of sightings) {
    if (confidence === "possible" || !(how === "environment" || /\benv\b/.test(path))) continue;
    const name = nameOf(parseReference(reference));
    const key = `${object}\n${name}`;
    const choice = choices.get(key) ?? {
      object: object ?? "An operator",
      name,
      references: new Set<string>(),
    };
    choice.references.add(reference);
    choices.set(key, choice);
  }
  return [...choices.values()].filter(({ references }) => references.size >= MANY).map(describe);
}

function describe({ object, name, references }: Choice): string {
  const patterns = [":", "@"]
    .filter((sign) => [...references].some((each) => each.startsWith(name + sign)))
    .map((sign) => `"${name}${sign}*"`);
  return `${object} names ${count(references.size, "version")} of ${name} in its variables, and all are carried; to carry only what you run: ignoreImages: [${patterns.join(", ")}] with addImages: [${[...references].at(-1)}], say`;
}
