import { Readable } from "node:stream";
import { isAirgapError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import { readBlob } from "./read.ts";
import type { FetchOptions, Source } from "./types.ts";

/** Largest manifest or configuration that is read whole. Bytes. */
const SMALL = MAX_MANIFEST_SIZE;

/**
 * A source whose manifests and configurations are taken from local sources (earlier bundles) if
 * these have the right content. The source itself resolves names; large blobs are left to callers
 * that know the regions.
 */
export function withAtHand(source: Source, atHand: Source[]): Source {
  if (atHand.length === 0) return source;
  const fetch = async (descriptor: Descriptor, options: FetchOptions = {}): Promise<Readable> => {
    // Small content is read to its end here, so that wrong bytes can be replaced by the source's.
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
    ...(source.writeTo
      ? {
          writeTo: (...args: Parameters<NonNullable<Source["writeTo"]>>) =>
            source.writeTo?.(...args) ?? Promise.resolve(),
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
