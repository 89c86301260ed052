import { read } from "node:fs";
import { posix } from "node:path";
import { promisify } from "node:util";
import { AirgapError } from "../errors.ts";
import { closePlainFile, openPlainFile } from "./plain-file.ts";
import { BLOCK, field, padded, readHeader, type TarHeader } from "./tar-header.ts";
import type { Region } from "./types.ts";

const readAt = promisify(read);
const WINDOW = 64 * 1024;
const MAX_ENTRIES = 1_000_000;
const MAX_EXTENSION = 1024 * 1024;
/** Links from one to the next before a file is reached. */
const MAX_LINKS = 40;

interface Entry {
  /** POSIX type flag: "0" file, "1" hard link, "2" symbolic link. */
  type: string;
  offset: number;
  size: number;
  /** Of links: the path of their target inside the archive. */
  target?: string;
  /** Why its bytes cannot be read at `offset`. */
  unusable?: string;
}

/** A path from the root of the archive; undefined when it leads out of the archive. */
function normalized(path: string): string | undefined {
  const clean = posix.normalize(path.replace(/^(?:\.?\/+)+/, "")).replace(/\/+$/, "");
  return clean === ".." || clean.startsWith("../") || clean.startsWith("/") ? undefined : clean;
}

/** Records of a pax header: `25 path=…\n`. */
function parsePax(bytes: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(bytes.toString("latin1", at, space));
    if (!Number.isInteger(length) || length <= space - at || at + length > bytes.length) break;
    const record = bytes.toString("utf8", space + 1, at + length - 1);
    const equals = record.indexOf("=");
    if (equals > 0) records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

/**
 * An index of a tar that is read in place: where each file starts. Nothing is unpacked, so no
 * entry can do harm; only plain files can be read. Of entries with one name, the last counts,
 * as it does when a tar is unpacked.
 */
export class TarIndex {
  readonly path: string;
  readonly #fd: number;
  readonly #fileSize: number;
  readonly #entries = new Map<string, Entry>();
  #closed: Promise<void> | undefined;
  #window = { offset: 0, bytes: Buffer.alloc(0) };

  private constructor(path: string, fd: number, size: number) {
    this.path = path;
    this.#fd = fd;
    this.#fileSize = size;
  }

  /** @throws AirgapError `disk` when the file cannot be read, `corrupt` when it is not a tar or not whole */
  static async open(path: string): Promise<TarIndex> {
    const file = await openPlainFile(path);
    if (file === undefined) throw new AirgapError("disk", `Cannot read the archive ${path}: no such file`);
    const index = new TarIndex(path, file.fd, file.size);
    try {
      await index.#scan();
    } catch (error) {
      await index.close();
      throw error;
    }
    return index;
  }

  /** Where a file's bytes are; links are followed. @throws AirgapError `unsupported` when the entry is not a plain file */
  find(path: string): Region | undefined {
    let at: string | undefined = normalized(path);
    for (let hops = 0; at !== undefined && hops < MAX_LINKS; hops++) {
      const entry = this.#entries.get(at);
      if (entry === undefined) return undefined;
      if (entry.unusable)
        throw new AirgapError("unsupported", `${path} in ${this.path} is ${entry.unusable}`, {
          suggestions: [`tar xf ${this.path}`],
        });
      if (entry.target === undefined) return { fd: this.#fd, offset: entry.offset, size: entry.size };
      at = entry.target;
    }
    return undefined;
  }

  /** Names of all files and links. */
  names(): string[] {
    return [...this.#entries.keys()];
  }

  /** May be called again: a descriptor's number may belong to another file by then. */
  async close(): Promise<void> {
    this.#closed ??= closePlainFile(this.#fd);
    await this.#closed;
  }

  async #scan(): Promise<void> {
    let offset = 0;
    let pax = new Map<string, string>();
    let long: { name?: string; link?: string } = {};
    for (let count = 0; offset + BLOCK <= this.#fileSize; count++) {
      if (count > MAX_ENTRIES) throw this.#corrupt(`more than ${MAX_ENTRIES} entries`);
      const block = await this.#read(offset, BLOCK);
      if (block.every((byte) => byte === 0)) return;
      const header = readHeader(block);
      if (header === undefined)
        throw this.#corrupt(
          offset === 0 ? "it is not a tar" : `no header at byte ${offset}, where one is expected`,
        );
      const size = pax.has("size") && !"xgLK".includes(header.type) ? Number(pax.get("size")) : header.size;
      const start = offset + BLOCK;
      if (!Number.isSafeInteger(size) || size < 0) throw this.#corrupt(`${header.name} has no size`);
      const stored = "123456".includes(header.type) ? 0 : size;
      if (start + stored > this.#fileSize)
        throw this.#corrupt(`it ends inside ${header.name}: it was not copied whole`);
      offset = start + padded(stored);
      if (header.type === "g") continue;
      if (header.type === "x" || header.type === "L" || header.type === "K") {
        if (size > MAX_EXTENSION) throw this.#corrupt(`a header of ${size} bytes`);
        const bytes = await this.#read(start, size);
        if (header.type === "x") pax = parsePax(bytes);
        else long = { ...long, [header.type === "L" ? "name" : "link"]: field(bytes, 0, bytes.length) };
        continue;
      }
      this.#add(header, {
        name: pax.get("path") ?? long.name ?? header.name,
        link: pax.get("linkpath") ?? long.link ?? header.link,
        start,
        size,
        pax,
      });
      pax = new Map();
      long = {};
    }
    throw this.#corrupt(offset === 0 ? "it is not a tar" : "its end is missing: it was not copied whole");
  }

  #add(
    header: TarHeader,
    {
      name,
      link,
      start,
      size,
      pax,
    }: { name: string; link: string; start: number; size: number; pax: Map<string, string> },
  ): void {
    const path = normalized(name);
    if (path === undefined || path === "" || path === ".") return;
    const sparse = header.type === "S" || [...pax.keys()].some((key) => key.startsWith("GNU.sparse"));
    if (header.type === "0" || header.type === "7" || sparse) {
      this.#entries.set(path, {
        type: "0",
        offset: start,
        size,
        ...(sparse ? { unusable: "a sparse file" } : {}),
      });
    } else if (header.type === "1" || header.type === "2") {
      // The target of a symbolic link is relative to the link, that of a hard link to the archive's root.
      const target = normalized(header.type === "1" ? link : posix.join(posix.dirname(path), link));
      this.#entries.set(path, {
        type: header.type,
        offset: 0,
        size: 0,
        ...(target === undefined || link.startsWith("/")
          ? { unusable: "a link that leads out of the archive" }
          : { target }),
      });
    }
  }

  async #read(offset: number, length: number): Promise<Buffer> {
    const { bytes, offset: from } = this.#window;
    if (offset < from || offset + length > from + bytes.length) {
      const wanted = Math.min(Math.max(length, WINDOW), this.#fileSize - offset);
      const buffer = Buffer.allocUnsafe(wanted);
      let filled = 0;
      while (filled < wanted) {
        const { bytesRead } = await readAt(this.#fd, buffer, filled, wanted - filled, offset + filled);
        if (bytesRead === 0) throw this.#corrupt("it became shorter while airgap read it");
        filled += bytesRead;
      }
      this.#window = { offset, bytes: buffer };
    }
    const start = offset - this.#window.offset;
    return this.#window.bytes.subarray(start, start + length);
  }

  #corrupt(why: string): AirgapError {
    return new AirgapError("corrupt", `Cannot read the archive ${this.path}: ${why}`, {
      suggestions: [`tar tf ${this.path}`],
    });
  }
}
