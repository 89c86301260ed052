import { readSync } from "node:fs";
import { AirgapError } from "../errors.ts";
import type { OsPackage } from "./package.ts";
import { packageOf } from "./rpmdb.ts";

/** Berkeley DB's hash file, dbinc/db_page.h: pages of pairs; large values go on in pages of their own. */
const MAGIC = 0x061561;
const META = 72;
const PAGE_HEADER = 26;
const PAIRS = [2, 13];
const OVERFLOW = 7;
const INLINE = 1;
const OFF_PAGE = 3;
const MAX_VALUE = 64 << 20;

interface File {
  what: string;
  page(number: number): Buffer;
  u16(page: Buffer, at: number): number;
  u32(page: Buffer, at: number): number;
  pages: number;
  pageSize: number;
}

function bad(what: string, why: string): never {
  throw new AirgapError("corrupt", `${what}: ${why}`);
}

function open(fd: number, size: number, what: string): File {
  const read = (offset: number, length: number): Buffer => {
    const bytes = Buffer.alloc(length);
    if (offset + length > size || readSync(fd, bytes, 0, length, offset) !== length)
      bad(what, "it is cut short");
    return bytes;
  };
  const meta = read(0, META);
  const big = meta.readUInt32BE(12) === MAGIC;
  if (!big && meta.readUInt32LE(12) !== MAGIC) bad(what, "it is not a hash of Berkeley DB");
  const u16 = (page: Buffer, at: number): number => (big ? page.readUInt16BE(at) : page.readUInt16LE(at));
  const u32 = (page: Buffer, at: number): number => (big ? page.readUInt32BE(at) : page.readUInt32LE(at));
  const pageSize = u32(meta, 20);
  if (pageSize < 512 || pageSize > 65536 || (pageSize & (pageSize - 1)) !== 0)
    bad(what, `it claims pages of ${pageSize} bytes`);
  const pages = Math.floor(size / pageSize);
  const page = (number: number): Buffer =>
    number > 0 && number < pages ? read(number * pageSize, pageSize) : bad(what, "a page is missing");
  return { what, page, u16, u32, pages, pageSize };
}

/** Reads `Packages`, a header at a time. @throws AirgapError `corrupt` */
export function readRpmBdb(fd: number, size: number, what: string): OsPackage[] {
  const file = open(fd, size, what);
  const found: OsPackage[] = [];
  for (let number = 1; number < file.pages; number++) {
    const page = file.page(number);
    if (!PAIRS.includes(page[25] ?? 0)) continue;
    const entries = file.u16(page, 20);
    if (PAGE_HEADER + entries * 2 > file.pageSize) bad(what, `page ${number} claims ${entries} entries`);
    // Keys and values take turns.
    for (let i = 1; i < entries; i += 2) {
      const value = valueAt(file, page, i);
      // The pair with the key 0 counts headers.
      if (value.length > 4) found.push(...packageOf(value, what));
    }
  }
  return found;
}

/** Items lie one below the other from the end of the page, the first one last. */
function valueAt(file: File, page: Buffer, i: number): Buffer {
  const start = file.u16(page, PAGE_HEADER + i * 2);
  const end = file.u16(page, PAGE_HEADER + (i - 1) * 2);
  if (start < PAGE_HEADER || end <= start || end > file.pageSize)
    return bad(file.what, "an item lies outside of its page");
  const kind = page[start];
  if (kind === INLINE) return page.subarray(start + 1, end);
  if (kind !== OFF_PAGE || end - start < 12) return bad(file.what, `an item is of the unknown kind ${kind}`);
  return chained(file, file.u32(page, start + 4), file.u32(page, start + 8));
}

function chained(file: File, first: number, length: number): Buffer {
  if (length > MAX_VALUE) bad(file.what, `a header has ${length} bytes`);
  const parts: Buffer[] = [];
  for (let number = first, rest = length; rest > 0; ) {
    const page = file.page(number);
    if (page[25] !== OVERFLOW) bad(file.what, `page ${number} is not part of a header`);
    const part = page.subarray(PAGE_HEADER, PAGE_HEADER + Math.min(file.u16(page, 22), rest));
    if (part.length === 0) bad(file.what, `page ${number} is empty`);
    parts.push(part);
    rest -= part.length;
    number = file.u32(page, 16);
  }
  return Buffer.concat(parts);
}
