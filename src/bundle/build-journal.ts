import { appendFileSync, closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { type Digest, isDigest } from "../oci/digest.ts";

/** Progress is noted after this many bytes, of one blob or of all together. A kill loses at most this much. */
const STRIDE = 4 * 1024 * 1024;

/** How much of a blob is in the part file, as noted. It is trusted only after it is hashed. */
export type Progress = Map<Digest, number>;

/**
 * An append-only record of how far each blob was written. A line is written after its bytes, so that
 * after a kill it never claims too much; a line that the kill cut off is ignored.
 */
export class BuildJournal {
  readonly #fd: number;
  readonly #noted: Progress;
  /** Lines that are still to be written, and the bytes that they stand for. */
  #lines = "";
  #held = 0;

  private constructor(fd: number, noted: Progress) {
    this.#fd = fd;
    this.#noted = noted;
  }

  static open(path: string): { journal: BuildJournal; progress: Progress } {
    const progress: Progress = new Map();
    appendFileSync(path, "");
    for (const line of readFileSync(path, "latin1").split("\n").slice(0, -1)) {
      const [digest, offset, ...rest] = line.split(" ");
      if (rest.length === 0 && isDigest(digest) && /^\d+$/.test(offset ?? ""))
        progress.set(digest, Number(offset));
    }
    const fd = openSync(path, "a");
    return { journal: new BuildJournal(fd, new Map(progress)), progress };
  }

  /** Bytes `0 … written` of the blob are in the file. */
  note(digest: Digest, written: number, complete: boolean): void {
    const last = this.#noted.get(digest) ?? 0;
    if (!complete && written >= last && written - last < STRIDE) return;
    this.#noted.set(digest, written);
    this.#lines += `${digest} ${written}\n`;
    this.#held += written - last;
    // Bytes that must not be trusted any more are noted at once.
    if (written < last || this.#held >= STRIDE) this.#flush();
  }

  #flush(): void {
    if (this.#lines !== "") writeSync(this.#fd, this.#lines);
    this.#lines = "";
    this.#held = 0;
  }

  close(): void {
    this.#flush();
    closeSync(this.#fd);
  }
}
