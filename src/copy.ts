import pLimit from "p-limit";
import { AirgapError, isAirgapError } from "./errors.ts";
import { type Emit, type ItemState, silent } from "./events.ts";
import type { Descriptor } from "./oci/descriptor.ts";
import type { Digest } from "./oci/digest.ts";
import {
  childrenOf,
  type Index,
  MAX_INDEX_DEPTH,
  MAX_MANIFEST_SIZE,
  type Manifest,
  parseManifest,
} from "./oci/manifest.ts";
import { isForeignLayer, isManifestLike } from "./oci/media-types.ts";
import { mapConcurrent } from "./transport/map-concurrent.ts";
import { readBlob } from "./transport/read.ts";
import type { Destination, Source } from "./transport/types.ts";

/** An artifact attached to a manifest, such as a signature or an SBOM. */
export interface AttachedCopy {
  descriptor: Descriptor;
  subject: string;
  /** cosign's tag; without one it is found by its subject. */
  tag?: string;
  /** It was found under its tag: it is looked at for a repair, and its tag is left alone. */
  present?: boolean;
}

/** One graph to be copied. */
export interface CopyJob {
  /** For events. */
  name: string;
  root: Descriptor;
  /** Names for the root; none = by its digest. */
  tags: string[];
  source: Source;
  destination: Destination;
  /** Pushed after their subjects. */
  attached?: AttachedCopy[];
  /** Which part of the graph to copy. Default: all but foreign layers. */
  carries?: (descriptor: Descriptor) => boolean;
  /** The root was found under its names: it is looked at for a repair only, and its names are left alone. */
  rootPresent?: boolean;
}

export interface CopyOptions {
  emit?: Emit | undefined;
  signal?: AbortSignal | undefined;
  /** Look below manifests that are there; believe only what gives its bytes. */
  repair?: boolean | undefined;
}

/** What a copy did: blobs, and their bytes. */
export interface CopyTotals {
  sent: { blobs: number; bytes: number };
  mounted: { blobs: number; bytes: number };
  present: { blobs: number; bytes: number };
  manifests: number;
}

type Moved = keyof Omit<CopyTotals, "manifests">;
const STATE: Record<Moved, ItemState> = { sent: "done", mounted: "mounted", present: "present" };
const withoutForeign = (descriptor: Descriptor): boolean => !isForeignLayer(descriptor.mediaType);

/** Blobs begun at a time: more than any host is asked for at once, few enough to keep memory low. */
const MAX_UNDER_WAY = 48;

/**
 * The one verb that moves bytes: graphs from sources to destinations, children before parents,
 * names last, attached artifacts after their subjects. Copies that run side by side share what
 * they know: no two of them send one blob to one store, and what one sent the others mount.
 */
export class Copier {
  readonly totals: CopyTotals = { sent: none(), mounted: none(), present: none(), manifests: 0 };
  /** What a store still does not give out whole after it was sent again. By destination and digest. */
  readonly broken = new Map<string, { destination: string; digest: Digest }>();
  readonly #emit: Emit;
  /** The first failure ends everything that is under way. */
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #repair: boolean;
  readonly #underWay = pLimit(MAX_UNDER_WAY);
  /** Who in a store has a blob, or is about to. By store and digest. */
  readonly #holders = new Map<string, Promise<Destination>>();
  /** Whether what was said to be there gives its bytes. By store and digest. */
  readonly #readable = new Map<string, Promise<boolean | undefined>>();
  /** Everything that was begun. By destination and digest. */
  readonly #moves = new Map<string, Promise<void>>();

  constructor(options: CopyOptions = {}) {
    this.#emit = options.emit ?? silent;
    this.#signal = options.signal ? AbortSignal.any([options.signal, this.#stop.signal]) : this.#stop.signal;
    this.#repair = options.repair === true;
  }

  /** Copies one graph with what is attached to it. When it fails, all copies of this copier end. */
  async copy(job: CopyJob): Promise<void> {
    try {
      if (job.rootPresent !== true) await this.#graph(job, job.root, job.tags);
      else if (this.#repair) await this.#graph(job, job.root, []);
      await this.#attached(job);
    } catch (error) {
      this.#stop.abort(error);
      throw error;
    }
  }

  async #attached(job: CopyJob): Promise<void> {
    const attached = job.attached ?? [];
    const begun = new Map<string, Promise<void>>();
    const one = (each: AttachedCopy, above: readonly string[] = []): Promise<void> => {
      const { digest } = each.descriptor;
      if (above.includes(digest)) throw attachedToItself(digest, job.source);
      const known = begun.get(keyOf(each));
      if (known) return known;
      const subject = attached.find(({ descriptor }) => descriptor.digest === each.subject);
      const copy = Promise.resolve(subject && one(subject, [...above, digest])).then(() =>
        this.#graph(job, each.descriptor, each.tag === undefined || each.present ? [] : [each.tag]),
      );
      begun.set(keyOf(each), copy);
      return copy;
    };
    await mapConcurrent(attached, async (each) => one(each));
  }

