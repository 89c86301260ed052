import { AirgapError } from "../errors.ts";
import type { KeyPins } from "../lock/package-facts.ts";
import type { PackageSetSpec } from "../lock/spec.ts";
import { fingerprint, type KeyRing } from "./keys.ts";

export function pinsOf(rings: Map<string, KeyRing>): KeyPins {
  return Object.fromEntries(
    [...rings]
      .map(([id, { files }]) => [id, files.flatMap(({ keys }) => keys.map(fingerprint)).toSorted()] as const)
      .filter(([, fingerprints]) => fingerprints.length > 0),
  );
}

const written = (text: string): string => text.replaceAll(" ", "").toUpperCase();

/**
 * A repository's keys are those that the spec names by fingerprint, else those of the last build.
 * @throws AirgapError `corrupt` naming both
 */
export function checkPins(set: PackageSetSpec, found: KeyPins, last: KeyPins = {}): void {
  for (const [id, keys] of Object.entries(found)) {
    const named = set.repositories.find((repository) => repository.id === id)?.fingerprints?.map(written);
    const expected = named ?? last[id] ?? keys;
    const others = keys.filter((key) => !expected.includes(key));
    if (others.length === 0) continue;
    const was = named ? "the spec names" : "at the last build it was";
    throw new AirgapError(
      "corrupt",
      `Repository ${id} of ${set.name} has another key: ${was} ${expected.join(", ")}, now it is ${others.join(", ")}`,
      {
        suggestions: [
          "compare the fingerprint with the one that the publisher announces",
          `fingerprints: [${keys.join(", ")}]  # for ${id}, when the new key is right`,
        ],
      },
    );
  }
}
