import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { syncFolder } from "../atomic.ts";
import { AirgapError, Exit } from "../errors.ts";
import type { Region } from "../transport/types.ts";
import { asVolume, volumeName } from "./volumes.ts";

const fdatasyncAsync = promisify(fdatasync);

/** One file under construction. */
interface Part {
  fd: number;
  /** Until it is finished. */
  path: string;
  /** Its name then. */
  final: string;
  size: number;
}

/** The names of a bundle under construction: of one file, or of each volume. */
function partsOf(output: string, size: number, volumeSize: number | undefined): Omit<Part, "fd">[] {
  if (volumeSize === undefined) return [{ path: `${output}.part`, final: output, size }];
  return Array.from({ length: Math.ceil(size / volumeSize) }, (_, number) => {
    const final = volumeName(output, number);
    return { path: `${final}.part`, final, size: Math.min(volumeSize, size - number * volumeSize) };
  });
}

/** The first file of a bundle under construction; without it there is nothing to resume. */
export const firstPart = (output: string, volumeSize: number | undefined): string =>
  volumeSize === undefined ? `${output}.part` : `${volumeName(output, 0)}.part`;

/** Removes every file under construction of a bundle. */
export function discardParts(output: string): void {
  rmSync(`${output}.part`, { force: true });
  for (const name of besides(output))
    if (name.endsWith(".part") && asVolume(name.slice(0, -".part".length))?.bundle === basename(output))
      rmSync(join(dirname(output), name), { force: true });
}

function besides(output: string): string[] {
  try {
    return readdirSync(dirname(output));
  } catch {
    return [];
  }
}

/** Bytes of the disk that an earlier run has filled already. */
export const presentBytes = (output: string, size: number, volumeSize: number | undefined): number =>
  partsOf(output, size, volumeSize).reduce(
    (sum, { path }) => sum + (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512,
    0,
  );

/** A bundle under construction: one file, or all of its volumes, written at offsets as one. */
export class PartVolumes {
  readonly #output: string;
  readonly #parts: Part[];
  readonly #volumeSize: number;
  readonly #split: boolean;

  private constructor(output: string, parts: Part[], volumeSize: number | undefined) {
    this.#output = output;
    this.#parts = parts;
    this.#split = volumeSize !== undefined;
    this.#volumeSize = volumeSize ?? Number.POSITIVE_INFINITY;
  }

  /** @param resume keep what an earlier run wrote. Every file gets its final size */
  static open(output: string, size: number, volumeSize: number | undefined, resume: boolean): PartVolumes {
    const parts: Part[] = [];
    try {
      for (const part of partsOf(output, size, volumeSize)) {
        // The last run ended while it gave the volumes their names.
        if (resume && !existsSync(part.path) && existsSync(part.final)) renameSync(part.final, part.path);
        const fd = openSync(part.path, resume && existsSync(part.path) ? "r+" : "w+", 0o644);
        parts.push({ ...part, fd });
        ftruncateSync(fd, part.size);
      }
    } catch (error) {
      for (const { fd } of parts) closeSync(fd);
      throw error;
    }
    return new PartVolumes(output, parts, volumeSize);
  }

  region(offset: number, size: number): Region {
    const { part, at } = this.#at(offset);
    const here = { fd: part.fd, offset: at, size };
    const own = part.size - at;
    return size <= own ? here : { ...here, rest: this.region(offset + own, size - own) };
  }

  write(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length; ) {
      const { part, at } = this.#at(position + done);
      done += writeSync(part.fd, bytes, done, Math.min(bytes.length - done, part.size - at), at);
    }
  }

  #at(offset: number): { part: Part; at: number } {
    const number = this.#split ? Math.floor(offset / this.#volumeSize) : 0;
    const part = this.#parts[number];
    if (part === undefined) throw new Error(`byte ${offset} lies behind the end of ${this.#output}`);
    return { part, at: this.#split ? offset - number * this.#volumeSize : offset };
  }

  /** Starts to flush what was written. */
  async flush(): Promise<void> {
    for (const { fd } of this.#parts) await fdatasyncAsync(fd);
  }

  /**
   * Gives every file its name; the first volume last, so that a run that is stopped meanwhile resumes.
   * @throws AirgapError `conflict` when another build took a name over
   */
  finish(): void {
    for (const { fd } of this.#parts) fsyncSync(fd);
    for (const part of this.#parts) checkStillOurs(part);
    this.close();
    this.#removeOthers();
    for (const { path, final } of this.#parts.toReversed()) renameSync(path, final);
    syncFolder(dirname(this.#output));
  }

  /** What the output was before, in the other form or with more volumes, is not the bundle any more. */
  #removeOthers(): void {
    if (this.#split) rmSync(this.#output, { force: true });
    const names = new Set(this.#parts.map(({ final }) => basename(final)));
    for (const name of besides(this.#output))
      if (asVolume(name)?.bundle === basename(this.#output) && !names.has(name))
        rmSync(join(dirname(this.#output), name), { force: true });
  }

  /** Paths of the finished files. */
  get names(): string[] {
    return this.#parts.map(({ final }) => final);
  }

  /** Each file whole. */
  get regions(): Region[] {
    return this.#parts.map(({ fd, size }) => ({ fd, offset: 0, size }));
  }

  close(): void {
    for (const { fd } of this.#parts) closeSync(fd);
  }
}

/** On a file system that two hosts share, neither sees the lock that the other holds. */
function checkStillOurs({ fd, path }: Part): void {
  const own = fstatSync(fd);
  const named = statSync(path);
  if (own.ino === named.ino && own.dev === named.dev) return;
  throw new AirgapError("conflict", `Another build uses ${path} now; this build ends without a bundle`, {
    exit: Exit.failed,
  });
}
