import type { RewriteLocation } from "../../names/rewrite.ts";
import type { Node } from "../documents/node.ts";
import { Text } from "../documents/text.ts";
import { takenKeys } from "../images/find.ts";
import { walkDocument } from "../images/walk.ts";
import { locationsOf } from "./locations.ts";
import { documentsOf } from "./read.ts";

/** A text that is applied to a cluster. */
export interface Applied {
  title: string;
  text: string;
}

export interface AppliedLocations {
  locations: Record<string, RewriteLocation[]>;
  /** References with a location that cannot be rewritten. */
  fixed: string[];
}

/**
 * The locations of images in texts that are applied together.
 * @param wants which references get another name
 */
export function locationsIn(applied: Applied[], wants: (reference: string) => boolean): AppliedLocations {
  const read = applied.map(({ title, text }): [string, Node[]] => [
    title,
    documentsOf(new Text(title, text)),
  ]);
  const taken = takenKeys(read.flatMap(([, documents]) => documents));
  const result: AppliedLocations = { locations: {}, fixed: [] };
  for (const [title, documents] of read) {
    const { locations, fixed } = locationsOf(
      documents.flatMap((root) => walkDocument(root, { taken })),
      wants,
    );
    result.locations[title] = locations;
    result.fixed.push(...fixed);
  }
  return result;
}
