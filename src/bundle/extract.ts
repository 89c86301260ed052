import { join, resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import type { Item } from "../lock/lock.ts";
import type { TitledLayer } from "../lock/titles.ts";
import { nearest } from "../schema/nearest.ts";
import { chartFileName, chartsOf, isOfChart, packChart } from "./packed-chart.ts";
import { BundleReader, type Opening } from "./reader.ts";
import { writeBytes, writeFiles } from "./write-files.ts";

/** What can be taken out, by the word that the user says, and the folder that it goes to. */
export const KINDS = {
  manifests: { kind: "manifests", folder: "manifests" },
  charts: { kind: "chart", folder: "charts" },
  files: { kind: "file", folder: "files" },
  packages: { kind: "packages", folder: "packages" },
  self: { kind: "self", folder: "files" },
} as const;

export type ExtractKind = keyof typeof KINDS;

export interface ExtractOptions {
  bundle: string;
  /** Undefined: nothing is written, and what would be is told. */
  dir: string | undefined;
  /** Names of items; none = all. */
  items: string[];
  kinds: ExtractKind[];
  emit: Emit;
  signal?: AbortSignal | undefined;
  opening?: Opening | undefined;
}

/** An item as it was, or would be, written. */
export interface ExtractedItem {
  kind: ExtractKind;
  name: string;
  /** Where it is: a folder, or the file itself. Below `dir` where one was given. */
  path: string;
  files: number;
  /** Bytes. */
  size: number;
}

/**
 * Takes manifests, charts, files, packages and the tool itself out of a bundle. What is there already
 * and right is left alone.
 * @throws AirgapError `not-found` with the nearest name, `disk`, `corrupt`
 */
export async function extractBundle(options: ExtractOptions): Promise<ExtractedItem[]> {
  const reader = await BundleReader.openUnless(options.signal, options.bundle, options.opening);
  try {
    const chosen = choose(reader, options);
    const plans = chosen.map((item) => ({ item, files: filesToWrite(reader, item) }));
    const size = (files: TitledLayer[]): number => files.reduce((sum, { layer }) => sum + layer.size, 0);
    if (options.dir !== undefined)
      options.emit({
        type: "plan",
        items: plans.reduce((sum, { files }) => sum + files.length, 0),
        bytes: plans.reduce((sum, { files }) => sum + size(files), 0),
      });
    const done: ExtractedItem[] = [];
    for (const { item, files } of plans) {
      const below = placeOf(item);
      const packed = await packedOf(reader, item);
      if (options.dir !== undefined)
        await writeItem({ reader, item, files, packed }, { ...options, dir: options.dir });
      done.push({
        kind: kindOf(item) as ExtractKind,
        name: item.name,
        path: options.dir === undefined ? below : join(resolve(options.dir), below),
        files: files.length + packed.length,
        size: size(files) + packed.reduce((sum, { bytes }) => sum + bytes.length, 0),
      });
    }
    return done;
  } finally {
    reader.close();
  }
}

const kindOf = ({ kind }: Item): ExtractKind | undefined =>
  (Object.keys(KINDS) as ExtractKind[]).find((key) => KINDS[key].kind === kind);

/** Where an item goes: `files/NAME`, `charts/NAME`. */
const placeOf = (item: Item): string => `${KINDS[kindOf(item) as ExtractKind].folder}/${item.name}`;

function choose({ lock }: BundleReader, { bundle, items, kinds }: ExtractOptions): Item[] {
  const all = lock.items.filter((item) => kindOf(item) !== undefined);
  const ofKind = all.filter((item) => kinds.length === 0 || kinds.includes(kindOf(item) as ExtractKind));
  for (const name of items)
    if (!ofKind.some((item) => item.name === name)) throw unknown(name, lock.items, bundle);
  const chosen = items.length === 0 ? ofKind : ofKind.filter(({ name }) => items.includes(name));
  if (chosen.length > 0) return chosen;
  throw new AirgapError(
    "not-found",
    `${bundle} carries no ${kinds.length === 0 ? "manifests, charts, files or packages" : kinds.join(", ")}`,
    { suggestions: [`airgap list ${bundle}`] },
  );
}

function unknown(name: string, items: Item[], bundle: string): AirgapError {
  const image = items.find((item) => item.kind === "image" && item.name === name);
  if (image)
    return new AirgapError("usage", `${name} is an image, which extract does not take out`, {
      suggestions: [`airgap copy oci-archive:${bundle}:${name} oci:DIR`],
    });
  const names = items.filter((item) => kindOf(item) !== undefined).map((item) => item.name);
  const near = nearest(name, names);
  return new AirgapError("not-found", `Nothing of that kind in ${bundle} is called ${name}`, {
    suggestions: [near ? `airgap extract ${bundle} DIR ${near}` : `airgap extract ${bundle} --list`],
  });
}

/** Whether helm's archive has to be made of the chart's files. */
const isSplitChart = (reader: BundleReader, item: Item): boolean =>
  item.kind === "chart" && reader.files(item).some(({ title }) => title.startsWith("chart/"));

function filesToWrite(reader: BundleReader, item: Item): TitledLayer[] {
  const files = reader.files(item);
  return isSplitChart(reader, item) ? files.filter((file) => !isOfChart(file)) : files;
}

/** A file that is made of what a chart was carried as. */
interface PackedFile {
  name: string;
  bytes: Buffer;
}

async function packedOf(reader: BundleReader, item: Item): Promise<PackedFile[]> {
  if (!isSplitChart(reader, item)) return [];
  const charts = chartsOf(reader).filter((each) => each.item === item);
  return Promise.all(
    charts.map(async (chart) => ({ name: chartFileName(chart), bytes: (await packChart(chart)).archive })),
  );
}

interface ItemToWrite {
  reader: BundleReader;
  item: Item;
  files: TitledLayer[];
  packed: PackedFile[];
}

async function writeItem(
  { reader, item, files, packed }: ItemToWrite,
  { dir, emit, signal }: ExtractOptions & { dir: string },
): Promise<void> {
  const alone = item.kind === "file" || item.kind === "self";
  const below = alone ? "files" : placeOf(item);
  await writeFiles({ reader, files, into: dir, below, item: item.name, emit, signal });
  for (const { name, bytes } of packed) await writeBytes(dir, `${below}/${name}`, bytes);
}
