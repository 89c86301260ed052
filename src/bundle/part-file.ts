import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { syncFolder } from "../atomic.ts";
import { AirgapError, Exit, messageOf } from "../errors.ts";
import { formatBytes } from "../format.ts";
import type { Lock } from "../lock/lock.ts";
import { parseLock } from "../lock/parse.ts";
import { isRecord } from "../oci/descriptor.ts";
import type { Region } from "../transport/types.ts";
import { BuildJournal, type Progress } from "./build-journal.ts";
import { type Entry, encodeLock, type Layout } from "./layout.ts";
import { END_OF_ARCHIVE } from "./tar.ts";

/** Bytes that may be unwritten before a flush starts, so that the last flush does not have to write them all. */
const DIRTY = 64 * 1024 * 1024;

/** The files of a bundle under construction. */
const names = (output: string) => ({
  part: `${output}.part`,
  state: `${output}.part.json`,
  journal: `${output}.part.journal`,
});

/** What an interrupted build left: the lock that it followed, and the spec of that lock. */
export interface SavedBuild {
  specDigest: string;
  lock: Lock;
}

/** Reads what an interrupted build of `output` left; undefined when there is nothing or it is unreadable. */
export function savedBuild(output: string): SavedBuild | undefined {
  const { part, state } = names(output);
  if (!existsSync(part) || !existsSync(state)) return undefined;
  try {
    const value: unknown = JSON.parse(readFileSync(state, "utf8"));
    if (!isRecord(value) || typeof value["specDigest"] !== "string" || !isRecord(value["lock"]))
      return undefined;
    return {
      specDigest: value["specDigest"],
      lock: parseLock(Buffer.from(JSON.stringify(value["lock"])), state),
    };
  } catch {
    return undefined;
  }
}

export function discardBuild(output: string): void {
  for (const file of Object.values(names(output))) rmSync(file, { force: true });
}

/** A bundle while it is built: every header is written, and blobs are written at their final offsets. */
export class PartFile {
  readonly fd: number;
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
    fd: number,
    opened: { journal: BuildJournal; progress: Progress },
  ) {
    this.#output = output;
    this.#layout = layout;
    this.fd = fd;
    this.#journal = opened.journal;
    this.progress = opened.progress;
  }

  /**
   * Creates the part file, or resumes one that follows the same lock.
   * @throws AirgapError `disk` when the whole bundle does not fit, before a blob is fetched
   */
  static open(output: string, layout: Layout, saved: SavedBuild): PartFile {
    const { part, state, journal } = names(output);
    const before = savedBuild(output);
    const same = before !== undefined && encodeLock(before.lock).equals(encodeLock(saved.lock));
    if (!same) discardBuild(output);
    try {
      checkSpace(output, layout.size, same ? statSync(part).blocks * 512 : 0);
      const fd = openSync(part, same ? "r+" : "w+", 0o644);
      ftruncateSync(fd, layout.size);
      for (const entry of layout.entries) writeFrame(fd, entry);
      writeAll(fd, END_OF_ARCHIVE, layout.size - END_OF_ARCHIVE.length);
      if (!same) writeFileSync(state, JSON.stringify(saved));
      return new PartFile(output, layout, fd, BuildJournal.open(journal));
    } catch (cause) {
      throw cause instanceof AirgapError ? cause : diskError(output, cause);
    }
  }

  region(entry: Entry): Region {
    return { fd: this.fd, offset: entry.offset, size: entry.size };
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
      writeAll(this.fd, chunk, entry.offset + at);
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
    fdatasync(this.fd, (error) => {
      this.#syncing = false;
      if (error && error.code !== "EBADF") this.#syncError = error;
    });
  }

  /** Forgets what was written of a blob, because it was wrong. */
  forget(entry: Entry): void {
    if (entry.digest) this.#journal.note(entry.digest, 0, true);
  }

  /** Gives the finished bundle its name. */
  finish(): void {
    const { part, state, journal } = names(this.#output);
    try {
      if (this.#syncError) throw this.#syncError;
      fsyncSync(this.fd);
      this.#checkStillOurs(part);
      this.close();
      renameSync(part, this.#output);
      syncFolder(dirname(this.#output));
    } catch (cause) {
      throw cause instanceof AirgapError ? cause : diskError(this.#output, cause);
    }
    rmSync(state, { force: true });
    rmSync(journal, { force: true });
  }

  /** On a file system that two hosts share, neither sees the lock that the other holds. */
  #checkStillOurs(part: string): void {
    const own = fstatSync(this.fd);
    const named = statSync(part);
    if (own.ino === named.ino && own.dev === named.dev) return;
    throw new AirgapError("conflict", `Another build uses ${part} now; this build ends without a bundle`, {
      exit: Exit.failed,
    });
  }

  close(): void {
    closeSync(this.fd);
    this.#journal.close();
  }

  get size(): number {
    return this.#layout.size;
  }
}

function writeFrame(fd: number, entry: Entry): void {
  writeAll(fd, entry.header, entry.headerOffset);
  if (entry.bytes) writeAll(fd, entry.bytes, entry.offset);
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
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
