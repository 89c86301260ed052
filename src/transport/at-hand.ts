import type { Readable } from "node:stream";
import { isAirgapError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { FetchOptions, Source } from "./types.ts";

/** A source whose content is taken from places at hand (earlier bundles) where they have it. What names mean is asked of the source itself. */
export function withAtHand(source: Source, atHand: Source[]): Source {
  if (atHand.length === 0) return source;
  const fetch = async (descriptor: Descriptor, options?: FetchOptions): Promise<Readable> => {
    for (const place of atHand) {
      try {
        return await place.fetch(descriptor, options);
      } catch (error) {
        if (!isAirgapError(error, "not-found")) throw error;
      }
    }
    return source.fetch(descriptor, options);
  };
  return {
    get name() {
      return source.name;
    },
    resolve: (reference, signal) => source.resolve(reference, signal),
    fetch,
    ...(source.pour ? { pour: (...args: Parameters<NonNullable<Source["pour"]>>) => source.pour?.(...args) ?? Promise.resolve() } : {}),
    ...(source.referrers ? { referrers: (...args: Parameters<NonNullable<Source["referrers"]>>) => source.referrers?.(...args) ?? Promise.resolve([]) } : {}),
    ...(source.tags ? { tags: (...args: Parameters<NonNullable<Source["tags"]>>) => source.tags?.(...args) ?? Promise.resolve([]) } : {}),
    ...(source.close ? { close: () => source.close?.() ?? Promise.resolve() } : {}),
  };
}