  /** A destination that has a graph already: the others may mount from it what they share. */
  async knows({
    root,
    source,
    destination,
    carries = withoutForeign,
  }: Pick<CopyJob, "root" | "source" | "destination" | "carries">): Promise<void> {
    for (const child of (await this.#children(root, source)).filter(carries)) {
      if (isManifestLike(child.mediaType)) await this.knows({ root: child, source, destination, carries });
      else if (!this.#holders.has(inStore(destination, child.digest)))
        this.#holders.set(inStore(destination, child.digest), Promise.resolve(destination));
    }
  }

  /** A destination that has a blob: the others of its store may mount it from there. */
  holds(digest: Digest, destination: Destination): void {
    this.#holders.set(inStore(destination, digest), Promise.resolve(destination));
  }

  async #graph(job: CopyJob, root: Descriptor, tags: string[], depth = 0): Promise<void> {
    this.#signal.throwIfAborted();
    const all = depth < MAX_INDEX_DEPTH ? await this.#children(root, job.source) : [];
    const children = all.filter(job.carries ?? withoutForeign);
    await mapConcurrent(children, (child) => this.#once(job, child, depth));
    try {
      await this.#name(job, root, tags);
    } catch (error) {
      // A registry that said of a blob that it is there may find out now that it is not.
      if (!isAirgapError(error) || error.data?.["missing"] !== true || children.length < all.length)
        throw error;
      await mapConcurrent(children, (child) => this.#again(job, child));
      await this.#name(job, root, tags);
    }
    this.totals.manifests++;
  }

  /** A name that is right is never given again: it may be immutable. */
  async #name(job: CopyJob, root: Descriptor, tags: string[]): Promise<void> {
    const { destination, source } = job;
    for (const tag of tags) await destination.tag(root, tag, source, this.#signal);
    if (tags.length > 0) return;
    // What is found by its subject is pushed again: that also mends the list of referrers.
    const isListed = job.attached?.some(({ descriptor, tag }) => descriptor === root && tag === undefined);
    if (this.#repair && !isListed && (await destination.isReadable?.(root, this.#signal)) === true) return;
    await destination.push(root, source, this.#signal);
    if (this.#repair) await this.#confirm(job, root);
  }

  /** Asks again for what was mended: a store may take a blob and keep the damaged file that it has. */
  async #confirm({ destination }: CopyJob, descriptor: Descriptor): Promise<void> {
    if ((await destination.isReadable?.(descriptor, this.#signal)) !== false) return;
    this.broken.set(`${destination.name} ${descriptor.digest}`, {
      destination: destination.name,
      digest: descriptor.digest,
    });
  }

  /** Each child once a destination, however many parents it has there. */
  #once(job: CopyJob, child: Descriptor, depth: number): Promise<void> {
    const key = `${job.destination.name} ${child.digest}`;
    const known = this.#moves.get(key);
    if (known) return known;
    const move = isManifestLike(child.mediaType)
      ? this.#graph(job, child, [], depth + 1)
      : this.#underWay(() => this.#blob(job, child));
    this.#moves.set(key, move);
    return move;
  }

  async #again(job: CopyJob, child: Descriptor): Promise<void> {
    const { destination, source } = job;
    await (destination.repush?.(child, source, this.#signal) ??
      destination.push(child, source, this.#signal));
    await this.#confirm(job, child);
  }

  async #blob(job: CopyJob, blob: Descriptor): Promise<void> {
    const moved = await (this.#repair ? this.#repaired(job, blob) : this.#moved(job, blob)).catch(
      (error: unknown) => {
        this.#stop.abort(error);
        throw error;
      },
    );
    this.totals[moved].blobs++;
    this.totals[moved].bytes += blob.size;
    this.#emit({
      type: "item",
      item: blob.digest,
      state: STATE[moved],
      bytes: blob.size,
      detail: job.destination.name,
    });
  }

  /** The first who wants a blob in a store sends it; the others wait for that and mount it. */
  async #moved(job: CopyJob, blob: Descriptor): Promise<Moved> {
    const { destination } = job;
    const key = inStore(destination, blob.digest);
    for (let holder = this.#holders.get(key); holder !== undefined; holder = this.#holders.get(key)) {
      const from = await holder.catch(() => undefined);
      this.#signal.throwIfAborted();
      if (from === undefined) continue;
      if (from === destination || !(await destination.mount?.(blob, from, this.#signal)))
        return await this.#pushed(job, blob);
      return (await this.#checked(job, blob)) ? "mounted" : "sent";
    }
    const push = this.#pushed(job, blob);
    const holder = push.then(() => destination);
    this.#holders.set(key, holder);
    holder.catch(() => this.#holders.get(key) === holder && this.#holders.delete(key));
    return await push;
  }

  async #pushed(job: CopyJob, blob: Descriptor): Promise<Moved> {
    const pushed = await job.destination.push(blob, job.source, this.#signal);
    if (pushed === "done") {
      this.#readable.set(inStore(job.destination, blob.digest), Promise.resolve(true));
      return "sent";
    }
    return (await this.#checked(job, blob)) ? "present" : "sent";
  }

  /** A store may have lost what it says to have: it is asked for the bytes once, and gets them again if it gives none. */
  async #checked(job: CopyJob, blob: Descriptor): Promise<boolean> {
    const { destination } = job;
    const key = inStore(destination, blob.digest);
    const asked =
      this.#readable.get(key) ?? destination.isReadable?.(blob, this.#signal) ?? Promise.resolve(true);
    this.#readable.set(key, asked);
    if (await asked) return true;
    await this.#again(job, blob);
    this.#readable.set(key, Promise.resolve(true));
    return false;
  }

  /** One repair at a time for each blob of a store: the first one may have repaired everything. */
  async #repaired(job: CopyJob, blob: Descriptor): Promise<Moved> {
    const key = inStore(job.destination, blob.digest);
    const repaired = Promise.resolve(this.#holders.get(key)).then(
      (holder) => this.#restore(job, blob, holder),
      () => this.#restore(job, blob),
    );
    const holder = repaired.then(() => job.destination);
    holder.catch(() => {});
    this.#holders.set(key, holder);
    return await repaired;
  }

  async #restore(job: CopyJob, blob: Descriptor, holder?: Destination): Promise<Moved> {
    const { destination } = job;
    const isThere = (): Promise<boolean | undefined> =>
      (destination.isReadable ?? destination.exists).call(destination, blob, this.#signal);
    if (await isThere()) return "present";
    if (
      holder &&
      holder !== destination &&
      (await destination.mount?.(blob, holder, this.#signal)) &&
      (await isThere())
    )
      return "mounted";
    await this.#again(job, blob);
    return "sent";
  }

  async #children(root: Descriptor, source: Source): Promise<Descriptor[]> {
    if (!isManifestLike(root.mediaType)) return [];
    return childrenOf(await readContent(source, root, this.#signal));
  }
}

/** The error for content that a store still does not give out after it got it again. */
export function stillBroken({ broken }: Copier, store: string): AirgapError {
  const all = [...broken.values()];
  const list = all.map(({ destination, digest }) => `${digest} of ${destination}`).join(", ");
  return new AirgapError(
    "corrupt",
    `${store} took these again, and still does not give them out whole: ${list}`,
    {
      suggestions: [
        "its cache may be stale: empty it (Harbor: docker exec redis redis-cli -n 1 flushdb), restart the registry, then run the same command again",
        "its storage may keep a damaged file: remove docker/registry/v2/blobs/sha256/<first two digits>/<digest>/data there, restart the registry, then run the same command again",
      ],
      data: { broken: all },
    },
  );
}

/** One artifact may have several tags. */
const keyOf = ({ descriptor, tag = "" }: AttachedCopy): string => `${descriptor.digest} ${tag}`;

const attachedToItself = (digest: string, { name }: Source): AirgapError =>
  new AirgapError("corrupt", `${digest} of ${name} is attached to itself, over others`);

/** Reads and parses a manifest or index. */
export async function readContent(
  source: Source,
  descriptor: Descriptor,
  signal?: AbortSignal,
): Promise<Manifest | Index> {
  const bytes = await readBlob(source, descriptor, MAX_MANIFEST_SIZE, signal);
  return parseManifest(bytes, descriptor.mediaType, `${descriptor.digest} of ${source.name}`);
}

/** The blobs of several graphs, each once, and their bytes: what a copy counts its progress by. */
export function planOf(graphs: Descriptor[][]): { items: number; bytes: number } {
  const blobs = new Map(
    graphs
      .flat()
      .flatMap(({ mediaType, digest, size }) => (isManifestLike(mediaType) ? [] : [[digest, size]])),
  );
  return { items: blobs.size, bytes: [...blobs.values()].reduce((sum, size) => sum + size, 0) };
}

/** Everything that a root reaches, itself included, each once; children before parents. */
export async function graphOf(
  source: Source,
  root: Descriptor,
  carries: (descriptor: Descriptor) => boolean = withoutForeign,
): Promise<Descriptor[]> {
  const found = new Map<Digest, Descriptor>();
  const add = async (descriptor: Descriptor, depth: number): Promise<void> => {
    if (found.has(descriptor.digest)) return;
    if (isManifestLike(descriptor.mediaType) && depth < MAX_INDEX_DEPTH) {
      for (const child of childrenOf(await readContent(source, descriptor)).filter(carries))
        await add(child, depth + 1);
    }
    found.set(descriptor.digest, descriptor);
  };
  await add(root, 0);
  return [...found.values()];
}

const none = (): { blobs: number; bytes: number } => ({ blobs: 0, bytes: 0 });
const inStore = (destination: Destination, digest: Digest): string => `${destination.store} ${digest}`;
