import type { OpenBlob, Repository } from "../../../registry/library.ts";
import type { BundleReader } from "../../bundle/reader.ts";
import { AirgapError } from "../../errors.ts";
import type { Item } from "../../lock/lock.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { childrenOf, parseManifest, referrerOf } from "../../oci/manifest.ts";
import { isManifestLike } from "../../oci/media-types.ts";
import type { Reference } from "../../oci/reference.ts";

/** An image of a bundle, under one of the names it answers to. */
export interface ServedImage {
  bundle: BundleReader;
  item: Item;
  reference: Reference;
}

/** A manifest or blob of a repository, and its entry in the list of referrers if it has a subject. */
interface Held {
  bundle: BundleReader;
  descriptor: Descriptor;
  subject?: Digest;
  referrer?: Descriptor;
}

/** What a name stands for: the index as its publisher made it, also where not all of it was carried. */
const served = (item: Item): Descriptor => item.original ?? item.root;

/**
 * The tags of a repository. `name:tag@digest` gives the tag only where nothing else claims it: it
 * was asked for by its digest, and the tag may have moved since.
 * @throws AirgapError `conflict` when two bundles have different content under one name
 */
function tagsOf(name: string, parts: ServedImage[]): Map<string, Descriptor> {
  const tags = new Map<string, ServedImage>();
  const pinned = new Map<string, Set<Digest>>();
  for (const part of parts) {
    const { tag, digest } = part.reference;
    if (tag === undefined) continue;
    const other = tags.get(tag);
    if (digest !== undefined) pinned.set(tag, (pinned.get(tag) ?? new Set()).add(served(part.item).digest));
    else if (other === undefined) tags.set(tag, part);
    else if (served(other.item).digest !== served(part.item).digest)
      throw clash(`${name}:${tag}`, other, part);
  }
  const result = new Map([...tags].map(([tag, { item }]) => [tag, served(item)]));
  for (const { item, reference } of parts) {
    const { tag, digest } = reference;
    if (tag !== undefined && digest !== undefined && !result.has(tag) && pinned.get(tag)?.size === 1)
      result.set(tag, served(item));
    for (const { descriptor, tag: own } of item.attached ?? [])
      if (own !== undefined && !result.has(own)) result.set(own, descriptor);
  }
  return result;
}

function clash(name: string, a: ServedImage, b: ServedImage): AirgapError {
  const tell = ({ bundle, item }: ServedImage): string =>
    `${item.name} of ${bundle.path} (${served(item).digest})`;
  return new AirgapError("conflict", `${name} would be two different images: ${tell(a)} and ${tell(b)}`, {
    suggestions: [`airgap serve ${a.bundle.path}`, `airgap serve ${b.bundle.path} --listen 127.0.0.1:5001`],
    data: {
      name,
      bundles: [a.bundle.path, b.bundle.path],
      digests: [served(a.item).digest, served(b.item).digest],
    },
  });
}

/** Images of bundles as one repository; bytes are read where they lie in the tar. */
export class BundleRepository implements Repository {
  readonly #parts: ServedImage[];
  readonly #tags: Map<string, Descriptor>;
  #content: Map<Digest, Held> | undefined;

  /** @throws AirgapError `conflict` */
  constructor(name: string, parts: ServedImage[]) {
    this.#parts = parts;
    this.#tags = tagsOf(name, parts);
  }

  async tags(): Promise<string[]> {
    return [...this.#tags.keys()].sort();
  }

  async resolve(reference: string): Promise<Descriptor | undefined> {
    if (!isDigest(reference)) return this.#tags.get(reference);
    const held = this.#held().get(reference)?.descriptor;
    return held && isManifestLike(held.mediaType) ? held : undefined;
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    const region = this.#held().get(digest)?.bundle.region(digest);
    return region && { ...region, close: () => {} };
  }

  async referrers(digest: Digest): Promise<Descriptor[]> {
    return [...this.#held().values()].flatMap(({ subject, referrer }) =>
      subject === digest && referrer ? [referrer] : [],
    );
  }

  /** Everything that the images of this repository reach; worked out when it is first asked for. */
  #held(): Map<Digest, Held> {
    if (this.#content) return this.#content;
    const content = new Map<Digest, Held>();
    for (const { bundle, item } of this.#parts) {
      for (const descriptor of [
        item.root,
        item.original,
        ...(item.attached ?? []).map((attached) => attached.descriptor),
      ]) {
        if (descriptor) collect(bundle, descriptor, content);
      }
    }
    this.#content = content;
    return content;
  }
}

function collect(bundle: BundleReader, descriptor: Descriptor, into: Map<Digest, Held>): void {
  const { mediaType, digest } = descriptor;
  const region = into.has(digest) ? undefined : bundle.region(digest);
  if (region === undefined) return;
  const held: Held = { bundle, descriptor: { mediaType, digest, size: region.size } };
  into.set(digest, held);
  if (!isManifestLike(mediaType)) return;
  try {
    const content = parseManifest(bundle.read(digest), mediaType, digest);
    if (content.subject)
      Object.assign(held, {
        subject: content.subject.digest,
        referrer: referrerOf(held.descriptor, content),
      });
    for (const child of childrenOf(content)) collect(bundle, child, into);
  } catch (error) {
    // A damaged manifest is sent as it is, so that the client says which one is damaged; the others stay usable.
    if (!(error instanceof AirgapError)) throw error;
  }
}
