import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { link, mkdir, open, rename, rm, utimes } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { AirgapError, Exit } from "../errors.ts";
import type { Emit } from "../events.ts";
import { TITLE } from "../lock/artifact.ts";
import type { Lock } from "../lock/lock.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf, hexOf } from "../oci/digest.ts";
import { rpmBuildTime } from "../packages/rpm/build-time.ts";
import { fillTemplate, TEMPLATE } from "../packages/template.ts";
import { BundleReader } from "./reader.ts";

export interface ExportOptions {
  bundle: string;
  dir: string;
  emit: Emit;
  signal?: AbortSignal;
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
 * web server. Files that are there already and right are left alone.
 * @throws AirgapError
 */
export async function exportPackages({ bundle, dir, emit, signal }: ExportOptions): Promise<ExportedSet[]> {
  const reader = await BundleReader.openUnless(signal, bundle);
  try {
    const items = reader.lock.items.filter(({ kind }) => kind === "packages");
    if (items.length === 0)
      throw new AirgapError("not-found", `${bundle} carries no packages`, {
        suggestions: [`airgap list ${bundle}`],
      });
    const sets: ExportedSet[] = [];
    for (const item of items) sets.push(await exportSet(reader, item, resolve(dir, item.name), emit, signal));
    return sets;
  } finally {
    reader.close();
  }
}

async function exportSet(
  reader: BundleReader,
  item: Lock["items"][number],
  dir: string,
  emit: Emit,
  signal?: AbortSignal,
): Promise<ExportedSet> {
  const manifest = reader.manifest(item.root, `package set ${item.name}`);
  const layers =
    "layers" in manifest
      ? manifest.layers.filter(({ annotations }) => annotations?.[TITLE] !== undefined)
      : [];
  emit({ type: "plan", items: layers.length, bytes: layers.reduce((sum, { size }) => sum + size, 0) });
  let size = 0;
  const written = new Map<string, string>();
  for (const layer of layers) {
    signal?.throwIfAborted();
    const title = checkedTitle(layer, item.name);
    const path = join(dir, title);
    await mkdir(dirname(path), { recursive: true });
    if (layer.mediaType === TEMPLATE) {
      const text = fillTemplate(reader.read(layer.digest).toString("utf8"), pathToFileURL(dir).href);
      await replace(path, async (file) => void (await file.writeFile(text)));
    } else if (!(await isRight(path, layer)) && !(await linked(written.get(layer.digest), path))) {
      const stream = await reader.source().fetch(layer, signal ? { signal } : {});
      await replace(path, async (file) => {
        for await (const chunk of stream) await file.writeFile(chunk as Uint8Array);
      });
    }
    written.set(layer.digest, path);
    // createrepo_c --update takes what the metadata say of a file whose time is the one in them.
    const built = title.endsWith(".rpm") ? await rpmBuildTime(path) : 0;
    await utimes(path, built, built);
    size += layer.size;
    emit({ type: "progress", item: item.name, bytes: layer.size });
  }
  return { name: item.name, dir, files: layers.length, size };
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

/** Titles come from the bundle: none may lead out of the directory. */
function checkedTitle({ annotations }: Descriptor, name: string): string {
  const title = annotations?.[TITLE] ?? "";
  const parts = title.split("/");
  if (/[\\\0]/.test(title) || parts.some((part) => part === "" || part === "." || part === ".."))
    throw new AirgapError(
      "corrupt",
      `Package set ${name} has a file called ${JSON.stringify(title)}, which is not a path below it`,
      { exit: Exit.check },
    );
  return title;
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

/** Writes beside and renames, so that a file is never half there. */
async function replace(
  path: string,
  write: (file: Awaited<ReturnType<typeof open>>) => Promise<void>,
): Promise<void> {
  const partial = `${path}.${process.pid}.part`;
  const file = await open(partial, "w");
  try {
    await write(file);
  } catch (error) {
    await file.close();
    await rm(partial, { force: true });
    throw error;
  }
  await file.close();
  await rename(partial, path);
}
