import { isAirgapError } from "../../errors.ts";
import type { Attached } from "../../lock/lock.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { attachedTag } from "../../oci/manifest.ts";
import type { Source } from "../../transport/types.ts";

const SUFFIXES = ["sig", "att", "sbom"] as const;

/** Every tag of a repository: one request is cheaper than three for each manifest; undefined when they cannot be listed. */
export type KnownTags = ReadonlySet<string> | undefined;

export async function knownTags(source: Source, signal?: AbortSignal): Promise<KnownTags> {
  if (!source.tags) return new Set();
  const tags = await quietly(() => source.tags?.(signal) ?? Promise.resolve([]));
  return tags && new Set(tags);
}

/**
 * Finds what is attached to manifests, by cosign's tags and by the referrers API. It is not an error
 * if nothing is there, or if the registry does not let us look (401 and 403 for an absent tag).
 */
export async function findAttached(
  source: Source,
  subjects: Digest[],
  signal?: AbortSignal,
  tags = knownTags(source, signal),
): Promise<Attached[]> {
  const known = await tags;
  const found = await Promise.all(subjects.map((subject) => attachedTo(source, subject, known, signal)));
  return found.flat().toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

async function attachedTo(
  source: Source,
  subject: Digest,
  tags: KnownTags,
  signal: AbortSignal | undefined,
): Promise<Attached[]> {
  const named = SUFFIXES.map((suffix) => attachedTag(subject, suffix)).filter(
    (tag) => tags?.has(tag) ?? true,
  );
  const [referrers, ...byTag] = await Promise.all([
    quietly(() => source.referrers?.(subject, signal) ?? Promise.resolve([])),
    ...named.map((tag) => quietly(() => source.resolve(tag, signal))),
  ]);
  const found = named.flatMap((tag, i): Attached[] =>
    byTag[i] ? [{ descriptor: bare(byTag[i]), subject, tag }] : [],
  );
  const known = new Set(found.map(({ descriptor }) => descriptor.digest));
  return [
    ...found,
    ...(referrers ?? [])
      .filter(({ digest }) => !known.has(digest))
      .map((descriptor) => ({ descriptor: bare(descriptor), subject })),
  ];
}

const key = (attached: Attached): string =>
  `${attached.subject} ${attached.tag ?? ""} ${attached.descriptor.digest}`;

function bare({ mediaType, digest, size, artifactType }: Descriptor): Descriptor {
  return { mediaType, digest, size, ...(artifactType ? { artifactType } : {}) };
}

async function quietly<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (isAirgapError(error, "not-found", "unauthorized", "refused", "unsupported", "protocol"))
      return undefined;
    throw error;
  }
}
