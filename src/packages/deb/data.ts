import { AirgapError } from "../../errors.ts";
import { BLOCK, field, padded, readHeader } from "../../transport/tar-header.ts";
import { decompress } from "../decompress.ts";
import { dataMember } from "./archive.ts";

/** Most bytes that the files of a package may be. */
const MAX_DATA = 4 * 2 ** 30;
/** Folders that became links into /usr, which packages of Debian 12 still name. https://wiki.debian.org/UsrMerge */
const MERGED = /^(\.?\/?)(bin|sbin|lib|lib32|lib64|libx32)(?=\/|$)/;

const inUsr = (path: string): string =>
  path.replace(MERGED, (_, start: string, name: string) => `${start}usr/${name}`);

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

function withChecksum(block: Buffer): Buffer {
  block.write("        ", 148, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** A GNU entry that gives the next one its name (`L`) or its target (`K`). */
function longName(type: "L" | "K", text: string): Buffer {
  const data = Buffer.alloc(padded(Buffer.byteLength(text) + 1));
  data.write(text, 0, "utf8");
  const block = Buffer.alloc(BLOCK);
  block.write("././@LongLink", 0, "latin1");
  block.write("0000644\0" + "0000000\0" + "0000000\0", 100, "latin1");
  block.write(`${(Buffer.byteLength(text) + 1).toString(8).padStart(11, "0")}\0`, 124, "latin1");
  block.write("00000000000\0", 136, "latin1");
  block.write(type, 156, "latin1");
  block.write("ustar  \0", 257, "latin1");
  return Buffer.concat([withChecksum(block), data]);
}

/** The header of an entry whose name and target are in /usr where folders are merged. */
function moved(block: Buffer, long: { name?: string; link?: string }, type: string): Buffer {
  const header = readHeader(block);
  const name = inUsr(long.name ?? header?.name ?? "");
  // A hard link's target is a path of the archive; a symbolic link's is left as it is.
  const link = type === "1" ? inUsr(long.link ?? header?.link ?? "") : (long.link ?? header?.link ?? "");
  const copy = Buffer.from(block);
  const before: Buffer[] = [];
  const write = (text: string, at: number, kind: "L" | "K"): void => {
    copy.fill(0, at, at + 100);
    if (Buffer.byteLength(text) <= 100) copy.write(text, at, "utf8");
    else {
      before.push(longName(kind, text));
      copy.write(text, at, 100, "utf8");
    }
  };
  write(name, 0, "L");
  write(link, 157, "K");
  // What POSIX puts before the name is in the name now.
  if (copy.toString("latin1", 257, 263) === "ustar\0") copy.fill(0, 345, 500);
  return Buffer.concat([...before, withChecksum(copy)]);
}

/**
 * The files of a package as entries of a tar without its end, so that several can follow each other, where /bin, /lib
 * and the like are links into /usr.
 * @param seen folders that are in the tar already; none is in it twice
 * @throws AirgapError `corrupt`
 */
export async function* mergedEntries(deb: Buffer, what: string, seen: Set<string>): AsyncGenerator<Buffer> {
  const damaged = (): AirgapError => new AirgapError("corrupt", `${what} has a damaged data.tar`);
  let held: Buffer = Buffer.alloc(0);
  let [skip, copying, ended] = [0, false, false];
  let long: { name?: string; link?: string } = {};
  for await (const chunk of decompress(once(dataMember(deb, what)), `data.tar of ${what}`, MAX_DATA)) {
    // A decoder that is left before its end keeps others waiting for its memory.
    if (ended) continue;
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (;;) {
      if (skip > 0) {
        const piece = held.subarray(0, Math.min(skip, held.length));
        if (copying && piece.length > 0) yield piece;
        skip -= piece.length;
        held = held.subarray(piece.length);
        if (skip > 0) break;
      }
      if (held.length < BLOCK) break;
      const block = held.subarray(0, BLOCK);
      if (block.every((byte) => byte === 0)) {
        ended = true;
        break;
      }
      const header = readHeader(block);
      if (header === undefined || !Number.isSafeInteger(header.size)) throw damaged();
      const { type, size } = header;
      if (type === "L" || type === "K") {
        if (size > 65_536) throw damaged();
        if (held.length < BLOCK + padded(size)) break;
        const text = field(held.subarray(BLOCK), 0, size);
        long = { ...long, [type === "L" ? "name" : "link"]: text };
        held = held.subarray(BLOCK + padded(size));
        continue;
      }
      const path = inUsr(long.name ?? header.name).replace(/^\.?\/|\/$/g, "");
      copying = type !== "5" || !(seen.has(path) || path === "" || path === ".");
      if (copying) yield moved(block, long, type);
      if (type === "5") seen.add(path);
      long = {};
      held = held.subarray(BLOCK);
      skip = padded(size);
    }
  }
}
