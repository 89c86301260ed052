import { createHash } from "node:crypto";
import { readSync } from "node:fs";

/** Hashes `size` bytes of a file from `offset` on; fewer when the file ends before. Reuses the buffer given. */
export function hashRegion(
  buffer: Buffer,
  fd: number,
  offset: number,
  size: number,
  algorithm: "sha256" | "sha512",
): { hex: string; read: number } {
  const hash = createHash(algorithm);
  let done = 0;
  while (done < size) {
    const count = readSync(fd, buffer, 0, Math.min(buffer.length, size - done), offset + done);
    if (count === 0) break;
    hash.update(buffer.subarray(0, count));
    done += count;
  }
  return { hex: hash.digest("hex"), read: done };
}
