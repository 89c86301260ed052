import type { RewriteLocation, Stretch } from "../../names/rewrite.ts";
import type { FileSpan } from "../documents/text.ts";
import { group } from "../images/find.ts";
import type { Sighting } from "../images/sighting.ts";

export interface Locations {
  locations: RewriteLocation[];
  /** Images with a location that cannot be rewritten. */
  fixed: string[];
}

const bare = ({ start, end }: FileSpan): Stretch => ({ start, end });

/**
 * The locations of images in a text, for rewriting it.
 * @param wants which references get another name
 */
export function locationsOf(sightings: Sighting[], wants: (reference: string) => boolean): Locations {
  const result: Locations = { locations: [], fixed: [] };
  for (const { reference, places } of group(sightings)) {
    if (!wants(reference)) continue;
    for (const { spans, how } of places) {
      if (how === "operator") continue;
      if (spans === undefined) {
        result.fixed.push(reference);
        continue;
      }
      const { whole, names, tag, digest } = spans;
      const within = names[0]?.within;
      const apart = [...names, tag, digest].some(
        (span) =>
          span !== undefined && (span.within?.start !== within?.start || span.file !== names[0]?.file),
      );
      if (apart) result.fixed.push(reference);
      else
        result.locations.push({
          reference,
          whole,
          names: names.map(bare),
          ...(tag ? { tag: bare(tag) } : {}),
          ...(digest ? { digest: bare(digest) } : {}),
          ...(within ? { within } : {}),
        });
    }
  }
  result.locations.sort((a, b) => (a.names[0]?.start ?? 0) - (b.names[0]?.start ?? 0));
  return result;
}
