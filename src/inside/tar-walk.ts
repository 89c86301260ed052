import { AirgapError } from "../errors.ts";
import { BLOCK, padded, readHeader, type TarHeader } from "../transport/tar-header.ts";

/** Bytes of a long name, or of extended headers. */
const MAX_EXTENDED = 1 << 20;

export interface TarEntry {
  /** Below the root, without `.`; empty for what lies outside of it. */
  path: string;
  /** POSIX type flag: "0" file, "1" hard link, "2" symbolic link, "5" folder. */
  type: string;
  /** Bytes. */
  size: number;
  link: string;
}

/** Takes an entry's bytes; `end` is called when it is whole. */
export interface EntrySink {
  write(chunk: Buffer): void;
  end(): void;
}

/** `./a//b/` as `a/b`; empty for a path that leaves the root. */
export function normalPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return parts.includes("..") ? "" : parts.join("/");
}

/**
 * Reads a tar as its bytes come. Nothing of it is held but headers.
 * @param visit says who takes the bytes of an entry; undefined for nobody
 * @throws AirgapError `corrupt`
 */
export async function walkTar(
  chunks: AsyncIterable<Buffer>,
  what: string,
  visit: (entry: TarEntry) => EntrySink | undefined,
): Promise<void> {
  const walk = new TarWalk(what, visit);
  for await (const chunk of chunks) walk.write(chunk);
  walk.end();
}

class TarWalk {
  readonly #what: string;
  readonly #visit: (entry: TarEntry) => EntrySink | undefined;
  #head: Buffer = Buffer.alloc(0);
  #sink: EntrySink | undefined;
  /** Bytes of the entry, and of its padding, that are still to come. */
  #body = 0;
  #padding = 0;
  #extended: { path?: string; link?: string; size?: number } = {};
  #ended = false;

  constructor(what: string, visit: (entry: TarEntry) => EntrySink | undefined) {
    this.#what = what;
    this.#visit = visit;
  }

  write(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#ended) {
      if (this.#body > 0) {
        const part = chunk.subarray(at, at + this.#body);
        this.#sink?.write(part);
        this.#body -= part.length;
        at += part.length;
        if (this.#body === 0) this.#finish();
      } else if (this.#padding > 0) {
        const skipped = Math.min(this.#padding, chunk.length - at);
        this.#padding -= skipped;
        at += skipped;
      } else {
        const part = chunk.subarray(at, at + BLOCK - this.#head.length);
        at += part.length;
        this.#head =
          this.#head.length === 0 && part.length === BLOCK ? part : Buffer.concat([this.#head, part]);
        if (this.#head.length === BLOCK) this.#header(this.#head);
      }
    }
  }

  /** A layer may end without the blocks of zeros, as some builders leave them out. */
  end(): void {
    if (this.#body > 0 || (!this.#ended && this.#head.length > 0))
      throw this.#bad("it ends in the middle of an entry");
  }

  #bad(why: string): AirgapError {
    return new AirgapError("corrupt", `${this.#what} is not a tar that airgap can read: ${why}`);
  }

  #finish(): void {
    this.#sink?.end();
    this.#sink = undefined;
  }

  #header(block: Buffer): void {
    this.#head = Buffer.alloc(0);
    if (block.every((byte) => byte === 0)) {
      this.#ended = true;
      return;
    }
    const header = readHeader(block);
    if (header === undefined || !Number.isSafeInteger(header.size)) throw this.#bad("a header is damaged");
    if ("xgLK".includes(header.type)) this.#extend(header);
    else this.#entry(header);
  }

  #entry({ name, type, size, link }: TarHeader): void {
    const extended = this.#extended;
    this.#extended = {};
    // A link has no bytes of its own, whatever its header says.
    const bytes = "12346".includes(type) || type === "5" ? 0 : (extended.size ?? size);
    const path = normalPath(extended.path ?? name);
    this.#begin(bytes, this.#visit({ path, type, size: bytes, link: extended.link ?? link }));
  }

  #begin(size: number, sink: EntrySink | undefined): void {
    this.#body = size;
    this.#padding = padded(size) - size;
    this.#sink = sink;
    if (size === 0) this.#finish();
  }

  /** https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html and GNU's long names. */
  #extend({ type, size }: TarHeader): void {
    if (size > MAX_EXTENDED) throw this.#bad(`an extended header has ${size} bytes`);
    const parts: Buffer[] = [];
    this.#begin(size, {
      write: (chunk) => void parts.push(Buffer.from(chunk)),
      end: () => {
        const bytes = Buffer.concat(parts);
        const text = bytes.toString("utf8").replace(/\0.*$/s, "");
        if (type === "L") this.#extended.path = text;
        if (type === "K") this.#extended.link = text;
        if (type === "x") Object.assign(this.#extended, this.#records(bytes));
      },
    });
  }

  #records(bytes: Buffer): { path?: string; link?: string; size?: number } {
    const found: { path?: string; link?: string; size?: number } = {};
    for (let at = 0; at < bytes.length; ) {
      const length = Number(/^\d{1,7} /.exec(bytes.toString("latin1", at, at + 8))?.[0]);
      if (!(length > 3) || at + length > bytes.length) throw this.#bad("an extended header is damaged");
      const record = bytes.toString("utf8", at, at + length - 1);
      const [, key, value = ""] = /^\d+ ([^=]*)=(.*)$/s.exec(record) ?? [];
      if (key === "path") found.path = value;
      if (key === "linkpath") found.link = value;
      if (key === "size") found.size = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
      at += length;
    }
    if (found.size !== undefined && !Number.isSafeInteger(found.size))
      throw this.#bad("a size is not a number");
    return found;
  }
}
