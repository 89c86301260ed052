import { count } from "../../format.ts";
import { nameOf, parseReference } from "../../oci/reference.ts";
import type { Sighting } from "./sighting.ts";

/** From this many versions of one image on, an operator offers a choice and does not run them all. */
const MANY = 3;

interface Choice {
  object: string;
  name: string;
  references: Set<string>;
}

/**
 * Operators name every version of their product in variables (`RELATED_IMAGE_…`), but a site
 * runs only one: reports how many there are, and how to choose.
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
  return `${object} names ${count(references.size, "version")} of ${name} in its variables, and the bundle gets all of them; to carry only one: ignoreImages: [${patterns.join(", ")}] with addImages: [${[...references].at(-1)}], for example`;
}
