import { lineOf } from "../documents/text.ts";
import { type Find, group, takenKeys } from "../images/find.ts";
import { operatorImages } from "../images/operators.ts";
import type { Sighting, Unread } from "../images/sighting.ts";
import { manyVersions } from "../images/versions.ts";
import { walkDocument } from "../images/walk.ts";
import { type Loaded, type LoadOptions, loadPath } from "./load.ts";

export interface Search {
  loaded: Loaded[];
  /** Sorted by reference. */
  finds: Find[];
}

/**
 * Finds every image that the documents at some paths make a cluster pull. Documents that are read together
 * are applied together: variables may take their values from each other's ConfigMaps.
 * @throws AirgapError
 */
export async function searchPaths(paths: string[], options: LoadOptions): Promise<Search> {
  const loaded: Loaded[] = [];
  for (const path of paths) loaded.push(...(await loadPath(path, options)));
  return { loaded, finds: group(sightingsOf(loaded, options.warn)) };
}

/** `tmpl.yaml:8 Pod/r spec.containers[0].image: '{{ .Image }}' is not an image; the bundle will have no image for it` */
export function describeUnread({ span, object, path, written, why }: Unread): string {
  const file = span?.in.file;
  const place = [file && span ? `${file}:${lineOf(span)}` : "", object, path].filter(Boolean).join(" ");
  return `${place}: '${written}' ${why}; the bundle will have no image for it`;
}

export interface Asked {
  /** Called for each text in place of an image; without it, each gives a warning. */
  unread?: (unread: Unread) => void;
  /** `addImages` lists what operators pull: no warning is needed. */
  answered?: boolean;
}

/** All finds: in documents, in charts and texts, and those that operators add. */
export function sightingsOf(
  loaded: Loaded[],
  warn: (message: string) => void,
  { unread = (each) => warn(describeUnread(each)), answered = false }: Asked = {},
): Sighting[] {
  const walked = loaded
    .filter(({ sightings }) => sightings === undefined)
    .flatMap(({ documents }) => documents);
  const taken = takenKeys(walked);
  const sightings = [
    ...walked.flatMap((root) => walkDocument(root, { taken, unread })),
    ...loaded.flatMap((each) => each.sightings ?? []),
  ];
  for (const each of loaded.flatMap((one) => one.unread ?? one.chart?.unread ?? [])) unread(each);
  const operators = operatorImages(
    loaded.flatMap(({ documents }) => documents),
    sightings,
  );
  if (!answered) for (const warning of [...operators.warnings, ...manyVersions(sightings)]) warn(warning);
  return [...sightings, ...operators.sightings];
}
