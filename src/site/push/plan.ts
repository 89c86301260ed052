import type { AttachedCopy } from "../../copy.ts";
import type { Attached, Item, Lock } from "../../lock/lock.ts";
import {
  checkLandingNames,
  type Landing,
  type LandingRules,
  landAll,
  limitsOfHost,
} from "../../names/landing.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Digest, parseDigest } from "../../oci/digest.ts";
import { formatReference, parseReference } from "../../oci/reference.ts";

/** A manifest that gets a name of its own at the target. */
export interface PushRoot {
  repository: string;
  /** A tag, or the digest itself. */
  reference: string;
  descriptor: Descriptor;
}

/** One image of a bundle on its way to a target. */
export interface PushImage {
  item: Item;
  /** `registry.k8s.io/pause:3.9` */
  from: string;
  /** `harbor.site.local/registry.k8s.io/pause:3.9` */
  to: string;
  root: PushRoot;
  attached: (PushRoot & AttachedCopy)[];
}

function attachedRoot(repository: string, { descriptor, subject, tag }: Attached): PushRoot & AttachedCopy {
  return {
    repository,
    reference: tag ?? descriptor.digest,
    descriptor,
    subject,
    ...(tag === undefined ? {} : { tag }),
  };
}

/** Images that land on one name with one content are one push, though the bundle has them under several names. */
function merge(images: PushImage[]): PushImage[] {
  const byName = new Map<string, PushImage>();
  for (const image of images) {
    const key = `${image.root.repository} ${image.root.reference}`;
    const known = byName.get(key);
    if (known === undefined) byName.set(key, image);
    else
      known.attached = [
        ...new Map(
          [...known.attached, ...image.attached].map((each) => [
            `${each.reference} ${each.descriptor.digest}`,
            each,
          ]),
        ).values(),
      ];
  }
  return [...byName.values()];
}

/**
 * Which image of a bundle lands where. Other items have no names that a registry takes.
 * @throws AirgapError `conflict` for names that clash or that the target does not take
 */
export function planPush(lock: Lock, rules: LandingRules): PushImage[] {
  const items = lock.items.filter(({ kind }) => kind === "image");
  const landings = landAll(
    items.map((item) => ({ reference: parseReference(item.name), digest: item.root.digest })),
    rules,
  );
  const limits = limitsOfHost(rules.target.host);
  if (limits) checkLandingNames(landings, limits);
  return merge(
    landings.map(({ from, to }, i): PushImage => {
      const item = items[i] as Item;
      const reference = to.tag ?? to.digest ?? item.root.digest;
      return {
        item,
        from: formatReference(from),
        to: formatReference(to),
        root: { repository: to.repository, reference, descriptor: item.root },
        attached: (item.attached ?? []).map((attached) => attachedRoot(to.repository, attached)),
      };
    }),
  );
}

/** The names of a plan, to be checked against what the target takes. */
export function landingsOf(images: PushImage[]): Landing[] {
  return images.map(({ from, to, root }) => ({
    from: parseReference(from),
    to: parseReference(to),
    digest: root.descriptor.digest,
  }));
}

/** The first component of a repository: a Harbor project. */
export const projectOf = (repository: string): string => repository.split("/", 1)[0] as string;

/** What a bundle carries, by digest. */
export function carriedBy(lock: Lock): (descriptor: Descriptor) => boolean {
  const digests = new Set<Digest>(lock.blobs.map(({ digest }) => parseDigest(digest)));
  return ({ digest }) => digests.has(digest);
}
