import { read, readSync } from "node:fs";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { AirgapError } from "../errors.ts";
import type { Region } from "./types.ts";

const readAsync = promisify(read);
const CHUNK = 256 * 1024;

/** The part of a region from `from` on, which may lie in several files. Bytes. */
export function slice(region: Region, from: number, size: number): Region {
  const { fd, offset, rest } = region;
  const own = region.size - (rest?.size ?? 0);
  if (rest === undefined || from + size <= own) return { fd, offset: offset + from, size };
  if (from >= own) return slice(rest, from - own, size);
  return { fd, offset: offset + from, size, rest: slice(rest, 0, size - (own - from)) };
}

/** Which file holds the byte at `at`, where, and how many bytes follow in that file. */
function placeOf(
  { fd, offset, size, rest }: Region,
  at: number,
): { fd: number; position: number; left: number } {
  const own = size - (rest?.size ?? 0);
  return rest === undefined || at < own
    ? { fd, position: offset + at, left: own - at }
    : placeOf(rest, at - own);
}

/** Reads once into `buffer` from the byte at `at` on. @returns how many bytes came; 0 when the file ends early */
export async function readInto(region: Region, buffer: Buffer, at: number): Promise<number> {
  const { fd, position, left } = placeOf(region, at);
  return (await readAsync(fd, buffer, 0, Math.min(buffer.length, left), position)).bytesRead;
}

function readIntoSync(region: Region, buffer: Buffer, at: number): number {
  const { fd, position, left } = placeOf(region, at);
  return readSync(fd, buffer, 0, Math.min(buffer.length, left), position);
}

/** Fills `buffer` from the byte at `at` on. @returns what came, shorter when the file ends early */
export async function fillFrom(region: Region, buffer: Buffer, at: number): Promise<Buffer> {
  let done = 0;
  for (let count = -1; done < buffer.length && count !== 0; done += count)
    count = await readInto(region, buffer.subarray(done), at + done);
  return buffer.subarray(0, done);
}

/** Bytes of a file from `offset` on, as a stream; fails with `corrupt` when the file ends too early. */
export function regionStream(region: Region, what: string): Readable {
  return Readable.from(chunks(region, what), { objectMode: false, highWaterMark: CHUNK });
}

async function* chunks(region: Region, what: string): AsyncGenerator<Buffer> {
  const { size } = region;
  for (let done = 0; done < size; ) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, size - done));
    const count = await readInto(region, buffer, done);
    if (count === 0) throw new AirgapError("corrupt", `${what} ends after ${done} of ${size} bytes`);
    done += count;
    yield buffer.subarray(0, count);
  }
}

/** The same, synchronously, piece by piece in one reused buffer; ends early when the file does. */
export function* regionPieces(region: Region, buffer: Buffer): Generator<Buffer> {
  for (let done = 0; done < region.size; ) {
    const count = readIntoSync(region, buffer.subarray(0, Math.min(buffer.length, region.size - done)), done);
    if (count === 0) return;
    done += count;
    yield buffer.subarray(0, count);
  }
}

/** A small region, synchronously; shorter when the file ends. */
export function readRegion(region: Region): Buffer {
  const bytes = Buffer.allocUnsafe(region.size);
  let done = 0;
  for (let count = -1; done < region.size && count !== 0; done += count)
    count = readIntoSync(region, bytes.subarray(done), done);
  return bytes.subarray(0, done);
}

/**
 * Passes a region to `sink` in one reused buffer; `sink` may be asynchronous and is awaited before the
 * buffer is used again.
 */
export async function writeRegion(
  region: Region,
  what: string,
  sink: (chunk: Uint8Array) => void | Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const { size } = region;
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK * 4, size));
  for (let done = 0; done < size; ) {
    signal?.throwIfAborted();
    const count = await readInto(region, buffer.subarray(0, Math.min(buffer.length, size - done)), done);
    if (count === 0) throw new AirgapError("corrupt", `${what} ends after ${done} of ${size} bytes`);
    done += count;
    await sink(buffer.subarray(0, count));
  }
}
