import { execFileSync } from "node:child_process";
import { gzipSync } from "node:zlib";
import type { Inside } from "../../src/inside/package.ts";
import { InsideReader } from "../../src/inside/read.ts";
import { MemorySource } from "../../src/transport/memory.ts";
import type { TestImage } from "./images.ts";

/** A folder as an image's layer. */
export const layerOf = (folder: string, ...paths: string[]): Buffer =>
  gzipSync(
    execFileSync("tar", ["-C", folder, "-c", ...(paths.length > 0 ? paths : ["."])], { maxBuffer: 1 << 30 }),
  );

/** What is installed in an image that is at hand. */
export async function insideOf({ root, blobs }: TestImage): Promise<Inside[]> {
  const source = new MemorySource("bundle:test.tar", [...blobs.values()]);
  return new InsideReader(source, (digest) => blobs.has(digest)).read({ root });
}

/** `name version arch`, sorted. */
export const listed = ({ packages }: Pick<Inside, "packages">): string[] =>
  packages.map(({ name, version, arch }) => `${name} ${version} ${arch}`).toSorted();
