import {
  closeSync,
  copyFileSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { syncFolder } from "../atomic.ts";
import { AirgapError, Exit, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import { formatBytes } from "../format.ts";
import { regionPieces } from "../transport/region.ts";
import type { Region } from "../transport/types.ts";
import { signaturePaths } from "../trust/signature-files.ts";
import { HashPool } from "./hash-pool.ts";
import { readBack } from "./read-back.ts";
import { BundleReader, type Opening } from "./reader.ts";
import { hashFiles, writeSums } from "./sums.ts";
import { MAX_VOLUMES, volumeName } from "./volumes.ts";

export interface SplitOptions {
  bundle: string;
  /** Bytes. */
  volumeSize: number;
  /** Where the volumes go; by default beside the bundle. */
  to?: string | undefined;
  /** Only these volumes, for a medium that cannot hold all. */
  only?: number[] | undefined;
  opening?: Opening | undefined;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

export interface WrittenVolume {
  path: string;
  /** Bytes. */
  size: number;
  sha256: string;
  /** `present`: it was there already and right. */
  state: "written" | "present";
}

export interface SplitResult {
  volumes: WrittenVolume[];
  /** Of the whole set. */
  count: number;
  signatures: string[];
  /** Whether every written volume was read again from its medium; otherwise some were read from memory. */
  direct: boolean;
}

/** @throws AirgapError `usage` when a size would give more volumes than three digits can name */
export function checkCount(size: number, volumeSize: number): number {
  const needed = Math.ceil(size / volumeSize);
  if (needed <= MAX_VOLUMES) return needed;
  throw new AirgapError(
    "usage",
    `Volumes of ${formatBytes(volumeSize)} would make ${needed} files; at most ${MAX_VOLUMES} are possible`,
    { suggestions: [`--volume-size ${Math.ceil(size / MAX_VOLUMES / 1024 / 1024)}MiB`] },
  );
}

/**
 * Cuts a bundle into volumes: writes each, waits until it is on the medium, and reads it again from there. Volumes that
 * are there and right stay. `cat` joins them.
 * @throws AirgapError `disk`, `corrupt` when the medium gives back other bytes
 */
export async function splitBundle(options: SplitOptions): Promise<SplitResult> {
  const reader = await BundleReader.openUnless(options.signal, options.bundle, options.opening);
  const pool = new HashPool();
  try {
    const { file, layout } = reader;
    const all = checkCount(layout.size, options.volumeSize);
    const folder = options.to ?? dirname(file.path);
    prepareFolder(folder);
    const numbers = chosen(all, options.only);
    const parts = numbers.map((number) => {
      const offset = number * options.volumeSize;
      const size = Math.min(options.volumeSize, layout.size - offset);
      return {
        path: join(folder, basename(volumeName(file.path, number))),
        region: file.region(offset, size),
      };
    });
    checkSpace(folder, parts);
    options.emit({
      type: "plan",
      items: parts.length,
      bytes: parts.reduce((sum, { region }) => sum + region.size, 0),
    });
    const written = [];
    for (const part of parts) written.push(await writeVolume(part, pool, options));
    const volumes = written.map(({ direct: _, ...each }) => each);
    writeSums(folder, file.path, new Map(volumes.map(({ path, sha256 }) => [basename(path), sha256])));
    return {
      volumes,
      count: all,
      signatures: copySignatures(reader, folder),
      direct: written.every(({ direct }) => direct),
    };
  } finally {
    await pool.close();
    reader.close();
  }
}

function prepareFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw new AirgapError("disk", `Cannot make the folder ${folder}: ${messageOf(cause)}`, { cause });
  }
}

function chosen(all: number, only: number[] | undefined): number[] {
  const wrong = only?.find((number) => number >= all);
  if (wrong !== undefined)
    throw new AirgapError("usage", `There is no volume ${wrong}: the bundle has volumes 0 to ${all - 1}`);
  return only ?? Array.from({ length: all }, (_, number) => number);
}

function checkSpace(folder: string, parts: { path: string; region: Region }[]): void {
  const { bavail, bsize } = statfsSync(folder);
  const needed = parts.reduce(
    (sum, { path, region }) =>
      sum + Math.max(0, region.size - (statSync(path, { throwIfNoEntry: false })?.size ?? 0)),
    0,
  );
  if (bavail * bsize >= needed) return;
  throw new AirgapError(
    "disk",
    `The volumes need ${formatBytes(needed)}, but ${folder} has only ${formatBytes(bavail * bsize)} free; nothing was written`,
    { suggestions: ["name a larger medium with --to, or some of the volumes with --only 0,1"] },
  );
}

type Written = WrittenVolume & { direct: boolean };

async function writeVolume(
  { path, region }: { path: string; region: Region },
  pool: HashPool,
  { emit, signal }: SplitOptions,
): Promise<Written> {
  const { size } = region;
  const sha256 = (await pool.digest(region)).digest.slice("sha256:".length);
  signal?.throwIfAborted();
  const there = statSync(path, { throwIfNoEntry: false });
  if (there?.isFile() && there.size === size && (await hashFiles([path], pool))[0] === sha256) {
    emit({ type: "item", item: path, state: "present", bytes: size });
    emit({ type: "progress", item: path, bytes: size });
    return { path, size, sha256, state: "present", direct: true };
  }
  const part = `${path}.part`;
  try {
    await copyOut(region, part, (bytes) => emit({ type: "progress", item: path, bytes }), signal);
    const back = await readBack(part, size, signal);
    if (back.sha256 !== sha256)
      throw new AirgapError("corrupt", `${path} was written, and the medium gives back other bytes`, {
        exit: Exit.failed,
        suggestions: ["use another medium"],
      });
    renameSync(part, path);
    syncFolder(dirname(path));
    emit({ type: "item", item: path, state: "done", bytes: size });
    return { path, size, sha256, state: "written", direct: back.direct };
  } catch (cause) {
    rmSync(part, { force: true });
    if (cause instanceof AirgapError || signal?.aborted) throw cause;
    throw new AirgapError("disk", `Cannot write ${path}: ${messageOf(cause)}`, { cause });
  }
}

async function copyOut(
  region: Region,
  to: string,
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const fd = openSync(to, "w", 0o644);
  try {
    for (const piece of regionPieces(region, Buffer.allocUnsafe(1 << 20))) {
      signal?.throwIfAborted();
      for (let done = 0; done < piece.length; ) done += writeSync(fd, piece, done);
      onBytes(piece.length);
      await nextTurn();
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A bundle's signatures travel with its volumes. */
function copySignatures({ file }: BundleReader, folder: string): string[] {
  return signaturePaths(file.path, file.folders).map((path) => {
    const to = join(folder, basename(path));
    if (resolve(to) !== resolve(path)) copyFileSync(path, to);
    return to;
  });
}
