import { closeSync, constants, mkdirSync, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { AirgapError, messageOf } from "../errors.ts";
import { regionPieces } from "../transport/region.ts";
import { renderScript } from "./script.ts";
import type { PlacedStep } from "./stage.ts";
import type { Upload } from "./step.ts";
import type { Turn } from "./turns.ts";

/** A file that must lie next to a script when the script runs. */
export interface Beside {
  /** Path of the script. */
  script: string;
  /** The file's name there. */
  name: string;
  /** Where it is now. */
  from: string;
}

export interface WrittenScripts {
  /** Paths, in the order in which to run them. */
  scripts: string[];
  beside: Beside[];
}

/** Does not follow an existing link. */
const NEW = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;

/** Copies a region of a file to a new file. */
function cutOut({ from, parts, offset, size }: Upload, to: string): void {
  const target = openSync(to, NEW, 0o600);
  try {
    let [at, written] = [offset, 0];
    for (const part of parts ?? [{ path: from, size: offset + size }]) {
      written += copyPart(part.path, { offset: at, size: Math.min(size - written, part.size - at) }, target);
      at = Math.max(0, at - part.size);
    }
    if (written < size) throw new Error(`${from} ends early`);
  } finally {
    closeSync(target);
  }
}

/** @returns how many bytes there were */
function copyPart(path: string, { offset, size }: { offset: number; size: number }, target: number): number {
  if (size <= 0) return 0;
  const fd = openSync(path, "r");
  let copied = 0;
  try {
    for (const piece of regionPieces({ fd, offset, size }, Buffer.alloc(1 << 20))) {
      writeFileSync(target, piece);
      copied += piece.length;
    }
  } finally {
    closeSync(fd);
  }
  return copied;
}

/** A whole file stays where it is; a region of a file is copied next to the scripts. */
function besideOf(script: string, steps: PlacedStep[], dir: string): Beside[] {
  return steps.flatMap(({ step: { upload } }) => {
    if (upload === undefined) return [];
    const whole =
      upload.parts === undefined && upload.offset === 0 && statSync(upload.from).size === upload.size;
    if (basename(upload.beside) !== upload.beside) throw new Error(`${upload.beside} is not a file name`);
    const from = whole ? upload.from : join(dir, upload.beside);
    if (!whole) cutOut(upload, from);
    return [{ script, name: upload.beside, from }];
  });
}

/**
 * Writes one script for each turn, in the order in which to run them. The scripts hold secrets.
 * @throws AirgapError `disk`
 */
export function writeScripts(dir: string, turns: Turn[]): WrittenScripts {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const width = Math.max(2, String(turns.length).length);
    const written = turns.map(({ host, steps }, i) => {
      const script = join(dir, `${String(i + 1).padStart(width, "0")}-${host}.sh`);
      // Replace an existing file instead of writing into it: others may have it open.
      rmSync(script, { force: true });
      writeFileSync(script, renderScript(host, steps), { mode: 0o700 });
      return { script, beside: besideOf(script, steps, dir) };
    });
    return { scripts: written.map(({ script }) => script), beside: written.flatMap(({ beside }) => beside) };
  } catch (cause) {
    throw new AirgapError("disk", `Cannot write the scripts to ${dir}: ${messageOf(cause)}`, { cause });
  }
}
