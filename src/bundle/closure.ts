import { AirgapError } from "../errors.ts";
import { count } from "../format.ts";
import { type ItemOf, itemsOf, type Lock } from "../lock/lock.ts";
import type { Digest } from "../oci/digest.ts";
import { matchesPlatform, parsePlatform, tryParsePlatform } from "../oci/platform.ts";
import { formatReference, nameOf, parseReference, type Reference, withDefaultTag } from "../oci/reference.ts";

/** An image that a cluster will pull because of something in the bundle. */
export interface WantedImage {
  /** The reference that is pulled: by tag, by digest, or both. */
  reference: string;
  wantedBy: string[];
}

/** What the closure check needs to know of an image in the bundle. */
export interface HeldImage {
  /** The item's name, a canonical reference. */
  name: string;
  /** Every digest by which it can be pulled: of its root, of the original index, of their children. */
  digests: Digest[];
  /** `linux/amd64` and so on; absent when that is not known. */
  platforms?: string[];
  /** The spec lists the image itself, and with it the platforms that it has. */
  own?: boolean;
}

/** An image that is missing, and the items that want it. */
export interface Gap extends WantedImage {
  why: string;
}

/**
 * The images that the carried documents and charts name and that kubeadm needs, from the lock's own facts.
 * @param kubernetes what every cluster of these versions needs, whatever the lock says
 */
export function wantedImages(
  lock: Pick<Lock, "items" | "kubeadm">,
  kubernetes: WantedImage[] = [],
): WantedImage[] {
  const wanted = new Map<string, Set<string>>();
  const add = (reference: string, wantedBy: string): void =>
    void wanted.set(reference, (wanted.get(reference) ?? new Set()).add(wantedBy));
  for (const { reference, wantedBy } of kubernetes) for (const by of wantedBy) add(canonical(reference), by);
  for (const [version, references] of Object.entries(lock.kubeadm ?? {}))
    for (const reference of references) add(canonical(reference), `kubernetes ${version}`);
  for (const item of itemsOf(lock, "manifests", "chart"))
    for (const { reference, place } of namedBy(item))
      add(canonical(reference), `${item.kind} ${item.name}${place ? `: ${place}` : ""}`);
  return [...wanted]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([reference, by]) => ({ reference, wantedBy: [...by].sort() }));
}

const canonical = (text: string): string => formatReference(withDefaultTag(parseReference(text)));

/** The images that a manifests or chart item needs, each with the first place that names it. */
function namedBy({
  facts,
}: ItemOf<"manifests" | "chart">): { reference: string; place: string | undefined }[] {
  return facts.images
    .filter(({ fate }) => fate === "carried" || fate === "added")
    .map(({ reference, places }) => ({ reference, place: places[0]?.split(" ")[0] }));
}

/** Whether a runtime can pull this reference: by digest when it has one, otherwise by tag. */
function answers(held: HeldImage, wanted: Reference): boolean {
  const own = parseReference(held.name);
  if (nameOf(own) !== nameOf(wanted)) return false;
  if (wanted.digest !== undefined) return held.digests.includes(wanted.digest);
  return (own.tag ?? (own.digest === undefined ? "latest" : undefined)) === wanted.tag;
}

/**
 * The images that the bundle needs and does not hold. A bundle is closed when there are none.
 * @param platforms the platforms of the spec; `all` when whole indexes are carried
 */
export function findGaps(wanted: WantedImage[], held: HeldImage[], platforms: string[] | "all"): Gap[] {
  const byName = Map.groupBy(held, ({ name }) => nameOf(parseReference(name)));
  return wanted.flatMap((each): Gap[] => {
    const reference = withDefaultTag(parseReference(each.reference));
    const found = (byName.get(nameOf(reference)) ?? []).filter((image) => answers(image, reference));
    if (found.length === 0) return [{ ...each, why: "it is not in the bundle" }];
    const lacking = lackingPlatforms(found, platforms);
    return lacking.length === 0 ? [] : [{ ...each, why: `the bundle has it without ${lacking.join(", ")}` }];
  });
}

function lackingPlatforms(found: HeldImage[], platforms: string[] | "all"): string[] {
  if (
    platforms === "all" ||
    platforms.includes("all") ||
    found.some(({ own, platforms: has }) => own || has === undefined)
  )
    return [];
  const has = found.flatMap(({ platforms: own = [] }) => own.flatMap((each) => tryParsePlatform(each) ?? []));
  return platforms.filter((platform) => !has.some((each) => matchesPlatform(each, parsePlatform(platform))));
}

const MAX_SHOWN = 30;

/** The error of a build whose bundle would not be closed. */
export function notClosed(gaps: Gap[]): AirgapError {
  const lines = gaps
    .slice(0, MAX_SHOWN)
    .map(({ reference, why, wantedBy }) => `  ${reference}: ${why}; wanted by ${wantedBy.join(", ")}`);
  if (gaps.length > MAX_SHOWN) lines.push(`  … and ${gaps.length - MAX_SHOWN} more`);
  return new AirgapError(
    "not-closed",
    `The bundle is not closed: it would be missing ${count(gaps.length, "image")}:\n${lines.join("\n")}`,
    {
      suggestions: [
        "add each image to images: or addImages:, or list it under ignoreImages: when no host needs it",
      ],
      data: { missing: gaps },
    },
  );
}
