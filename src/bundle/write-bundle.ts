import { basename, dirname } from "node:path";
import type { Digest } from "../oci/digest.ts";
import { type FillOptions, fill, type WantedBlob } from "./fill.ts";
import { FrontHash } from "./front-hash.ts";
import type { Layout } from "./layout.ts";
import { PartFile, type SavedBuild } from "./part-file.ts";
import { writeSums } from "./sums.ts";

export interface Written {
  /** Paths of the volumes, when it is written in several; their sums are in `SHA256SUMS` then. */
  volumes?: string[];
  /** Of the whole tar, when it is one file. */
  tarDigest?: Digest;
}

/**
 * Writes a bundle: every header first, every blob to its place, then its name. An interrupted run is resumed.
 * @throws AirgapError
 */
export async function writeBundle(
  output: string,
  layout: Layout,
  saved: SavedBuild,
  wanted: Map<Digest, WantedBlob>,
  options: FillOptions,
): Promise<Written> {
  const part = PartFile.open(output, layout, saved);
  const front = new FrontHash(layout, part.files);
  let sums: Map<string, string>;
  try {
    await fill(part, layout, wanted.values(), { ...options, written: (entry) => front.add(entry) });
    sums = await front.sums();
    await front.close();
  } catch (error) {
    // It reads the file.
    await front.close();
    part.close();
    throw error;
  }
  part.finish();
  if (saved.volumeSize === undefined) return { tarDigest: `sha256:${sums.get(basename(output))}` };
  writeSums(dirname(output), output, sums);
  return { volumes: part.files.map(({ path }) => path) };
}
