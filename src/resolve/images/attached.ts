import type { Attached } from "../../bundle/lock.ts";
import { isAirgapError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { attachedTag } from "../../oci/manifest.ts";
import type { Source } from "../../transport/types.ts";

const SUFFIXES = ["sig", "att", "sbom"] as const;

/**
 * Finds what is attached to manifests: by cosign's tags and by the referrers API. That nothing is
 * there, or that the registry does not let us look (401 and 403 for an absent tag), is no error.
 */
export async function findAttached(source: Source, subjects: Digest[], signal?: AbortSignal): Promise<Attached[]> {
  const tags = await knownTags(source, signal);
  const found: Attached[] = [];
  for (const subject of subjects) {
    for (const suffix of SUFFIXES) {
      const tag = attachedTag(subject, suffix);
      if (tags && !tags.has(tag)) continue;
      const descriptor = await quietly(() => source.resolve(tag, signal));
      if (descriptor) found.push({ descriptor: bare(descriptor), subject, tag });
    }
    const referrers = source.referrers ? await quietly(() => source.referrers?.(subject, signal) ?? Promise.resolve([])) : undefined;
    for (const descriptor of referrers ?? []) {
      if (!found.some((known) => known.descriptor.digest === descriptor.digest)) found.push({ descriptor: bare(descriptor), subject });
    }
  }
  return found.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

const key = (attached: Attached): string => `${attached.subject} ${attached.tag ?? ""} ${attached.descriptor.digest}`;

function bare({ mediaType, digest, size, artifactType }: Descriptor): Descriptor {
  return { mediaType, digest, size, ...(artifactType ? { artifactType } : {}) };
}

/** One request for all tags is cheaper than three for each manifest; undefined where the list can't be had whole. */
async function knownTags(source: Source, signal: AbortSignal | undefined): Promise<Set<string> | undefined> {
  if (!source.tags) return new Set();
  const tags = await quietly(() => source.tags?.(signal) ?? Promise.resolve([]));
  return tags && new Set(tags);
}

async function quietly<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (isAirgapError(error, "not-found", "unauthorized", "refused", "unsupported", "protocol")) return undefined;
    throw error;
  }
}
