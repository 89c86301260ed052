import { closeSync, constants, mkdirSync, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { AirgapError, messageOf } from "../errors.ts";
import { regionPieces } from "../transport/region.ts";
import { renderScript } from "./script.ts";
import type { PlacedStep } from "./stage.ts";
import type { Upload } from "./step.ts";
import type { Turn } from "./turns.ts";

/** A file that has to lie beside a script when that is run. */
export interface Beside {
  /** Path of the script. */
  script: string;
  /** What the file has to be called there. */
  name: string;
  /** Where it is now. */
  from: string;
}

export interface WrittenScripts {
  /** Paths, in the order in which they are to be run. */
  scripts: string[];
  beside: Beside[];
}

/** A link that is there already is not followed. */
const NEW = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;

/** Writes a stretch of a larger file to a file of its own. */
function cutOut({ from, offset, size }: Upload, to: string): void {
  const [source, target] = [openSync(from, "r"), openSync(to, NEW, 0o600)];
  try {
    let written = 0;
    for (const piece of regionPieces({ fd: source, offset, size }, Buffer.alloc(1 << 20))) {
      writeFileSync(target, piece);
      written += piece.length;
    }
    if (written < size) throw new Error(`${from} ends early`);
  } finally {
    closeSync(source);
    closeSync(target);
  }
}

/** Files that go along as they are stay where they are; what is a part of one is written beside the scripts. */
function besideOf(script: string, steps: PlacedStep[], dir: string): Beside[] {
  return steps.flatMap(({ step: { upload } }) => {
    if (upload === undefined) return [];
    const whole = upload.offset === 0 && statSync(upload.from).size === upload.size;
    if (basename(upload.beside) !== upload.beside) throw new Error(`${upload.beside} is not a file name`);
    const from = whole ? upload.from : join(dir, upload.beside);
    if (!whole) cutOut(upload, from);
    return [{ script, name: upload.beside, from }];
  });
}

/**
 * Writes one script for each turn, in the order in which they are to be run. They hold secrets.
 * @throws AirgapError `disk`
 */
export function writeScripts(dir: string, turns: Turn[]): WrittenScripts {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const width = Math.max(2, String(turns.length).length);
    const written = turns.map(({ host, steps }, i) => {
      const script = join(dir, `${String(i + 1).padStart(width, "0")}-${host}.sh`);
      // One that is there may be open to others: it is not written into.
      rmSync(script, { force: true });
      writeFileSync(script, renderScript(host, steps), { mode: 0o700 });
      return { script, beside: besideOf(script, steps, dir) };
    });
    return { scripts: written.map(({ script }) => script), beside: written.flatMap(({ beside }) => beside) };
  } catch (cause) {
    throw new AirgapError("disk", `The scripts can't be written to ${dir}: ${messageOf(cause)}`, { cause });
  }
}
