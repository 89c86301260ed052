import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../atomic.ts";
import { AirgapError } from "../errors.ts";
import type { Http } from "../http.ts";
import { readPlace } from "../transport/url.ts";

/** Thrown by who reads the start of a file and needs more of it. */
export class NeedMore extends Error {
  /** From the start of the file. */
  readonly bytes: number;

  constructor(bytes: number) {
    super(`${bytes} bytes are needed`);
    this.bytes = bytes;
  }
}

const MAX_HEAD = 160 << 20;

/** A package whose start is to be read. */
export interface Headed {
  id: string;
  places: string[];
  http: Http;
  /** Bytes of the whole file. */
  size: number;
  checksum: { algorithm: string; value: string };
}

/**
 * The start of a package: header or control file, all that has to be looked at while resolving.
 * Kept between runs under the checksum of the whole package.
 */
export class Heads {
  readonly #dir: string;

  constructor(cacheDir: string) {
    this.#dir = join(cacheDir, "packages", "heads");
  }

  /**
   * Reads as much as `parse` asks for, and keeps it when `check` finds it good.
   * @param guess bytes to begin with
   */
  async read<T>(
    of: Headed,
    guess: number,
    parse: (bytes: Buffer) => T | Promise<T>,
    check: (parsed: T, bytes: Buffer) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<T> {
    const file = join(this.#dir, `${of.checksum.algorithm}-${of.checksum.value}`);
    const kept = await readFile(file).catch(() => undefined);
    if (kept !== undefined) {
      const parsed = await this.#tryParse(kept, parse);
      if (parsed !== undefined) {
        await check(parsed, kept);
        return parsed;
      }
    }
    for (let wanted = Math.min(guess, of.size); ; ) {
      const bytes = await readStart(of, wanted, signal);
      try {
        const parsed = await parse(bytes);
        await check(parsed, bytes);
        await this.#keep(file, bytes);
        return parsed;
      } catch (error) {
        if (!(error instanceof NeedMore)) throw error;
        if (error.bytes > of.size)
          throw new AirgapError(
            "corrupt",
            `${of.id} ends in the middle of its header: it has ${of.size} bytes, ${error.bytes} are needed`,
          );
        if (error.bytes > MAX_HEAD)
          throw new AirgapError(
            "unsupported",
            `${of.id} has a header of ${error.bytes} bytes, more than is read here`,
          );
        wanted = error.bytes;
      }
    }
  }

  async #tryParse<T>(bytes: Buffer, parse: (bytes: Buffer) => T | Promise<T>): Promise<T | undefined> {
    try {
      return await parse(bytes);
    } catch {
      return undefined;
    }
  }

  async #keep(file: string, bytes: Buffer): Promise<void> {
    await mkdir(this.#dir, { recursive: true });
    await replaceFile(file, (draft) => writeFile(draft, bytes), { durable: false });
  }
}

/** From the first place that has it. */
async function readStart(
  { http, places, size }: Headed,
  wanted: number,
  signal?: AbortSignal,
): Promise<Buffer> {
  let failure: unknown;
  for (const place of places) {
    try {
      const length = Math.min(wanted, size);
      return await readPlace(http, place, length, { offset: 0, length }, signal);
    } catch (error) {
      signal?.throwIfAborted();
      failure ??= error;
    }
  }
  throw failure;
}
