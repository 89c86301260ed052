import { AirgapError } from "../../errors.ts";
import { canonicalJson } from "../../oci/canonical-json.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { isManifestLike } from "../../oci/media-types.ts";
import { formatPlatform, matchesPlatform, type Platform } from "../../oci/platform.ts";

/** BuildKit adds attestations to an index as children without a platform that name their subject. */
const ATTESTS = "vnd.docker.reference.digest";

const isAttestation = (child: Descriptor): boolean =>
  child.annotations?.[ATTESTS] !== undefined && child.platform?.os === "unknown";

/** Older variants that a newer processor of the family can run, best first. */
const RUNS_ALSO: Record<string, string[]> = {
  "arm/v8": ["v7", "v6", "v5"],
  "arm/v7": ["v6", "v5"],
  "arm/v6": ["v5"],
  "amd64/v4": ["v3", "v2", "v1"],
  "amd64/v3": ["v2", "v1"],
  "amd64/v2": ["v1"],
};

function candidates(want: Platform): Platform[] {
  const older =
    RUNS_ALSO[`${want.architecture}/${want.variant ?? (want.architecture === "arm" ? "v7" : "")}`] ?? [];
  return [want, ...older.map((variant) => ({ ...want, variant }))];
}

/**
 * The children of an index that a host of platform `want` pulls: the first that fits, as runtimes
 * choose; for Windows all of them, since the build of the host decides.
 */
function childrenFor(children: Descriptor[], want: Platform): Descriptor[] {
  for (const platform of candidates(want)) {
    const fitting = children.filter((child) => child.platform && matchesPlatform(child.platform, platform));
    if (fitting.length > 0) return want.os === "windows" ? fitting : fitting.slice(0, 1);
  }
  return [];
}

/**
 * Chooses the children of an index to carry, in the index's order, with BuildKit's attestations of
 * them. All children for `all`, and when an index names no platforms (a set of artifacts).
 * @param where names the index in the error
 * @throws AirgapError `not-found` when a platform has no child
 */
export function selectChildren(
  children: Descriptor[],
  platforms: Platform[] | "all",
  where: string,
): Descriptor[] {
  const runnable = children.filter((child) => child.platform !== undefined && !isAttestation(child));
  if (platforms === "all") return children;
  const [first] = platforms;
  if (children.length === 0 && first) throw lacks(where, first, []);
  if (runnable.length === 0) return children;
  const chosen = new Set<Descriptor>();
  for (const want of platforms) {
    const fitting = childrenFor(runnable, want);
    if (fitting.length === 0) throw lacks(where, want, runnable);
    for (const child of fitting) chosen.add(child);
  }
  const digests = new Set([...chosen].map(({ digest }) => digest as string));
  return children.filter(
    (child) => chosen.has(child) || (isAttestation(child) && digests.has(child.annotations?.[ATTESTS] ?? "")),
  );
}

function lacks(where: string, want: Platform, children: Descriptor[]): AirgapError {
  const offered = [
    ...new Set(children.flatMap(({ platform }) => (platform ? [formatPlatform(platform)] : []))),
  ];
  const has = offered.length > 0 ? `it offers ${offered.join(", ")}` : "its index is empty";
  return new AirgapError("not-found", `${where} has no image for ${formatPlatform(want)}; ${has}`, {
    suggestions: offered
      .slice(0, 1)
      .map(
        (platform) =>
          `give this image its own platforms in the spec: { ref: "${where}", platforms: [${platform}] }`,
      ),
    data: { image: where, wanted: formatPlatform(want), offered },
  });
}

/** What a tag names when only some children of an index are chosen. */
export type IndexLanding =
  | { kind: "whole" }
  | { kind: "single"; child: Descriptor }
  | { kind: "derived"; bytes: Buffer };

/**
 * Every child carried: the index itself. One platform: that manifest. Several, but not all: an index
 * derived from it, without the children that are left out.
 */
export function landingOf(
  index: Record<string, unknown>,
  children: Descriptor[],
  chosen: Descriptor[],
): IndexLanding {
  if (chosen.length === children.length) return { kind: "whole" };
  const images = chosen.filter((child) => !isAttestation(child));
  const [only] = images;
  if (images.length === 1 && only && isManifestLike(only.mediaType)) return { kind: "single", child: only };
  const kept = new Set(chosen.map((child) => children.indexOf(child)));
  const manifests = (index["manifests"] as unknown[]).filter((_, i) => kept.has(i));
  return { kind: "derived", bytes: Buffer.from(canonicalJson({ ...index, manifests })) };
}
