import { AirgapError, Exit } from "../../errors.ts";
import { count, formatBytes } from "../../format.ts";
import type { Lock, LockedBlob } from "../../lock/lock.ts";
import { type LandingRules, landAll } from "../../names/landing.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { childrenOf, MAX_INDEX_DEPTH, MAX_MANIFEST_SIZE, parseManifest } from "../../oci/manifest.ts";
import { isManifestLike } from "../../oci/media-types.ts";
import { tryParseReference } from "../../oci/reference.ts";
import { mapConcurrent } from "../../transport/map-concurrent.ts";
import { readBlob } from "../../transport/read.ts";
import type { RegistryDestination } from "../../transport/registry/destination.ts";
import type { Registries } from "../../transport/registry/registries.ts";
import type { Source } from "../../transport/types.ts";
import type { PushImage } from "./plan.ts";
import type { PushTarget } from "./target.ts";

/** What a delta leaves out and no base at hand has. */
export interface CountedOn {
  blobs: LockedBlob[];
  /** Names of images that the site had: under them the registry may have the blobs. */
  images: string[];
}

export interface CountedOnOptions {
  counted: CountedOn;
  lock: Lock;
  rules: LandingRules;
  images: PushImage[];
  /** The delta. */
  source: Source;
  registries: Registries;
  target: PushTarget;
  signal?: AbortSignal | undefined;
}

/** A delta, and the registry that has the rest. */
export interface Completed {
  source: Source;
  /** Who at the target has a blob that the delta counts on. */
  holders: Map<Digest, RegistryDestination>;
}

/**
 * Looks at the target for everything that the images of a delta count on, before the first byte.
 * @throws AirgapError `check-failed` with the list of what the target does not have
 */
export async function findCountedOn(options: CountedOnOptions): Promise<Completed> {
  const search = new Search(options);
  const roots = options.images.flatMap(({ root, attached }) => [root, ...attached]);
  await mapConcurrent(
    roots,
    ({ descriptor, repository }) => search.walk(descriptor, repository),
    options.signal,
  );
  search.refuse();
  return { source: search.source(), holders: search.holders() };
}

/** Walks images whose manifests may be in the delta or at the target. */
class Search {
  readonly #options: CountedOnOptions;
  readonly #sizes: ReadonlyMap<Digest, number>;
  readonly #carried: ReadonlySet<Digest>;
  /** Repositories in which anything may be, those of the plan first. */
  readonly #repositories: string[];
  readonly #places = new Map<Digest, string>();
  readonly #missing = new Map<Digest, { size: number; images: Set<string> }>();
  readonly #walked = new Set<string>();

  constructor(options: CountedOnOptions) {
    this.#options = options;
    this.#sizes = new Map(options.counted.blobs.map(({ digest, size }) => [digest, size]));
    this.#carried = new Set(options.lock.blobs.map(({ digest }) => digest));
    this.#repositories = [
      ...new Set([...options.images.map(({ root }) => root.repository), ...this.#formerRepositories()]),
    ];
  }

  #formerRepositories(): string[] {
    const { counted, rules } = this.#options;
    const references = counted.images.flatMap((name) => tryParseReference(name) ?? []);
    // One at a time: names that clashed then are no problem now.
    return references.flatMap((reference, i) => {
      const digest = `sha256:${String(i).padStart(64, "0")}` as Digest;
      return landAll([{ reference, digest }], rules).map(({ to }) => to.repository);
    });
  }

  async walk(descriptor: Descriptor, repository: string, depth = 0): Promise<void> {
    const { digest } = descriptor;
    const key = `${repository} ${digest}`;
    if (!this.#carried.has(digest) || this.#walked.has(key)) return;
    this.#walked.add(key);
    this.#options.signal?.throwIfAborted();
    if (this.#sizes.has(digest) && !(await this.#locate(descriptor, repository))) return;
    if (!isManifestLike(descriptor.mediaType) || depth > MAX_INDEX_DEPTH) return;
    const source = this.#sourceOf(digest);
    const bytes = await readBlob(source, descriptor, MAX_MANIFEST_SIZE);
    const children = childrenOf(parseManifest(bytes, descriptor.mediaType, digest));
    for (const child of children) await this.walk(child, repository, depth + 1);
  }

  /** Whether the target has it, in the repository where it is wanted or in another one. */
  async #locate(descriptor: Descriptor, repository: string): Promise<boolean> {
    const { digest, size } = descriptor;
    if (this.#places.has(digest)) return true;
    const { target, signal } = this.#options;
    const others = this.#missing.has(digest) ? [] : this.#repositories;
    for (const each of new Set([repository, ...others])) {
      if (!(await target.has(each, descriptor, signal))) continue;
      this.#places.set(digest, each);
      this.#missing.delete(digest);
      return true;
    }
    const missing = this.#missing.get(digest) ?? { size, images: new Set() };
    missing.images.add(repository);
    this.#missing.set(digest, missing);
    return false;
  }

  #sourceOf(digest: Digest): Source {
    const place = this.#places.get(digest);
    const { source, registries, target } = this.#options;
    return place === undefined ? source : registries.source(target.client.host, place);
  }

  /** @throws AirgapError `check-failed` */
  refuse(): void {
    if (this.#missing.size === 0) return;
    const list = [...this.#missing].map(([digest, { size, images }]) => ({
      digest,
      size,
      repositories: [...images],
    }));
    const lines = list
      .slice(0, 20)
      .map(
        ({ digest, size, repositories }) =>
          `  ${digest} (${formatBytes(size)}), for ${repositories.join(", ")}`,
      );
    if (list.length > lines.length) lines.push(`  … and ${list.length - lines.length} more`);
    throw new AirgapError(
      "check-failed",
      `The bundle is a delta, and ${this.#options.target.client.host} does not have ${count(list.length, "blob")} that it counts on; nothing was sent:\n${lines.join("\n")}`,
      {
        exit: Exit.check,
        suggestions: [
          "name the bundle that the delta was built on: --base OLD.tar",
          "push that bundle first",
          `airgap receipt ${this.#options.target.client.host} -o receipt.json  # and build the delta --since it`,
        ],
        data: { missing: list },
      },
    );
  }

  holders(): Map<Digest, RegistryDestination> {
    const { target } = this.#options;
    return new Map([...this.#places].map(([digest, place]) => [digest, target.repository(place)]));
  }

  /** The delta and the target as one. */
  source(): Source {
    const own = this.#options.source;
    const of = (digest: Digest): Source => this.#sourceOf(digest);
    const isOwn = (digest: Digest): boolean => !this.#places.has(digest);
    return {
      name: own.name,
      resolve: (reference, signal) => own.resolve(reference, signal),
      fetch: (descriptor, options) => of(descriptor.digest).fetch(descriptor, options),
      async writeTo(descriptor, range, sink, signal) {
        const source = of(descriptor.digest);
        if (source.writeTo) return source.writeTo(descriptor, range, sink, signal);
        for await (const chunk of await source.fetch(descriptor, { range, ...(signal ? { signal } : {}) }))
          sink(chunk as Uint8Array);
      },
      region: (descriptor) => (isOwn(descriptor.digest) ? own.region?.(descriptor) : undefined),
    };
  }
}
