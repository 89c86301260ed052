import { Readable } from "node:stream";
import { isAirgapError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import { readBlob } from "./read.ts";
import type { FetchOptions, Source } from "./types.ts";

/** Manifests and configurations: what is read to be understood. Bytes. */
const SMALL = MAX_MANIFEST_SIZE;

/**
 * A source whose manifests and configurations are taken from places at hand (earlier bundles) where
 * they have them, and right. What names mean is asked of the source itself; large blobs are for who
 * knows the regions.
 */
export function withAtHand(source: Source, atHand: Source[]): Source {
  if (atHand.length === 0) return source;
  const fetch = async (descriptor: Descriptor, options: FetchOptions = {}): Promise<Readable> => {
    // What is small is read to its end here, so that wrong bytes are no reason to fail.
    const small = options.range === undefined && descriptor.size <= SMALL;
    for (const place of small ? atHand : []) {
      try {
        return Readable.from([await readBlob(place, descriptor, SMALL, options.signal)], {
          objectMode: false,
        });
      } catch (error) {
        if (!isAirgapError(error, "not-found", "corrupt")) throw error;
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
    ...(source.pour
      ? {
          pour: (...args: Parameters<NonNullable<Source["pour"]>>) =>
            source.pour?.(...args) ?? Promise.resolve(),
        }
      : {}),
    ...(source.refuse ? { refuse: (descriptor: Descriptor) => source.refuse?.(descriptor) ?? false } : {}),
    ...(source.referrers
      ? {
          referrers: (...args: Parameters<NonNullable<Source["referrers"]>>) =>
            source.referrers?.(...args) ?? Promise.resolve([]),
        }
      : {}),
    ...(source.tags
      ? {
          tags: (...args: Parameters<NonNullable<Source["tags"]>>) =>
            source.tags?.(...args) ?? Promise.resolve([]),
        }
      : {}),
    ...(source.close ? { close: () => source.close?.() ?? Promise.resolve() } : {}),
  };
}
