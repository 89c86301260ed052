import { createHash, type Hash } from "node:crypto";
import { availableParallelism } from "node:os";
import pLimit, { type LimitFunction } from "p-limit";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf, finish } from "../oci/digest.ts";
import { RateLimit } from "../transport/rate.ts";
import type { Source } from "../transport/types.ts";
import { allOf } from "./all-errors.ts";
import { HashPool, MAX_WORKERS, SMALL } from "./hash-pool.ts";
import type { Entry, Layout } from "./layout.ts";
import type { PartFile } from "./part-file.ts";

/** A blob to be written, with every place that has it; tried in order. */
export interface WantedBlob {
  descriptor: Descriptor;
  sources: Source[];
  /** The item that it belongs to, for people. */
  name?: string;
}

export interface FillOptions {
  /** Blobs at a time; by default as many as their hosts can handle. */
  concurrency?: number | undefined;
  /** Bytes a second, of all blobs together. */
  limitRate?: number | undefined;
  /** Fetch the other blobs when one cannot be had, and fail with all of them at the end. */
  keepGoing?: boolean | undefined;
  /** Told of each blob once it is written and right. */
  written?: ((entry: Entry) => void) | undefined;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

/** Blobs at a time from sources without limits of their own; the fast lane has its own. */
const AT_ONCE = 16;
const AT_ONCE_BY_LANE = 64;

/** Receiving and hashing the bundle from the front take a core each; a third thread would only share them. */
const FEW_CORES = availableParallelism() <= 2;

/**
 * Writes every blob at its offset in the part file: several at a time, in the order of the tar, each
 * byte once. What an earlier run left is hashed and kept, or resumed; a blob counts only when its
 * digest is right.
 * @throws AirgapError `corrupt`, `network`, `not-found` …: of the first blob that cannot be read
 */
export async function fill(
  part: PartFile,
  layout: Layout,
  wanted: Iterable<WantedBlob>,
  options: FillOptions,
): Promise<void> {
  // Who is told of what was written has a thread of its own for it.
  const pool = new HashPool(options.written && Math.min(availableParallelism(), MAX_WORKERS) - 1);
  const rate = options.limitRate === undefined ? undefined : new RateLimit(options.limitRate);
  const [ordinary, fast] = [AT_ONCE, AT_ONCE_BY_LANE].map((most) => pLimit(options.concurrency ?? most)) as [
    LimitFunction,
    LimitFunction,
  ];
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const jobs = inOrder([...wanted], layout);
  options.emit({
    type: "plan",
    items: jobs.length,
    bytes: jobs.reduce((sum, { descriptor }) => sum + descriptor.size, 0),
    names: new Map(jobs.flatMap(({ descriptor, name }) => (name ? [[descriptor.digest, name]] : []))),
  });
  try {
    const results = jobs.map(async (job) => {
      const entry = layout.byDigest.get(job.descriptor.digest);
      if (entry === undefined) throw new Error(`${job.descriptor.digest} has no place in the layout`);
      const blob = new BlobFill(part, entry, job, { ...options, signal, rate }, pool);
      for (let right = await blob.kept(); !right; ) {
        await (blob.byLane ? fast : ordinary)(() => blob.write());
        right = await blob.right();
        if (!right) await blob.refused();
      }
      options.written?.(entry);
    });
    // All jobs must end before the file may be closed, whichever failed first.
    const first = await Promise.race([
      Promise.allSettled(results).then(() => undefined),
      firstFailure(results),
    ]);
    if (first !== undefined && !options.keepGoing) stop.abort(first);
    const settled = await Promise.allSettled(results);
    options.signal?.throwIfAborted();
    if (first === undefined) return;
    throw options.keepGoing
      ? allOf(settled.flatMap((each) => (each.status === "rejected" ? [each.reason] : [])))
      : first;
  } finally {
    await pool.close();
  }
}

/**
 * In the order of the tar, so that whoever hashes it from the front keeps up. Only a blob that could be left over
 * alone at the end goes first, the largest first.
 */
function inOrder(wanted: WantedBlob[], { byDigest }: Layout): WantedBlob[] {
  const size = ({ descriptor }: WantedBlob): number => descriptor.size;
  const place = ({ descriptor }: WantedBlob): number => byDigest.get(descriptor.digest)?.offset ?? 0;
  const large = wanted.reduce((sum, blob) => sum + size(blob), 0) / AT_ONCE;
  const first = wanted.filter((blob) => size(blob) > large).toSorted((a, b) => size(b) - size(a));
  const rest = wanted.filter((blob) => size(blob) <= large).toSorted((a, b) => place(a) - place(b));
  return [...first, ...rest];
}

/** The first error of several jobs; never settles when all succeed. */
function firstFailure(results: Promise<void>[]): Promise<unknown> {
  return new Promise((resolve) => {
    for (const result of results) result.catch(resolve);
  });
}

interface Working {
  signal: AbortSignal;
  rate: RateLimit | undefined;
}

/** One blob on its way into the part file. */
class BlobFill {
  readonly #part: PartFile;
  readonly #entry: Entry;
  readonly #descriptor: Descriptor;
  readonly #sources: Source[];
  readonly #options: FillOptions & Working;
  readonly #pool: HashPool;
  #written: number;
  /** True while every byte came in this run from one source in one piece; a wrong digest then proves that source bad. */
  #pure = true;
  #resumed = false;
  #restarted = false;
  /** Of a blob that is read from its start and hashed on the way. */
  #hash: Hash | undefined;

