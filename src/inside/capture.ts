import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EntrySink, TarEntry } from "./tar-walk.ts";
import { hiddenBy, type Reader, readerOf } from "./watched.ts";

/** Bytes that are kept of one layer: in memory, and in files for what must be in a file to be read. */
const MAX_TEXT = 64 << 20;
const MAX_FILES = 1 << 30;
/** Watched files of one layer; distroless has one for each package. */
const MAX_COUNT = 10_000;

/** A watched file of a layer. */
export interface Captured {
  reader: Reader;
  size: number;
  parts: Buffer[];
  file?: { path: string; fd: number };
  /** Why it was not kept. */
  unread?: string;
}

/** Keeps the databases of a layer while it streams by. */
export class Capture {
  readonly files = new Map<string, Captured>();
  readonly hidden = new Set<string>();
  #folder: string | undefined;
  #text = 0;
  #stored = 0;

  /** Who takes an entry's bytes. */
  visit({ path, type, size }: TarEntry): EntrySink | undefined {
    if (path === "") return undefined;
    const hides = hiddenBy(path, type);
    if (hides !== undefined) this.hidden.add(hides);
    const reader = readerOf(path);
    if (reader === undefined || type === "5") return undefined;
    // A name that occurs twice in a tar stands for what came last.
    this.#forget(path);
    // Systems link /etc/os-release to the one that is read anyway.
    if (type === "2" && reader === "os-release") return undefined;
    if (this.files.size >= MAX_COUNT) throw new TooMuch(`it has more than ${MAX_COUNT} package databases`);
    const each: Captured = { reader, size, parts: [] };
    this.files.set(path, each);
    if (type !== "0" && type !== "7") each.unread = "it is a link";
    else return this.#keep(path, each);
    return undefined;
  }

  #keep(path: string, each: Captured): EntrySink | undefined {
    const inFile = each.reader.startsWith("rpm");
    if (inFile) this.#stored += each.size;
    else this.#text += each.size;
    if (this.#stored > MAX_FILES || this.#text > MAX_TEXT) {
      each.unread = `it has ${each.size} bytes, more than airgap reads`;
      return undefined;
    }
    if (!inFile) return { write: (chunk) => void each.parts.push(Buffer.from(chunk)), end: () => {} };
    this.#folder ??= mkdtempSync(join(tmpdir(), "airgap-sbom-"));
    // SQLite finds its log beside the file, by its name.
    const name = join(this.#folder, path.replaceAll("/", "-"));
    const fd = openSync(name, "w+", 0o600);
    each.file = { path: name, fd };
    return { write: (chunk) => writeAll(fd, chunk), end: () => {} };
  }

  #forget(path: string): void {
    const before = this.files.get(path)?.file;
    if (before) closeSync(before.fd);
    this.files.delete(path);
  }

  /** Removes what was kept in files. */
  close(): void {
    for (const path of [...this.files.keys()]) this.#forget(path);
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The layer has more than real ones have. */
export class TooMuch extends Error {}

function writeAll(fd: number, chunk: Buffer): void {
  for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
}
