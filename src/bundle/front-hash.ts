import { basename } from "node:path";
import type { Worker } from "node:worker_threads";
import { AirgapError } from "../errors.ts";
import { slice } from "../transport/region.ts";
import type { Region } from "../transport/types.ts";
import { startHashWorker } from "./hash-pool.ts";
import type { Entry, Layout } from "./layout.ts";

/** Bytes that must be ready before the worker is told of them. */
const STEP = 8 * 1024 * 1024;

/** A piece of a file, in order; the last one of a file asks for its hash. */
export interface FrontJob {
  front: "more" | "last";
  region: Region;
}

export interface FrontAnswer {
  hex?: string;
  error?: string;
}

/**
 * Hashes the files of a bundle while it is written, from the front: as far as every blob is there
 * and right. So the bytes still lie in memory, and little is left to hash at the end.
 */
export class FrontHash {
  readonly #layout: Layout;
  readonly #files: { path: string; region: Region }[];
  readonly #ready = new Set<Entry>();
  readonly #sums = new Map<string, string>();
  #worker: Worker | undefined;
  /** The first entry that is not ready. */
  #next = 0;
  /** Where hashing has come: a file, and a byte of it. */
  #file = 0;
  #at = 0;
  /** Bytes of the files before that one. */
  #before = 0;
  #settle: { resolve(sums: Map<string, string>): void; reject(error: Error): void } | undefined;
  #failure: Error | undefined;

  /** @param files  in order; together they have every byte of the layout */
  constructor(layout: Layout, files: { path: string; region: Region }[]) {
    this.#layout = layout;
    this.#files = files;
    for (const entry of layout.entries) if (entry.bytes) this.#ready.add(entry);
  }

  /** An entry is written, and nobody will write it again. */
  add(entry: Entry): void {
    this.#ready.add(entry);
    const { entries } = this.#layout;
    while (this.#next < entries.length && this.#ready.has(entries[this.#next] as Entry)) {
      this.#ready.delete(entries[this.#next] as Entry);
      this.#next++;
    }
    const front = entries[this.#next]?.headerOffset ?? 0;
    if (front - this.#before - this.#at >= STEP) this.#advance(front);
  }

  /** When all is written. @returns SHA-256 by file name, hexadecimal; @throws AirgapError `disk` */
  async sums(): Promise<Map<string, string>> {
    const all = new Promise<Map<string, string>>((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#advance(this.#layout.size);
    this.#check();
    return await all;
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  /** @param front  everything before it is final; bytes from the start of the bundle */
  #advance(front: number): void {
    for (let file = this.#files[this.#file]; file; file = this.#files[this.#file]) {
      const to = Math.min(front - this.#before, file.region.size);
      const last = to === file.region.size;
      if (to > this.#at || last)
        this.#post({ front: last ? "last" : "more", region: slice(file.region, this.#at, to - this.#at) });
      this.#at = to;
      if (!last) return;
      this.#before += to;
      this.#at = 0;
      this.#file++;
    }
  }

  #post(job: FrontJob): void {
    if (this.#worker === undefined) {
      this.#worker = startHashWorker();
      this.#worker.on("message", (answer: FrontAnswer) => this.#take(answer));
      this.#worker.on("error", (error: Error) => this.#fail(error));
    }
    this.#worker.postMessage(job);
  }

  #take({ hex, error }: FrontAnswer): void {
    const file = this.#files[this.#sums.size];
    if (hex === undefined || file === undefined) {
      this.#fail(new AirgapError("disk", `hashing what was written failed: ${error}`));
      return;
    }
    this.#sums.set(basename(file.path), hex);
    this.#check();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#check();
  }

  #check(): void {
    if (this.#failure) this.#settle?.reject(this.#failure);
    else if (this.#sums.size === this.#files.length) this.#settle?.resolve(this.#sums);
  }
}
