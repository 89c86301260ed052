import { createHash } from "node:crypto";
import { regionPieces } from "../transport/region.ts";
import type { Region } from "../transport/types.ts";

/** Hashes a region of a file; fewer bytes when the file ends earlier. Reuses the given buffer. */
export function hashRegion(
  buffer: Buffer,
  region: Region,
  algorithm: "sha256" | "sha512",
): { hex: string; read: number } {
  const hash = createHash(algorithm);
  let read = 0;
  for (const piece of regionPieces(region, buffer)) {
    hash.update(piece);
    read += piece.length;
  }
  return { hex: hash.digest("hex"), read };
}
