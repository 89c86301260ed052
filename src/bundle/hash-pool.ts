import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { AirgapError } from "../errors.ts";
import { algorithmOf, type Digest } from "../oci/digest.ts";
import type { Region } from "../transport/types.ts";
import { hashRegion } from "./hash-region.ts";

export interface HashJob {
  id: number;
  region: Region;
  algorithm: "sha256" | "sha512";
}

interface HashAnswer {
  id: number;
  hex?: string;
  read?: number;
  error?: string;
}

interface Waiting {
  resolve(answer: HashAnswer): void;
  reject(error: Error): void;
}

/** Measured: more than four workers gain nothing before the disk is the limit. */
export const MAX_WORKERS = 4;

/** Regions up to this size are hashed here: a trip to a worker costs more than the hashing. Bytes. */
export const SMALL = 128 * 1024;

/** The work that must wait for each worker before another worker is worth its start and its 8 MB. Bytes. */
const BACKLOG = 32 * 1024 * 1024;

/** A worker only hashes. */
const RESOURCES = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16, stackSizeMb: 1 };

/** A thread that hashes: `hash-worker.ts` says what it takes. */
export function startHashWorker(): Worker {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return new Worker(new URL(`./hash-worker.${extension}`, import.meta.url), { resourceLimits: RESOURCES });
}

/**
 * Hashes regions of files in worker threads. A descriptor is shared by the whole process, so the
 * bytes come from the page cache and are not copied between threads.
 */
export class HashPool {
  readonly #workers: { worker: Worker; load: number }[] = [];
  readonly #waiting = new Map<number, Waiting>();
  readonly #limit: number;
  readonly #buffer = Buffer.allocUnsafe(SMALL);
  #next = 0;

  constructor(workers = Math.min(availableParallelism(), MAX_WORKERS)) {
    this.#limit = Math.max(1, workers);
  }

  /** The digest of what is there now; `read < size` when the file ends inside the region. */
  async digest(
    region: Region,
    algorithm: "sha256" | "sha512" = "sha256",
  ): Promise<{ digest: Digest; read: number }> {
    if (region.size <= SMALL) {
      const { hex, read } = hashRegion(this.#buffer, region, algorithm);
      return { digest: `${algorithm}:${hex}`, read };
    }
    const slot = this.#slot();
    const id = this.#next++;
    slot.load += region.size;
    try {
      const answer = await new Promise<HashAnswer>((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject });
        slot.worker.postMessage({ id, region, algorithm } satisfies HashJob);
      });
      if (answer.error !== undefined)
        throw new AirgapError(
          "disk",
          `reading ${region.size} bytes at ${region.offset} failed: ${answer.error}`,
        );
      return { digest: `${algorithm}:${answer.hex ?? ""}`, read: answer.read ?? 0 };
    } finally {
      this.#waiting.delete(id);
      slot.load -= region.size;
    }
  }

  async matches(region: Region, digest: Digest): Promise<boolean> {
    const found = await this.digest(region, algorithmOf(digest));
    return found.digest === digest && found.read === region.size;
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map(({ worker }) => worker.terminate()));
  }

  /** The least busy worker; a new one while there are fewer than allowed and all have much to do. */
  #slot(): { worker: Worker; load: number } {
    const least = this.#workers.reduce<{ worker: Worker; load: number } | undefined>(
      (best, slot) => (best && best.load <= slot.load ? best : slot),
      undefined,
    );
    if (least && (least.load < BACKLOG || this.#workers.length >= this.#limit)) return least;
    const worker = startHashWorker();
    worker.on("message", (answer: HashAnswer) => this.#waiting.get(answer.id)?.resolve(answer));
    worker.on("error", (error: Error) => {
      for (const { reject } of this.#waiting.values()) reject(error);
    });
    const slot = { worker, load: 0 };
    this.#workers.push(slot);
    return slot;
  }
}
