import { createHash } from "node:crypto";
import { regionPieces } from "../transport/region.ts";

/** Hashes `size` bytes of a file from `offset` on; fewer when the file ends earlier. Reuses the given buffer. */
export function hashRegion(
  buffer: Buffer,
  fd: number,
  offset: number,
  size: number,
  algorithm: "sha256" | "sha512",
): { hex: string; read: number } {
  const hash = createHash(algorithm);
  let read = 0;
  for (const piece of regionPieces({ fd, offset, size }, buffer)) {
    hash.update(piece);
    read += piece.length;
  }
  return { hex: hash.digest("hex"), read };
}
