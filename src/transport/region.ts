import { read, readSync } from "node:fs";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { AirgapError } from "../errors.ts";
import type { Region } from "./types.ts";

const readAsync = promisify(read);
const CHUNK = 256 * 1024;

/** Bytes of a file from `offset` on, as a stream; fails with `corrupt` when the file ends too early. */
export function regionStream(region: Region, what: string): Readable {
  return Readable.from(chunks(region, what), { objectMode: false, highWaterMark: CHUNK });
}

async function* chunks({ fd, offset, size }: Region, what: string): AsyncGenerator<Buffer> {
  for (let done = 0; done < size; ) {
    const length = Math.min(CHUNK, size - done);
    const { bytesRead, buffer } = await readAsync(fd, Buffer.allocUnsafe(length), 0, length, offset + done);
    if (bytesRead === 0) throw new AirgapError("corrupt", `${what} ends after ${done} of ${size} bytes`);
    done += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** The same, synchronously, piece by piece in one reused buffer; ends early when the file does. */
export function* regionPieces({ fd, offset, size }: Region, buffer: Buffer): Generator<Buffer> {
  for (let done = 0; done < size; ) {
    const count = readSync(fd, buffer, 0, Math.min(buffer.length, size - done), offset + done);
    if (count === 0) return;
    done += count;
    yield buffer.subarray(0, count);
  }
}

/** A small region, synchronously; shorter when the file ends. */
export function readRegion({ fd, offset, size }: Region): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  let done = 0;
  for (let count = -1; done < size && count !== 0; done += count)
    count = readSync(fd, bytes, done, size - done, offset + done);
  return bytes.subarray(0, done);
}

/**
 * Passes a region to `sink` in one reused buffer; `sink` may be asynchronous and is awaited before the
 * buffer is used again.
 */
export async function writeRegion(
  { fd, offset, size }: Region,
  what: string,
  sink: (chunk: Uint8Array) => void | Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK * 4, size));
  for (let done = 0; done < size; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await readAsync(fd, buffer, 0, Math.min(buffer.length, size - done), offset + done);
    if (bytesRead === 0) throw new AirgapError("corrupt", `${what} ends after ${done} of ${size} bytes`);
    done += bytesRead;
    await sink(buffer.subarray(0, bytesRead));
  }
}
