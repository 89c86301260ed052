import { appendFileSync, closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { type Digest, isDigest } from "../oci/digest.ts";

/** Progress is noted each time so many bytes have been written, of one blob or of all together: what a kill can cost. */
const STRIDE = 4 * 1024 * 1024;

/** How much of a blob stands in the part file, as far as was noted. Nothing of it is believed before it is hashed. */
export type Progress = Map<Digest, number>;

/**
 * An append-only note of how far each blob was written. A line is written after its bytes, so that
 * after a kill it never says too much; a line cut off by the kill is passed over.
 */
export class BuildJournal {
  readonly #fd: number;
  readonly #noted: Progress;
  /** Lines that are to be written, and the bytes that they speak of. */
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

  /** Bytes `0 … written` of the blob stand in the file. */
  note(digest: Digest, written: number, complete: boolean): void {
    const last = this.#noted.get(digest) ?? 0;
    if (!complete && written >= last && written - last < STRIDE) return;
    this.#noted.set(digest, written);
    this.#lines += `${digest} ${written}\n`;
    this.#held += written - last;
    // What must not be believed any more is noted at once.
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
