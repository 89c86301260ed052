import { AirgapError, isAirgapError } from "../../errors.ts";
import type { Attached } from "../../lock/lock.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { attachedTag } from "../../oci/manifest.ts";
import type { Source } from "../../transport/types.ts";

const SUFFIXES = ["sig", "att", "sbom"] as const;
/** An SBOM of an image, its signature, a countersignature, and room for more. */
const MAX_DEPTH = 6;

/** Every tag of a repository: one request is cheaper than three for each manifest; undefined where the registry does not list them. */
export type KnownTags = ReadonlySet<string> | undefined;

export async function knownTags(source: Source, signal?: AbortSignal): Promise<KnownTags> {
  if (!source.tags) return new Set();
  const tags = await quietly(() => source.tags?.(signal) ?? Promise.resolve([]));
  return tags && new Set(tags);
}

/**
 * Finds what is attached to manifests, and to what is attached to them: by cosign's tags and by the
 * referrers API. It is not an error that nothing is there, or that the registry refuses to tell (401
 * and 403 for an absent tag). A tag that makes a manifest its own attachment is left out.
 * @throws AirgapError `unsupported` for a chain of attachments without an end
 */
export async function findAttached(
  source: Source,
  subjects: Digest[],
  signal?: AbortSignal,
  tags = knownTags(source, signal),
): Promise<Attached[]> {
  const known = await tags;
  const all: Attached[] = [];
  /** What each manifest is attached to, by all ways. */
  const above = new Map(subjects.map((subject) => [subject, new Set<string>([subject])]));
  for (let level = subjects, depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH)
      throw new AirgapError(
        "unsupported",
        `${source.name}: artifacts are attached to one another more than ${MAX_DEPTH} deep, the last to ${level[0]}`,
      );
    const found = await Promise.all(level.map((subject) => attachedTo(source, subject, known, signal)));
    const next = new Set<Digest>();
    for (const attached of found.flat()) {
      const { digest } = attached.descriptor;
      const subjectsAbove = above.get(attached.subject as Digest) ?? new Set<string>();
      if (subjectsAbove.has(digest)) continue;
      all.push(attached);
      if (!above.has(digest)) next.add(digest);
      above.set(digest, new Set([digest, ...(above.get(digest) ?? []), ...subjectsAbove]));
    }
    level = [...next];
  }
  return all.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
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

/** What a source gives, or undefined where it does not have it or does not tell. */
export async function quietly<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (isAirgapError(error, "not-found", "unauthorized", "refused", "unsupported", "protocol"))
      return undefined;
    throw error;
  }
}
