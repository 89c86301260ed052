import { readSync } from "node:fs";
import { AirgapError } from "../errors.ts";
import type { OsPackage } from "./package.ts";
import { packageOf } from "./rpmdb.ts";

/** rpm's own format, lib/backend/ndb/rpmpkg.c: a header, pages of slots, and blobs at multiples of 16 bytes. */
const MAGIC = 0x506d7052;
const SLOT_MAGIC = 0x746f6c53;
const BLOB_MAGIC = 0x53626c42;
const PAGE = 4096;
const HEADER = 32;
const SLOT = 16;
const UNIT = 16;
/** Pages of slots: for a million packages. */
const MAX_PAGES = 4096;
const MAX_BLOB = 64 << 20;

/** Reads `Packages.db`, a header at a time. @throws AirgapError `corrupt` */
export function readRpmNdb(fd: number, size: number, what: string): OsPackage[] {
  const bad = (why: string): never => {
    throw new AirgapError("corrupt", `${what}: ${why}`);
  };
  const read = (offset: number, length: number): Buffer => {
    const bytes = Buffer.alloc(length);
    if (offset + length > size || readSync(fd, bytes, 0, length, offset) !== length) bad("it is cut short");
    return bytes;
  };
  const head = read(0, HEADER);
  const pages = head.readUInt32LE(12);
  if (head.readUInt32LE(0) !== MAGIC) bad("it is not in rpm's ndb format");
  if (pages > MAX_PAGES) bad(`it claims ${pages} pages of slots`);
  const slots = read(0, pages * PAGE);
  const found: OsPackage[] = [];
  for (let at = HEADER; at < slots.length; at += SLOT) {
    if (slots.readUInt32LE(at) !== SLOT_MAGIC) bad("a slot is damaged");
    const index = slots.readUInt32LE(at + 4);
    const start = slots.readUInt32LE(at + 8) * UNIT;
    if (start === 0) continue;
    const blob = read(start, UNIT);
    const length = blob.readUInt32LE(12);
    if (blob.readUInt32LE(0) !== BLOB_MAGIC || blob.readUInt32LE(4) !== index)
      bad("a header is not where its slot says");
    if (length > MAX_BLOB) bad(`a header has ${length} bytes`);
    found.push(...packageOf(read(start + UNIT, length), what));
  }
  return found;
}
