import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { link, rm, utimes, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { pathToFileURL } from "node:url";
import { replaceFile } from "../atomic.ts";
import type { Emit } from "../events.ts";
import { makePlaceBelow } from "../lock/below.ts";
import { pathBelow, type TitledLayer } from "../lock/titles.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf, hexOf } from "../oci/digest.ts";
import { rpmBuildTime } from "../packages/rpm/build-time.ts";
import { fillTemplate, TEMPLATE } from "../packages/template.ts";
import type { BundleReader } from "./reader.ts";

/** A file that is there is hashed again when it is written again. */
const CHECKED = { durable: false };

export interface WriteOptions {
  reader: BundleReader;
  files: TitledLayer[];
  /** The folder that the user named; nothing is written elsewhere, and through no link in it. */
  into: string;
  /** Where the files go below it, `/` between parts. */
  below: string;
  /** Where a web server will give these files out, for `.repo` and `.sources` files; by default the folder itself. */
  url?: string | undefined;
  /** For progress: the item's name. */
  item: string;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

/**
 * Writes files of an item below a folder. What is there already and right is left alone.
 * @returns bytes
 */
export async function writeFiles(options: WriteOptions): Promise<number> {
  const { reader, files, into, below, url, item, emit, signal } = options;
  const root = pathBelow(resolve(into), below);
  const written = new Map<string, string>();
  let size = 0;
  for (const { title, layer } of files) {
    signal?.throwIfAborted();
    const path = await makePlaceBelow(resolve(into), `${below}/${title}`);
    if (layer.mediaType === TEMPLATE) {
      const text = fillTemplate(reader.read(layer.digest).toString("utf8"), url ?? pathToFileURL(root).href);
      await replaceFile(path, (draft) => writeFile(draft, text), CHECKED);
    } else if (!(await isRight(path, layer)) && !(await linked(written.get(layer.digest), path))) {
      const stream = await reader.source().fetch(layer, signal ? { signal } : {});
      await replaceFile(path, (draft) => pipeline(stream, createWriteStream(draft)), CHECKED);
    }
    written.set(layer.digest, path);
    // createrepo_c --update takes what the metadata say of a file whose time is the one in them.
    const built = title.endsWith(".rpm") ? await rpmBuildTime(path) : 0;
    await utimes(path, built, built);
    size += layer.size;
    emit({ type: "progress", item, bytes: layer.size });
  }
  return size;
}

/** Writes one file that was made here. @param path below the folder, `/` between parts */
export async function writeBytes(into: string, path: string, bytes: Uint8Array): Promise<void> {
  const place = await makePlaceBelow(resolve(into), path);
  await replaceFile(place, (draft) => writeFile(draft, bytes), CHECKED);
  await utimes(place, 0, 0);
}

/** Roles share packages: one copy on the disk, where it can link. */
async function linked(copy: string | undefined, path: string): Promise<boolean> {
  if (copy === undefined) return false;
  await rm(path, { force: true });
  return link(copy, path).then(
    () => true,
    () => false,
  );
}

async function isRight(path: string, { digest, size }: Descriptor): Promise<boolean> {
  const hash = createHash(algorithmOf(digest));
  let seen = 0;
  try {
    for await (const chunk of createReadStream(path)) {
      seen += (chunk as Buffer).length;
      if (seen > size) return false;
      hash.update(chunk as Buffer);
    }
  } catch {
    return false;
  }
  return seen === size && hash.digest("hex") === hexOf(digest);
}
