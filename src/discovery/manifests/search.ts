import { type Find, group, takenKeys } from "../images/find.ts";
import { operatorImages } from "../images/operators.ts";
import type { Sighting } from "../images/sighting.ts";
import { walkDocument } from "../images/walk.ts";
import { type Loaded, type LoadOptions, loadPath } from "./load.ts";

export interface Search {
  loaded: Loaded[];
  /** Sorted by reference. */
  finds: Find[];
}

/**
 * Finds every image that what stands at some paths makes a cluster pull. What is read together is
 * taken to be applied together: variables may take their values from each other's ConfigMaps.
 * @throws AirgapError
 */
export async function searchPaths(paths: string[], options: LoadOptions): Promise<Search> {
  const loaded: Loaded[] = [];
  for (const path of paths) loaded.push(...(await loadPath(path, options)));
  return { loaded, finds: group(sightingsOf(loaded, options.warn)) };
}

/** What was found, walked and otherwise, and what operators add. */
export function sightingsOf(loaded: Loaded[], warn: (message: string) => void): Sighting[] {
  const walked = loaded
    .filter(({ sightings }) => sightings === undefined)
    .flatMap(({ documents }) => documents);
  const taken = takenKeys(walked);
  const sightings = [
    ...walked.flatMap((root) => walkDocument(root, { taken })),
    ...loaded.flatMap((each) => each.sightings ?? []),
  ];
  const operators = operatorImages(
    loaded.flatMap(({ documents }) => documents),
    sightings,
  );
  for (const warning of operators.warnings) warn(warning);
  return [...sightings, ...operators.sightings];
}
