import { resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import { itemsOf, type PackagesItem } from "../lock/lock.ts";
import { pathBelow } from "../lock/titles.ts";
import { BundleReader, type Opening } from "./reader.ts";
import { writeFiles } from "./write-files.ts";

export interface ExportOptions {
  bundle: string;
  dir: string;
  /** Where a web server will give `dir` out: `http://web.site/packages`. */
  url?: string | undefined;
  emit: Emit;
  signal?: AbortSignal | undefined;
  opening?: Opening | undefined;
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
export async function exportPackages({
  bundle,
  dir,
  url,
  emit,
  signal,
  opening,
}: ExportOptions): Promise<ExportedSet[]> {
  if (url !== undefined && !/^https?:\/\/[^\s/?#]+[^\s?#]*$/.test(url))
    throw new AirgapError("usage", `--url ${url} is not the address of a folder on a web server`, {
      suggestions: ["--url http://web.site/packages"],
    });
  const reader = await BundleReader.openUnless(signal, bundle, opening);
  try {
    const items = itemsOf(reader.lock, "packages");
    if (items.length === 0)
      throw new AirgapError("not-found", `${bundle} carries no packages`, {
        suggestions: [`airgap list ${bundle}`],
      });
    const sets: ExportedSet[] = [];
    for (const item of items)
      sets.push(await exportSet(reader, item, { dir, url: url?.replace(/\/+$/, ""), emit, signal }));
    return sets;
  } finally {
    reader.close();
  }
}

async function exportSet(
  reader: BundleReader,
  item: PackagesItem,
  { dir: into, url, emit, signal }: Pick<ExportOptions, "dir" | "url" | "emit" | "signal">,
): Promise<ExportedSet> {
  const { name } = item;
  const files = reader.files(item);
  emit({ type: "plan", items: files.length, bytes: files.reduce((sum, { layer }) => sum + layer.size, 0) });
  const size = await writeFiles({
    reader,
    files,
    into,
    below: name,
    url: url && `${url}/${name}`,
    item: name,
    emit,
    signal,
  });
  return { name, dir: pathBelow(resolve(into), name), files: files.length, size };
}
