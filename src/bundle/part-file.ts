import { existsSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { AirgapError, messageOf } from "../errors.ts";
import { formatBytes } from "../format.ts";
import type { Lock } from "../lock/lock.ts";
import { parseLock } from "../lock/parse.ts";
import { isRecord } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import type { Region } from "../transport/types.ts";
import { BuildJournal, type Progress } from "./build-journal.ts";
import { type Entry, encodeLock, type Layout } from "./layout.ts";
import { discardParts, firstPart, PartVolumes, presentBytes } from "./part-volumes.ts";
import { END_OF_ARCHIVE } from "./tar.ts";

/** Bytes that may be unwritten before a flush starts, so that the last flush does not have to write them all. */
const DIRTY = 64 * 1024 * 1024;

/** The files of a bundle under construction. */
const names = (output: string) => ({
  state: `${output}.part.json`,
  journal: `${output}.part.journal`,
});

/** What an interrupted build left: the lock that it followed, and the spec of that lock. */
export interface SavedBuild {
  specDigest: string;
  lock: Lock;
  /** Bytes; absent for a bundle in one file. */
  volumeSize?: number | undefined;
  /** Of what a delta leaves out. */
  delta?: Digest | undefined;
}

/** Reads what an interrupted build of `output` left; undefined when there is nothing or it is unreadable. */
export function savedBuild(output: string): SavedBuild | undefined {
  const { state } = names(output);
  if (!existsSync(state)) return undefined;
  try {
    const value: unknown = JSON.parse(readFileSync(state, "utf8"));
    if (!isRecord(value) || typeof value["specDigest"] !== "string" || !isRecord(value["lock"]))
      return undefined;
    const volumeSize = typeof value["volumeSize"] === "number" ? value["volumeSize"] : undefined;
    if (!existsSync(firstPart(output, volumeSize))) return undefined;
    return {
      specDigest: value["specDigest"],
      ...(volumeSize === undefined ? {} : { volumeSize }),
      ...(isDigest(value["delta"]) ? { delta: value["delta"] } : {}),
      lock: parseLock(Buffer.from(JSON.stringify(value["lock"])), state),
    };
  } catch {
    return undefined;
  }
}

export function discardBuild(output: string): void {
  for (const file of Object.values(names(output))) rmSync(file, { force: true });
  discardParts(output);
}

/** A bundle while it is built: every header is written, and blobs are written at their final offsets. */
export class PartFile {
  readonly #parts: PartVolumes;
  /** What an earlier run wrote; it is hashed before it is trusted. */
  readonly progress: Progress;
  readonly #output: string;
  readonly #layout: Layout;
  readonly #journal: BuildJournal;
  #dirty = 0;
  #syncing = false;
  #syncError: Error | undefined;

  private constructor(
    output: string,
    layout: Layout,
    parts: PartVolumes,
    opened: { journal: BuildJournal; progress: Progress },
  ) {
    this.#output = output;
    this.#layout = layout;
    this.#parts = parts;
    this.#journal = opened.journal;
    this.progress = opened.progress;
  }

  /**
   * Creates the part file, or resumes one that follows the same lock.
   * @throws AirgapError `disk` when the whole bundle does not fit, before a blob is fetched
   */
  static open(output: string, layout: Layout, saved: SavedBuild): PartFile {
    const { state, journal } = names(output);
    const { volumeSize } = saved;
    const before = savedBuild(output);
    const same =
      before !== undefined &&
      before.volumeSize === volumeSize &&
      before.delta === saved.delta &&
      encodeLock(before.lock).equals(encodeLock(saved.lock));
    if (!same) discardBuild(output);
    try {
      checkSpace(output, layout.size, same ? presentBytes(output, layout.size, volumeSize) : 0);
      const parts = PartVolumes.open(output, layout.size, volumeSize, same);
      for (const entry of layout.entries) writeFrame(parts, entry);
      parts.write(END_OF_ARCHIVE, layout.size - END_OF_ARCHIVE.length);
      if (!same) writeFileSync(state, JSON.stringify(saved));
      return new PartFile(output, layout, parts, BuildJournal.open(journal));
    } catch (cause) {
      throw cause instanceof AirgapError ? cause : diskError(output, cause);
    }
  }

  region(entry: Entry): Region {
    return this.#parts.region(entry.offset, entry.size);
  }

  /** Writes a chunk of a blob; `at` counts from the blob's first byte. @throws AirgapError `disk` */
  write(entry: Entry, chunk: Uint8Array, at: number): void {
    if (at + chunk.length > entry.size)
      throw new AirgapError(
        "corrupt",
        `${entry.digest} is longer than the ${entry.size} bytes of its descriptor`,
      );
    try {
      if (this.#syncError) throw this.#syncError;
      this.#parts.write(chunk, entry.offset + at);
    } catch (cause) {
      throw diskError(this.#output, cause);
    }
    this.#dirty += chunk.length;
    if (this.#dirty >= DIRTY && !this.#syncing) this.#sync();
    if (entry.digest) this.#journal.note(entry.digest, at + chunk.length, at + chunk.length === entry.size);
  }

  /** Flushes in the background what was written so far. The kernel reports an error only once, so it is kept. */
  #sync(): void {
    this.#dirty = 0;
    this.#syncing = true;
    this.#parts
      .flush()
      .catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EBADF") this.#syncError = error;
      })
      .finally(() => {
        this.#syncing = false;
      });
  }

  /** Forgets what was written of a blob, because it was wrong. */
  forget(entry: Entry): void {
    if (entry.digest) this.#journal.note(entry.digest, 0, true);
  }

  /** The finished files, each with where its bytes are now. */
  get files(): { path: string; region: Region }[] {
    const { regions } = this.#parts;
    return this.#parts.names.map((path, i) => ({ path, region: regions[i] as Region }));
  }

  /** Gives the finished bundle its name. */
  finish(): void {
    const { state, journal } = names(this.#output);
    try {
      if (this.#syncError) throw this.#syncError;
      this.#parts.finish();
      this.#journal.close();
    } catch (cause) {
      throw cause instanceof AirgapError ? cause : diskError(this.#output, cause);
    }
    rmSync(state, { force: true });
    rmSync(journal, { force: true });
  }

  close(): void {
    this.#parts.close();
    this.#journal.close();
  }

  get size(): number {
    return this.#layout.size;
  }
}

function writeFrame(parts: PartVolumes, entry: Entry): void {
  parts.write(entry.header, entry.headerOffset);
  if (entry.bytes) parts.write(entry.bytes, entry.offset);
}

function checkSpace(output: string, size: number, present: number): void {
  const { bavail, bsize } = statfsSync(dirname(output) || ".");
  const needed = size - present;
  if (bavail * bsize >= needed) return;
  throw new AirgapError(
    "disk",
    `${output} needs ${formatBytes(needed)}, but its file system has only ${formatBytes(bavail * bsize)} free; nothing was fetched`,
    {
      suggestions: ["name a file on a larger file system with -o"],
      data: { needed, available: bavail * bsize },
    },
  );
}

function diskError(output: string, cause: unknown): AirgapError {
  const code = (cause as { code?: string }).code;
  const suggestions =
    code === "ENOSPC" ? ["free some space and run the same command; it resumes where it stopped"] : [];
  return new AirgapError("disk", `Cannot write ${output}: ${messageOf(cause)}`, { cause, suggestions });
}
