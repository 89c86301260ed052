import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { replaceFileSync } from "../atomic.ts";
import { AirgapError, Exit, messageOf } from "../errors.ts";
import { HashPool } from "./hash-pool.ts";
import { asVolume, BundleFile, type Volume } from "./volumes.ts";

export const SUMS = "SHA256SUMS";
const MAX_SUMS = 1024 * 1024;

/** What `SHA256SUMS` of a folder says: hexadecimal by file name, as sha256sum writes it. Empty when there is none. */
export function readSums(folder: string): Map<string, string> {
  let text: string;
  try {
    text = readFileSync(join(folder, SUMS), "utf8");
  } catch {
    return new Map();
  }
  if (text.length > MAX_SUMS) return new Map();
  const lines = text.split("\n").map((line) => /^([0-9a-f]{64}) [ *](.+)$/.exec(line));
  return new Map(
    lines.flatMap((match) => (match ? [[match[2] as string, match[1] as string] as const] : [])),
  );
}

/**
 * Writes the hashes of a bundle's volumes into the folder's `SHA256SUMS`; lines of other files stay.
 * @param sums hexadecimal by file name
 * @throws AirgapError `disk`
 */
export function writeSums(folder: string, bundle: string, sums: ReadonlyMap<string, string>): void {
  const kept = [...readSums(folder)].filter(([name]) => asVolume(name)?.bundle !== basename(bundle));
  replaceSums(folder, new Map([...kept, ...sums]));
}

/** Adds the hashes of files to the folder's `SHA256SUMS`, in place of those that it has for them. @throws AirgapError `disk` */
export const addSums = (folder: string, sums: ReadonlyMap<string, string>): void =>
  replaceSums(folder, new Map([...readSums(folder), ...sums]));

function replaceSums(folder: string, all: ReadonlyMap<string, string>): void {
  const text = [...all]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, hex]) => `${hex}  ${name}\n`)
    .join("");
  try {
    replaceFileSync(join(folder, SUMS), text);
  } catch (cause) {
    throw new AirgapError("disk", `Cannot write ${join(folder, SUMS)}: ${messageOf(cause)}`, { cause });
  }
}

/** Hashes of whole files, hexadecimal, in their order. */
export async function hashFiles(paths: string[], pool: HashPool): Promise<string[]> {
  return Promise.all(
    paths.map(async (path) => {
      const file = BundleFile.plain(path);
      try {
        return (await pool.digest(file.region(0, file.size))).digest.slice("sha256:".length);
      } finally {
        file.close();
      }
    }),
  );
}

/**
 * Says which volumes are not what `SHA256SUMS` beside them says, and whose content they have instead.
 * @returns a sentence for each; empty when no sums are there
 */
export async function damagedVolumes(volumes: readonly Volume[]): Promise<string[]> {
  const folders = [...new Set(volumes.map(({ path }) => dirname(path)))];
  const sums = new Map(folders.flatMap((folder) => [...readSums(folder)]));
  const listed = volumes.filter(({ path }) => sums.has(basename(path)));
  const pool = new HashPool();
  try {
    const found = await hashFiles(
      listed.map(({ path }) => path),
      pool,
    );
    return listed.flatMap(({ path }, i) => {
      if (found[i] === sums.get(basename(path))) return [];
      const other = [...sums].find(([, hex]) => hex === found[i])?.[0];
      return [
        other
          ? `${path} has the content of ${other}: the volumes were mixed up`
          : `${path} is damaged: its SHA-256 is not the one in ${SUMS}`,
      ];
    });
  } finally {
    await pool.close();
  }
}

export interface VolumeResult {
  volume: string;
  /** Bytes. */
  size: number;
  sha256: string;
  proven: ["sums"];
}

/**
 * Verifies one volume alone, by the `SHA256SUMS` beside it. Undefined when that does not name it.
 * @throws AirgapError `check-failed`
 */
export async function verifyVolume(path: string): Promise<VolumeResult | undefined> {
  const expected = readSums(dirname(path)).get(basename(path));
  if (expected === undefined) return undefined;
  const file = BundleFile.plain(path);
  file.close();
  const pool = new HashPool();
  const [sha256 = ""] = await hashFiles([path], pool).finally(() => pool.close());
  if (sha256 === expected) return { volume: path, size: file.size, sha256, proven: ["sums"] };
  const [why] = await damagedVolumes([{ number: 0, path, size: file.size }]);
  throw new AirgapError("check-failed", why ?? `${path} is damaged`, {
    exit: Exit.check,
    suggestions: ["copy this volume again from where it was written"],
  });
}