  constructor(
    part: PartFile,
    entry: Entry,
    { descriptor, sources }: WantedBlob,
    options: FillOptions & Working,
    pool: HashPool,
  ) {
    this.#part = part;
    this.#entry = entry;
    this.#descriptor = descriptor;
    this.#sources = [...sources];
    this.#options = options;
    this.#pool = pool;
    this.#written = Math.min(part.progress.get(descriptor.digest) ?? 0, descriptor.size);
  }

  /** Whether the blob will be fetched by the fast lane. */
  get byLane(): boolean {
    return this.#options.rate === undefined && this.#sources[0]?.writeTo !== undefined;
  }

  /** Whether an earlier run wrote the whole blob with the right content. */
  async kept(): Promise<boolean> {
    if (this.#written === 0) return false;
    this.#pure = false;
    if (this.#written < this.#descriptor.size) return false;
    if (await this.#pool.matches(this.#part.region(this.#entry), this.#descriptor.digest)) {
      this.#done("present");
      return true;
    }
    this.#restart();
    return false;
  }

  /** Writes what is missing. */
  async write(): Promise<void> {
    const { digest, size } = this.#descriptor;
    const resumed = this.#written > 0;
    this.#resumed = resumed;
    if (resumed) this.#options.emit({ type: "progress", item: digest, bytes: this.#written, had: true });
    if (!resumed) this.#hash = this.#freshHash();
    for (let first = true; this.#written < size || (size === 0 && first); first = false) {
      try {
        await this.#writeTo((chunk) => {
          this.#part.write(this.#entry, chunk, this.#written);
          this.#written += chunk.length;
          this.#hash?.update(chunk);
          this.#options.emit({ type: "progress", item: digest, bytes: chunk.length });
        });
        if (this.#written < size)
          throw new AirgapError("network", `${digest} ended after ${this.#written} of ${size} bytes`);
      } catch (error) {
        this.#failOver(error);
      }
    }
  }

  /** Whether the digest of what was written is right; if not, `refused` decides how to continue. */
  async right(): Promise<boolean> {
    const { digest } = this.#descriptor;
    const right = this.#hash
      ? finish(this.#hash, algorithmOf(digest)) === digest
      : await this.#pool.matches(this.#part.region(this.#entry), digest);
    if (right) this.#done(this.#resumed ? "resumed" : "done");
    return right;
  }

  /** After wrong bytes: from the start again when they came in pieces, otherwise from the next source. */
  async refused(): Promise<void> {
    const { digest } = this.#descriptor;
    const from = this.#sources[0]?.name ?? "nowhere";
    if (this.#pure && !this.#sources[0]?.refuse?.(this.#descriptor)) this.#sources.shift();
    if (this.#sources.length === 0) {
      throw new AirgapError(
        "corrupt",
        `${from} sent the wrong content for ${digest}: ${this.#descriptor.size} bytes with another digest`,
        {
          suggestions: [
            from.startsWith("docker://")
              ? "ask the registry's owner to push the image again, or name another mirror under sources:"
              : "it changed since it was locked; to accept the change, build again without --locked",
          ],
        },
      );
    }
    this.#options.emit({
      type: "warning",
      message: `${digest} from ${from} had the wrong content; fetching it again`,
    });
    this.#restart();
  }

  #restart(): void {
    this.#restarted = true;
    this.#part.forget(this.#entry);
    this.#options.emit({
      type: "progress",
      item: this.#descriptor.digest,
      bytes: -this.#written,
      had: true,
    });
    this.#written = 0;
    this.#pure = true;
    this.#hash = this.#freshHash();
  }

  /** Of what comes from the start of a blob, where hashing it here costs less than a thread's reading it again. */
  #freshHash(): Hash | undefined {
    const { digest, size } = this.#descriptor;
    return size <= SMALL || FEW_CORES ? createHash(algorithmOf(digest)) : undefined;
  }

  async #writeTo(sink: (chunk: Uint8Array) => void): Promise<void> {
    const [source] = this.#sources;
    const { signal, rate } = this.#options;
    signal.throwIfAborted();
    if (source === undefined)
      throw new AirgapError("not-found", `${this.#descriptor.digest} is missing from every source`);
    const range = { offset: this.#written };
    // The fast lane cannot wait; a limited line needs no fast lane.
    if (source.writeTo && rate === undefined) return source.writeTo(this.#descriptor, range, sink, signal);
    for await (const chunk of (await source.fetch(
      this.#descriptor,
      this.#written > 0 ? { range, signal } : { signal },
    )) as AsyncIterable<Buffer>) {
      await rate?.take(chunk.length, signal);
      sink(chunk);
    }
  }

  /** Changes to the next source; the retries of this one are used up. @throws the error when there is no next source */
  #failOver(error: unknown): void {
    this.#options.signal.throwIfAborted();
    if (isAirgapError(error, "disk", "interrupted")) throw error;
    this.#pure = false;
    // A server that cannot send a range may still send the whole blob.
    const whole =
      this.#written > 0 && !this.#restarted && isAirgapError(error, "protocol", "refused", "unsupported");
    const elsewhere = isAirgapError(error, "corrupt") && this.#sources[0]?.refuse?.(this.#descriptor);
    if (elsewhere)
      this.#options.emit({
        type: "warning",
        message: `${messageOf(error)}; it is fetched from another mirror`,
      });
    if (!whole && !elsewhere) this.#sources.shift();
    if (this.#sources.length === 0) throw error;
    this.#restart();
  }

  #done(state: "done" | "present" | "resumed"): void {
    this.#options.emit({ type: "item", item: this.#descriptor.digest, state, bytes: this.#descriptor.size });
  }
}
