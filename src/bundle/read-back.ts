import { createHash } from "node:crypto";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";

const CHUNK = 1024 * 1024;
/** What O_DIRECT asks of a buffer's address on every file system that has it. */
const ALIGNMENT = 4096;
/** Buffers begin at multiples of this. */
const STEP = 16;

export interface ReadBack {
  /** SHA-256, hexadecimal. */
  sha256: string;
  /** Whether the bytes came from the medium; otherwise the kernel may have answered from memory. */
  direct: boolean;
}

/**
 * Hashes a file by reading it from its medium (O_DIRECT, open(2)): what the kernel still holds in memory says
 * nothing about what a stick has kept. Where the file system cannot do that, it is read as usual.
 */
export async function readBack(path: string, size: number, signal?: AbortSignal): Promise<ReadBack> {
  const direct = directly(path);
  const fd = direct?.fd ?? openSync(path, "r");
  const buffer = direct?.buffer ?? Buffer.allocUnsafe(CHUNK);
  const hash = createHash("sha256");
  try {
    for (let done = 0; done < size; ) {
      signal?.throwIfAborted();
      const count = readSync(fd, buffer, 0, buffer.length, done);
      if (count === 0) break;
      hash.update(buffer.subarray(0, count));
      done += count;
      await nextTurn();
    }
  } finally {
    closeSync(fd);
  }
  return { sha256: hash.digest("hex"), direct: direct !== undefined };
}

/** Opens a file past the page cache, with a buffer that the kernel takes: which one is found by trying. */
function directly(path: string): { fd: number; buffer: Buffer } | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | (constants.O_DIRECT ?? 0));
  } catch {
    return undefined;
  }
  const whole = Buffer.allocUnsafeSlow(CHUNK + ALIGNMENT);
  if (constants.O_DIRECT !== undefined)
    for (let at = 0; at < ALIGNMENT; at += STEP) {
      const buffer = whole.subarray(at, at + CHUNK);
      try {
        readSync(fd, buffer, 0, buffer.length, 0);
        return { fd, buffer };
      } catch {
        // The address is not a multiple of the block size.
      }
    }
  closeSync(fd);
  return undefined;
}
