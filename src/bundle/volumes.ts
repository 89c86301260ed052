import { closeSync, fstatSync, openSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { AirgapError, Exit, messageOf } from "../errors.ts";
import { count } from "../format.ts";
import type { Region } from "../transport/types.ts";

/** `cat site.tar.*` joins volumes in the right order only while all names have three digits. */
export const MAX_VOLUMES = 1000;

/** A part of a bundle that was cut, in a file of its own. */
export interface Volume {
  number: number;
  path: string;
  /** Bytes. */
  size: number;
}

export const volumeName = (path: string, number: number): string =>
  `${path}.${String(number).padStart(3, "0")}`;

/** The bundle that a volume's name belongs to, and its number; undefined when it is not such a name. */
export function asVolume(path: string): { bundle: string; number: number } | undefined {
  const match = /^(.+)\.(\d{3})$/.exec(path);
  return match ? { bundle: match[1] as string, number: Number(match[2]) } : undefined;
}

/**
 * The volumes of a bundle, in order, as they lie in its folder and in `folders`. Where a volume lies twice, the
 * first folder counts.
 */
export function findVolumes(path: string, folders: readonly string[] = []): Volume[] {
  const name = basename(path);
  const found = new Map<number, Volume>();
  for (const folder of new Set([dirname(path), ...folders]))
    for (const each of namesIn(folder, folders)) {
      const volume = each.startsWith(`${name}.`) ? asVolume(each) : undefined;
      if (volume?.bundle !== name || found.has(volume.number)) continue;
      const file = join(folder, each);
      const stat = statSync(file, { throwIfNoEntry: false });
      if (stat?.isFile()) found.set(volume.number, { number: volume.number, path: file, size: stat.size });
    }
  return [...found.values()].toSorted((a, b) => a.number - b.number);
}

function namesIn(folder: string, given: readonly string[]): string[] {
  try {
    return readdirSync(folder);
  } catch (cause) {
    // The bundle's own folder is told about by whoever opens the bundle.
    if (!given.includes(folder)) return [];
    throw new AirgapError("usage", `Cannot read the folder ${folder} of --volumes: ${messageOf(cause)}`, {
      cause,
    });
  }
}

const failed = (message: string, suggestions: string[] = []): AirgapError =>
  new AirgapError("corrupt", message, {
    exit: Exit.check,
    suggestions: [
      ...suggestions,
      "sha256sum -c SHA256SUMS  # in the folder of the volumes names what is damaged",
    ],
  });

/** `site.tar.002, site.tar.003` */
const named = (path: string, numbers: number[]): string =>
  `${numbers
    .slice(0, 8)
    .map((number) => basename(volumeName(path, number)))
    .join(", ")}${numbers.length > 8 ? ` and ${numbers.length - 8} more` : ""}`;

/**
 * Checks that volumes can be read as one file: none between them is missing, and all but the last have one size.
 * @returns that size
 * @throws AirgapError `corrupt`, exit code 3
 */
function checkVolumes(path: string, volumes: Volume[]): number {
  const last = volumes.at(-1) as Volume;
  const missing = Array.from({ length: last.number }, (_, i) => i).filter(
    (number) => !volumes.some((each) => each.number === number),
  );
  if (missing.length > 0)
    throw failed(
      `${path} cannot be read: ${named(path, missing)} ${missing.length === 1 ? "is" : "are"} missing`,
      ["insert the medium with the missing volume, or name its folder with --volumes DIR"],
    );
  const size = commonSize(volumes);
  const wrong = volumes.find((each) => (each === last ? each.size > size : each.size !== size));
  if (wrong)
    throw failed(
      `${wrong.path} is damaged: it has ${wrong.size} bytes, and the volumes of ${basename(path)} have ${size}`,
      ["copy this volume again"],
    );
  return size;
}

/** The size that most volumes have which are not the last. */
function commonSize(volumes: Volume[]): number {
  if (volumes.length === 1) return volumes[0]?.size ?? 0;
  const sizes = Map.groupBy(volumes.slice(0, -1), ({ size }) => size);
  return [...sizes].reduce((best, each) => (each[1].length > best[1].length ? each : best))[0];
}

/** A bundle's file, or its volumes, open for reading at offsets as one. */
export class BundleFile {
  /** As the user named it, without a volume's number. */
  readonly path: string;
  /** Of all of it. Bytes. */
  readonly size: number;
  /** Empty for a bundle in one file. */
  readonly volumes: readonly Volume[];
  /** Of the volumes but the last. Bytes. */
  readonly volumeSize: number;
  readonly #fds: number[];

  private constructor(
    path: string,
    fds: number[],
    parts: { size: number; volumes: Volume[]; volumeSize: number },
  ) {
    this.path = path;
    this.#fds = fds;
    this.size = parts.size;
    this.volumes = parts.volumes;
    this.volumeSize = parts.volumeSize;
  }

  /**
   * @param folders where volumes may lie, besides the bundle's own folder
   * @throws AirgapError `disk` when it cannot be read, `corrupt` when volumes are missing or damaged
   */
  static open(path: string, folders: readonly string[] = []): BundleFile {
    const stat = statOf(path);
    const base = asVolume(path);
    // One volume of several stands for all of them.
    if (stat && base && findVolumes(base.bundle, folders).length > 1)
      return BundleFile.#ofVolumes(base.bundle, findVolumes(base.bundle, folders));
    if (stat === undefined) {
      const volumes = findVolumes(path, folders);
      if (volumes.length > 0) return BundleFile.#ofVolumes(path, volumes);
      throw missing(path, folders);
    }
    // With a pipe, `open` would wait until another process writes into it.
    if (!stat.isFile() && !stat.isBlockDevice())
      throw failed(`${path} is not a bundle that airgap wrote: it is not a file`);
    return BundleFile.plain(path);
  }

  /** One file as it is, also one that is a volume. @throws AirgapError `disk` */
  static plain(path: string): BundleFile {
    if (statOf(path) === undefined) throw missing(path, []);
    const fd = open(path);
    const { size } = fstatSync(fd);
    return new BundleFile(path, [fd], { size, volumes: [], volumeSize: size });
  }

  static #ofVolumes(path: string, volumes: Volume[]): BundleFile {
    const volumeSize = checkVolumes(path, volumes);
    const fds: number[] = [];
    try {
      for (const volume of volumes) fds.push(open(volume.path));
    } catch (error) {
      fds.forEach(closeSync);
      throw error;
    }
    const size = volumes.reduce((sum, each) => sum + each.size, 0);
    return new BundleFile(path, fds, { size, volumes, volumeSize });
  }

  /** Where a run of bytes lies. Beyond the end it reads as if the last file went on. */
  region(offset: number, size: number): Region {
    const [fd = -1] = this.#fds;
    if (this.volumes.length === 0) return { fd, offset, size };
    const number = Math.min(Math.floor(offset / this.volumeSize), this.#fds.length - 1);
    const at = offset - number * this.volumeSize;
    const here = { fd: this.#fds[number] as number, offset: at, size };
    const own = this.volumeSize - at;
    return number === this.#fds.length - 1 || size <= own
      ? here
      : { ...here, rest: this.region(offset + own, size - own) };
  }

  /** The folders that its parts lie in. */
  get folders(): string[] {
    return [...new Set(this.volumes.map(({ path }) => dirname(path)))];
  }

  /** The volumes that hold a run of bytes. */
  volumesOf(offset: number, size: number): Volume[] {
    const first = Math.floor(offset / this.volumeSize);
    return this.volumes.slice(first, Math.floor((offset + Math.max(size, 1) - 1) / this.volumeSize) + 1);
  }

  /** Which volumes are missing or too short, where the bundle is `expected` bytes long; undefined for one file. */
  shortage(expected: number): string | undefined {
    const last = this.volumes.at(-1);
    if (last === undefined || this.size >= expected) return undefined;
    const all = Math.ceil(expected / this.volumeSize);
    const missing = Array.from({ length: Math.max(0, all - last.number - 1) }, (_, i) => last.number + 1 + i);
    const full = missing.length > 0 ? this.volumeSize : expected - last.number * this.volumeSize;
    const parts = [
      ...(last.size < full ? [`${last.path} has ${last.size} of ${full} bytes`] : []),
      ...(missing.length > 0
        ? [
            `${named(this.path, missing)} ${missing.length === 1 ? "is" : "are"} missing (${count(all, "volume")} in all)`,
          ]
        : []),
    ];
    return parts.join("; ");
  }

  /** Whether its files still have their sizes. */
  get isWhole(): boolean {
    return this.#fds.every((fd, i) => fstatSync(fd).size >= (this.volumes[i]?.size ?? this.size));
  }

  close(): void {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }
}

function statOf(path: string): ReturnType<typeof statSync> {
  try {
    return statSync(path);
  } catch (cause) {
    if (["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw unreadable(path, cause);
  }
}

function open(path: string): number {
  try {
    return openSync(path, "r");
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

const unreadable = (path: string, cause: unknown): AirgapError =>
  new AirgapError("disk", `Cannot read the bundle ${path}: ${messageOf(cause)}`, { cause });

/** A path that does not exist is a mistake in the command. */
function missing(path: string, folders: readonly string[]): AirgapError {
  const where = folders.length > 0 ? `, and no volumes of it in ${folders.join(", ")}` : "";
  return new AirgapError("disk", `Cannot read the bundle ${path}: no such file${where}`, {
    exit: Exit.usage,
    suggestions: [`ls -l ${dirname(path)}`],
  });
}
