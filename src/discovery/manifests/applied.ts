import type { RewriteSite } from "../../names/rewrite.ts";
import type { Node } from "../documents/node.ts";
import { Text } from "../documents/text.ts";
import { takenKeys } from "../images/find.ts";
import { walkDocument } from "../images/walk.ts";
import { sitesOf } from "./places.ts";
import { documentsOf } from "./read.ts";

/** A text that is applied to a cluster. */
export interface Applied {
  title: string;
  text: string;
}

export interface AppliedSites {
  sites: Record<string, RewriteSite[]>;
  /** References with a location that cannot be changed in place. */
  fixed: string[];
}

/**
 * Where images are in texts that are applied together.
 * @param wants which references get another name
 */
export function sitesIn(applied: Applied[], wants: (reference: string) => boolean): AppliedSites {
  const read = applied.map(({ title, text }): [string, Node[]] => [
    title,
    documentsOf(new Text(title, text)),
  ]);
  const taken = takenKeys(read.flatMap(([, documents]) => documents));
  const result: AppliedSites = { sites: {}, fixed: [] };
  for (const [title, documents] of read) {
    const { sites, fixed } = sitesOf(
      documents.flatMap((root) => walkDocument(root, { taken })),
      wants,
    );
    result.sites[title] = sites;
    result.fixed.push(...fixed);
  }
  return result;
}
