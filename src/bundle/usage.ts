import type { Item, Lock } from "../lock/lock.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { childrenOf, MAX_INDEX_DEPTH, parseManifest } from "../oci/manifest.ts";
import { isForeignLayer, isManifestLike } from "../oci/media-types.ts";

/** A contradiction between the bundle's graph and its content or lock. */
export interface GraphProblem {
  item: string;
  digest: Digest;
  problem: string;
}

export interface Usage {
  /** Names of the items that reach a blob. */
  users: Map<Digest, string[]>;
  problems: GraphProblem[];
}

/**
 * Walks from every item through the manifests and finds which item uses which blob, what is reached and
 * not in the bundle, and sizes that contradict each other.
 * @param read a manifest's checked bytes, or undefined when they cannot be read (reported elsewhere)
 */
export function usageOf(lock: Lock, read: (digest: Digest) => Buffer | undefined): Usage {
  const walk = new UsageWalk(lock, read);
  for (const item of lock.items) walk.item(item);
  return { users: walk.users, problems: walk.problems };
}

class UsageWalk {
  readonly users = new Map<Digest, string[]>();
  readonly problems: GraphProblem[] = [];
  readonly #sizes: Map<Digest, number>;
  readonly #read: (digest: Digest) => Buffer | undefined;
  readonly #children = new Map<Digest, Descriptor[]>();

  constructor(lock: Lock, read: (digest: Digest) => Buffer | undefined) {
    this.#sizes = new Map(lock.blobs.map(({ digest, size }) => [digest, size]));
    this.#read = read;
  }

  item(item: Item): void {
    const seen = new Set<Digest>();
    this.#visit(item, item.root, item.exact === true, seen);
    for (const { descriptor } of item.attached ?? []) this.#visit(item, descriptor, false, seen);
    if (item.original && this.#carried(item, item.original)) {
      this.#use(item, item.original.digest);
      this.#childrenOf(item, item.original);
    }
  }

  #visit(item: Item, descriptor: Descriptor, sparse: boolean, seen: Set<Digest>, depth = 0): void {
    if (seen.has(descriptor.digest) || !this.#carried(item, descriptor)) return;
    seen.add(descriptor.digest);
    this.#use(item, descriptor.digest);
    if (!isManifestLike(descriptor.mediaType)) return;
    if (depth > MAX_INDEX_DEPTH) {
      this.#problem(item, descriptor.digest, `is nested more than ${MAX_INDEX_DEPTH} indexes deep`);
      return;
    }
    for (const child of this.#childrenOf(item, descriptor)) {
      if (
        !this.#sizes.has(child.digest) &&
        (isForeignLayer(child.mediaType) || (sparse && isManifestLike(child.mediaType)))
      )
        continue;
      this.#visit(item, child, sparse, seen, depth + 1);
    }
  }

  #childrenOf(item: Item, descriptor: Descriptor): Descriptor[] {
    const known = this.#children.get(descriptor.digest);
    if (known) return known;
    let children: Descriptor[] = [];
    const bytes = this.#read(descriptor.digest);
    try {
      if (bytes) children = childrenOf(parseManifest(bytes, descriptor.mediaType, descriptor.digest));
    } catch (error) {
      this.#problem(item, descriptor.digest, (error as Error).message);
    }
    this.#children.set(descriptor.digest, children);
    return children;
  }

  #carried(item: Item, { digest, size }: Descriptor): boolean {
    const locked = this.#sizes.get(digest);
    if (locked === undefined) this.#problem(item, digest, "is needed and not in the bundle");
    else if (locked !== size)
      this.#problem(item, digest, `has ${locked} bytes in the lock and ${size} in what refers to it`);
    return locked !== undefined;
  }

  #use(item: Item, digest: Digest): void {
    const users = this.users.get(digest) ?? [];
    if (!users.includes(item.name)) users.push(item.name);
    this.users.set(digest, users);
  }

  #problem(item: Item, digest: Digest, problem: string): void {
    this.problems.push({ item: item.name, digest, problem });
  }
}
