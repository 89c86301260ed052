import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import type { Digest } from "../../src/oci/digest.ts";
import type { Intake } from "./intake.ts";

export type Algorithm = "sha256" | "sha512";

const REREAD = 1 << 20;

/** A blob that is being received. Its bytes stay over a restart, so that the client can resume. */
export class UploadSession {
  readonly id: string;
  readonly repository: string;
  readonly file: string;
  /** Bytes received and written. */
  size: number;
  #algorithm: Algorithm;
  /** Of the first `size` bytes; undefined after a restart. */
  #hash: Hash | undefined;
  readonly #intake: Intake;

  constructor(
    about: { id: string; repository: string; file: string },
    state: { algorithm: Algorithm; size: number },
    intake: Intake,
  ) {
    this.id = about.id;
    this.repository = about.repository;
    this.file = about.file;
    this.#intake = intake;
    this.size = state.size;
    this.#algorithm = state.algorithm;
    this.#hash = state.size === 0 ? createHash(state.algorithm) : undefined;
  }

  /** Says which digest will be asked for, before the first byte: saves reading everything again. */
  expect(algorithm: Algorithm): void {
    if (this.size > 0 || algorithm === this.#algorithm) return;
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  /** Writes what comes in behind what is there. When it breaks off, what has arrived counts. */
  async append(body: AsyncIterable<Buffer>): Promise<void> {
    const file = await open(this.file, "r+");
    let batch: Buffer[] = [];
    let bytes = 0;
    let writing: Promise<void> = Promise.resolve();
    const flushBatch = async (): Promise<void> => {
      await writing;
      writing = this.#write(file, batch, bytes);
      writing.catch(() => {});
      batch = [];
      bytes = 0;
    };
    this.#intake.begin();
    try {
      for await (const chunk of body) {
        batch.push(chunk);
        bytes += chunk.length;
        if (bytes >= this.#intake.batchSize) await flushBatch();
      }
    } finally {
      this.#intake.end();
      try {
        await flushBatch();
        await writing;
      } finally {
        await file.close();
      }
    }
  }

  async #write(file: FileHandle, batch: Buffer[], bytes: number): Promise<void> {
    for (let left = batch, done = 0; done < bytes; ) {
      const { bytesWritten } = await this.#intake.withRoom(() => file.writev(left, this.size + done));
      done += bytesWritten;
      left = done < bytes ? [Buffer.concat(left).subarray(bytesWritten)] : [];
    }
    for (const chunk of batch) this.#hash?.update(chunk);
    this.size += bytes;
    for (const chunk of batch) free(chunk);
  }

  /** The digest of everything received, the file cut to that and flushed to the disk. */
  async finish(algorithm: Algorithm): Promise<Digest> {
    const file = await open(this.file, "r+");
    try {
      await file.truncate(this.size);
      const known = this.#hash !== undefined && this.#algorithm === algorithm ? this.#hash.copy() : undefined;
      const hash = known ?? (await rehash(file, algorithm, this.size));
      await file.datasync();
      return `${algorithm}:${hash.digest("hex")}`;
    } finally {
      await file.close();
    }
  }
}

/** Frees a chunk's memory at once: the garbage collector would let a hundred megabytes pile up first. */
function free(chunk: Buffer): void {
  if (chunk.length === chunk.buffer.byteLength && chunk.buffer instanceof ArrayBuffer)
    chunk.buffer.transfer(0);
}

async function rehash(file: FileHandle, algorithm: Algorithm, size: number): Promise<Hash> {
  const hash = createHash(algorithm);
  const buffer = Buffer.allocUnsafeSlow(Math.min(REREAD, Math.max(size, 1)));
  for (let done = 0; done < size; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, size - done), done);
    if (bytesRead === 0) throw new Error("an upload's file got shorter");
    hash.update(buffer.subarray(0, bytesRead));
    done += bytesRead;
  }
  return hash;
}
