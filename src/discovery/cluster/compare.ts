import { type ImageItem, itemsOf, type Lock } from "../../lock/lock.ts";
import type { Digest } from "../../oci/digest.ts";
import { formatReference, hostComponent, parseReference, type Reference } from "../../oci/reference.ts";
import type { ClusterFind } from "./reader.ts";

/** Names that an image of a bundle has at a site besides those that follow from its own. */
export type NamesOf = (name: string) => readonly string[];

/** A bundle beside what runs. All lists are sorted by reference. */
export interface Comparison {
  /** In the bundle under their upstream name or the site's. */
  carried: string[];
  /** The cluster uses them, and the bundle has nothing of this name or content. */
  missing: string[];
  /** The name is there, with another content than the one that runs. */
  differs: { reference: string; runs: Digest[]; carries: Digest }[];
  /** Images of the bundle that the cluster does not use, without those of kubeadm. */
  unused: string[];
}

/**
 * Compares what a cluster uses with what a bundle carries, by name as `push` lays it out
 * (`harbor.site/registry.k8s.io/pause:3.9`; at the lock's `siteName` the path alone too), else by content.
 */
export function compareWithBundle(
  finds: readonly ClusterFind[],
  lock: Lock,
  namesOf: NamesOf = () => [],
): Comparison {
  const known = new Known(itemsOf(lock, "image"), lock.siteName, namesOf);
  const result: Comparison = { carried: [], missing: [], differs: [], unused: [] };
  const used = new Set<ImageItem>();
  for (const { reference, digests: running } of finds) {
    // A template without a pod may name the content itself.
    const named = running.length > 0 ? undefined : parseReference(reference).digest;
    const digests = named === undefined ? running : [named];
    const item = known.of(reference, digests);
    if (item === undefined) {
      result.missing.push(reference);
      continue;
    }
    used.add(item);
    if (digests.length === 0 || digests.some((digest) => contents(item).includes(digest)))
      result.carried.push(reference);
    else result.differs.push({ reference, runs: digests, carries: item.root.digest });
  }
  const kubeadm = new Set(Object.values(lock.kubeadm ?? {}).flat());
  result.unused = itemsOf(lock, "image")
    .filter((item) => !used.has(item) && !kubeadm.has(item.name))
    .map(({ name }) => name);
  return result;
}

/** The digests by which a node may know an image: its manifest's, or that of the index that it came from. */
const contents = ({ root, original }: ImageItem): Digest[] =>
  original === undefined ? [root.digest] : [root.digest, original.digest];

/** The images of a bundle, by every name that they may have at a site. */
class Known {
  readonly #byName = new Map<string, ImageItem>();
  readonly #byPath = new Map<string, ImageItem>();
  readonly #byDigest = new Map<Digest, ImageItem>();
  readonly #siteName: string | undefined;

  constructor(items: readonly ImageItem[], siteName: string | undefined, namesOf: NamesOf) {
    this.#siteName = siteName;
    for (const item of items) {
      const reference = parseReference(item.name);
      for (const name of [item.name, ...namesOf(item.name)]) this.#byName.set(name, item);
      this.#byName.set(pathOf(reference, `${hostComponent(reference.host)}/`), item);
      this.#byPath.set(pathOf(reference), item);
      for (const digest of contents(item)) this.#byDigest.set(digest, item);
    }
  }

  of(name: string, digests: readonly Digest[]): ImageItem | undefined {
    const reference = parseReference(name);
    const exact = this.#byName.get(name) ?? this.#byTag(reference);
    if (exact !== undefined) return exact;
    const below = pathOf(reference)
      .split("/")
      .map((_, i, parts) => parts.slice(i).join("/"));
    const landed = below.flatMap((path) => this.#byName.get(path) ?? [])[0];
    if (landed !== undefined) return landed;
    // A path alone says too little of a registry that may be any other.
    const own =
      reference.host === this.#siteName
        ? below.flatMap((path) => this.#byPath.get(path) ?? [])[0]
        : undefined;
    return own ?? digests.flatMap((digest) => this.#byDigest.get(digest) ?? [])[0];
  }

  /** `nginx:1.27@sha256:…` where the bundle has `nginx:1.27`. */
  #byTag({ host, repository, tag, digest }: Reference): ImageItem | undefined {
    return tag === undefined || digest === undefined
      ? undefined
      : this.#byName.get(formatReference({ host, repository, tag }));
  }
}

/** `coredns/coredns:v1.11.1`, without the host. */
const pathOf = (reference: Reference, before = ""): string =>
  before + formatReference(reference).slice(reference.host.length + 1);
