import { createHash, type Hash, randomUUID } from "node:crypto";
import { type FileHandle, open, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isRecord } from "../../src/oci/descriptor.ts";
import type { Digest } from "../../src/oci/digest.ts";
import { ifThere, removeFile, textOf } from "./durable.ts";
import { KeyedMutex } from "./mutex.ts";
import type { StorePaths } from "./paths.ts";

type Algorithm = "sha256" | "sha512";

/** Bytes collected before they are written: 512 KiB, less when many uploads run, 32 MiB in all. */
const BATCH = 512 << 10;
const MIN_BATCH = 64 << 10;
const BUDGET = 32 << 20;
const REREAD = 1 << 20;
/** Sessions that nobody has touched for a day are given up. Milliseconds. */
export const SESSION_LIFETIME = 24 * 3600 * 1000;

const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

let receiving = 0;
const batchSize = (): number => Math.max(MIN_BATCH, Math.min(BATCH, BUDGET / receiving));

/** A blob on its way in. What has arrived stays, also over a restart, so that the client can go on. */
export class UploadSession {
  readonly id: string;
  readonly repository: string;
  readonly file: string;
  /** Bytes received and written. */
  size: number;
  #algorithm: Algorithm;
  /** Of the first `size` bytes; undefined after a restart. */
  #hash: Hash | undefined;

  constructor(id: string, repository: string, file: string, state: { algorithm: Algorithm; size: number }) {
    this.id = id;
    this.repository = repository;
    this.file = file;
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
    receiving++;
    try {
      for await (const chunk of body) {
        batch.push(chunk);
        bytes += chunk.length;
        if (bytes >= batchSize()) await flushBatch();
      }
    } finally {
      receiving--;
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
      const { bytesWritten } = await file.writev(left, this.size + done);
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

/** Gives a chunk's memory back at once: the collector lets a hundred megabytes of them pile up first. */
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

/** All upload sessions of a store. */
export class Uploads {
  readonly #paths: StorePaths;
  readonly #sessions = new Map<string, UploadSession>();
  readonly #turns = new KeyedMutex();
  readonly #interrupt = new Map<string, () => void>();

  constructor(paths: StorePaths) {
    this.#paths = paths;
  }

  async create(repository: string, algorithm: Algorithm = "sha256"): Promise<UploadSession> {
    const id = randomUUID();
    const session = new UploadSession(id, repository, this.#file(id, "data"), { algorithm, size: 0 });
    await writeFile(session.file, "");
    await writeFile(this.#file(id, "json"), JSON.stringify({ repository, algorithm }));
    this.#sessions.set(id, session);
    return session;
  }

  async find(repository: string, id: string): Promise<UploadSession | undefined> {
    if (!ID.test(id)) return undefined;
    const loaded = this.#sessions.get(id) ?? (await this.#load(id));
    if (loaded?.repository !== repository) return undefined;
    const session = this.#sessions.get(id) ?? loaded;
    this.#sessions.set(id, session);
    return session;
  }

  /**
   * One request at a time works on a session. The newest one wins: a client comes back over a new
   * connection when its old one has died, which this side may not have noticed yet.
   * @param interrupt ends this request's own body, should another one come
   */
  async exclusively<T>(id: string, interrupt: () => void, work: () => Promise<T>): Promise<T> {
    this.#interrupt.get(id)?.();
    this.#interrupt.set(id, interrupt);
    try {
      return await this.#turns.run(id, work);
    } finally {
      if (this.#interrupt.get(id) === interrupt) this.#interrupt.delete(id);
    }
  }

  /** Forgets a session; its file may have moved on already. */
  async end(session: UploadSession): Promise<void> {
    this.#sessions.delete(session.id);
    await removeFile(this.#file(session.id, "json"));
    await removeFile(session.file);
  }

  /** Removes sessions that were given up. */
  async sweep(lifetime: number = SESSION_LIFETIME, now: number = Date.now()): Promise<void> {
    for (const name of await readdir(this.#paths.uploads)) {
      const path = join(this.#paths.uploads, name);
      const found = await ifThere(stat(path));
      const id = name.replace(/\.(?:data|json)$/, "");
      const newest = Math.max(
        found?.mtimeMs ?? now,
        (await ifThere(stat(this.#file(id, "data"))))?.mtimeMs ?? 0,
      );
      if (now - newest < lifetime || this.#interrupt.has(id)) continue;
      this.#sessions.delete(id);
      await removeFile(path);
    }
  }

  async #load(id: string): Promise<UploadSession | undefined> {
    const text = await textOf(this.#file(id, "json"));
    const data = await ifThere(stat(this.#file(id, "data")));
    if (text === undefined || data === undefined) return undefined;
    const state = parse(text);
    if (!isRecord(state) || typeof state.repository !== "string") return undefined;
    const algorithm = state.algorithm === "sha512" ? "sha512" : "sha256";
    return new UploadSession(id, state.repository, this.#file(id, "data"), { algorithm, size: data.size });
  }

  #file(id: string, suffix: "data" | "json"): string {
    return join(this.#paths.uploads, `${id}.${suffix}`);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
