import type { RewriteSite, Stretch } from "../../names/rewrite.ts";
import type { FileSpan } from "../documents/text.ts";
import { group } from "../images/find.ts";
import type { Sighting } from "../images/sighting.ts";

export interface Sites {
  sites: RewriteSite[];
  /** Images whose location the source spells in a way that cannot be changed, or whose location is not known. */
  fixed: string[];
}

const bare = ({ start, end }: FileSpan): Stretch => ({ start, end });

/**
 * The locations of a text's images, to rewrite it.
 * @param wants which references get another name
 */
export function sitesOf(sightings: Sighting[], wants: (reference: string) => boolean): Sites {
  const result: Sites = { sites: [], fixed: [] };
  for (const { reference, places } of group(sightings)) {
    if (!wants(reference)) continue;
    for (const { site, how } of places) {
      if (how === "operator") continue;
      if (site === undefined) {
        result.fixed.push(reference);
        continue;
      }
      const { whole, names, tag, digest } = site;
      const within = names[0]?.within;
      const apart = [...names, tag, digest].some(
        (span) =>
          span !== undefined && (span.within?.start !== within?.start || span.file !== names[0]?.file),
      );
      if (apart) result.fixed.push(reference);
      else
        result.sites.push({
          reference,
          whole,
          names: names.map(bare),
          ...(tag ? { tag: bare(tag) } : {}),
          ...(digest ? { digest: bare(digest) } : {}),
          ...(within ? { within } : {}),
        });
    }
  }
  result.sites.sort((a, b) => (a.names[0]?.start ?? 0) - (b.names[0]?.start ?? 0));
  return result;
}
