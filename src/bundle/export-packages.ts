import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { link, rm, utimes, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { pathToFileURL } from "node:url";
import { replaceFile } from "../atomic.ts";
import { AirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import { makePlaceBelow } from "../lock/below.ts";
import { itemsOf, type PackagesItem } from "../lock/lock.ts";
import { pathBelow } from "../lock/titles.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf, hexOf } from "../oci/digest.ts";
import { rpmBuildTime } from "../packages/rpm/build-time.ts";
import { fillTemplate, TEMPLATE } from "../packages/template.ts";
import { BundleReader } from "./reader.ts";

export interface ExportOptions {
  bundle: string;
  dir: string;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

/** A repository as it was written. */
export interface ExportedSet {
  name: string;
  dir: string;
  files: number;
  /** Bytes. */
  size: number;
}

/**
 * Writes the package sets of a bundle as plain directories, one a set, ready for dnf, apt or any
 * web server. Files that exist already with the right content are left alone.
 * @throws AirgapError
 */
export async function exportPackages({ bundle, dir, emit, signal }: ExportOptions): Promise<ExportedSet[]> {
  const reader = await BundleReader.openUnless(signal, bundle);
  try {
    const items = itemsOf(reader.lock, "packages");
    if (items.length === 0)
      throw new AirgapError("not-found", `${bundle} carries no packages`, {
        suggestions: [`airgap list ${bundle}`],
      });
    const sets: ExportedSet[] = [];
    for (const item of items) sets.push(await exportSet(reader, item, dir, emit, signal));
    return sets;
  } finally {
    reader.close();
  }
}

async function exportSet(
  reader: BundleReader,
  item: PackagesItem,
  into: string,
  emit: Emit,
  signal?: AbortSignal,
): Promise<ExportedSet> {
  const files = reader.files(item);
  const dir = pathBelow(resolve(into), item.name);
  emit({ type: "plan", items: files.length, bytes: files.reduce((sum, { layer }) => sum + layer.size, 0) });
  let size = 0;
  const written = new Map<string, string>();
  for (const { title, layer } of files) {
    signal?.throwIfAborted();
    const path = await makePlaceBelow(resolve(into), `${item.name}/${title}`);
    if (layer.mediaType === TEMPLATE) {
      const text = fillTemplate(reader.read(layer.digest).toString("utf8"), pathToFileURL(dir).href);
      await replaceFile(path, (draft) => writeFile(draft, text), CHECKED);
    } else if (!(await isRight(path, layer)) && !(await linked(written.get(layer.digest), path))) {
      const stream = await reader.source().fetch(layer, signal ? { signal } : {});
      await replaceFile(path, (draft) => pipeline(stream, createWriteStream(draft)), CHECKED);
    }
    written.set(layer.digest, path);
    // createrepo_c --update trusts the metadata for a file whose time matches theirs.
    const built = title.endsWith(".rpm") ? await rpmBuildTime(path) : 0;
    await utimes(path, built, built);
    size += layer.size;
    emit({ type: "progress", item: item.name, bytes: layer.size });
  }
  return { name: item.name, dir, files: files.length, size };
}

/** A file that exists already is hashed again when its set is exported again. */
const CHECKED = { durable: false };

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
