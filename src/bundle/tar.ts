import { BLOCK, padded } from "../transport/tar-header.ts";

export { BLOCK, padded, readHeader } from "../transport/tar-header.ts";

/**
 * The tar entries that airgap writes: plain files, owner 0:0, time 0, mode 0644.
 * POSIX ustar (IEEE 1003.1, pax "ustar Interchange Format"); a size of 8 GiB and more in base 256,
 * as GNU tar, bsdtar, Go, Python and busybox read it; a name that does not fit goes into a pax header.
 */
const NAME_MAX = 100;
const OCTAL_SIZE_MAX = 8 ** 11 - 1;

/** Two zero blocks end an archive. */
export const END_OF_ARCHIVE = Buffer.alloc(2 * BLOCK);

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, "0")}\0`;
}

function sizeField(size: number): Buffer {
  if (size <= OCTAL_SIZE_MAX) return Buffer.from(octal(size, 12), "latin1");
  const field = Buffer.alloc(12);
  field.writeBigUInt64BE(BigInt(size), 4);
  field[0] = 0x80;
  return field;
}

function ustarHeader(name: string, size: number, type: "0" | "x"): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, NAME_MAX, "latin1");
  block.write(octal(0o644, 8), 100, "latin1");
  block.write(octal(0, 8), 108, "latin1");
  block.write(octal(0, 8), 116, "latin1");
  sizeField(size).copy(block, 124);
  block.write(octal(0, 12), 136, "latin1");
  block.write("        ", 148, "latin1");
  block.write(type, 156, "latin1");
  block.write("ustar\u000000", 257, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** A pax record counts its own length: "25 path=…\n". */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return `${length}${rest}`;
}

const pathRecord = (name: string): string => paxRecord("path", name);

/** Bytes of `entryHeader`. */
export function headerSize(name: string): number {
  return name.length <= NAME_MAX ? BLOCK : 2 * BLOCK + padded(pathRecord(name).length);
}

/** Everything before the content of an entry: one block, or three for a long name. */
export function entryHeader(name: string, size: number): Buffer {
  if (name.length <= NAME_MAX) return ustarHeader(name, size, "0");
  const record = pathRecord(name);
  const data = Buffer.alloc(padded(record.length));
  data.write(record, 0, "latin1");
  return Buffer.concat([
    ustarHeader("pax", record.length, "x"),
    data,
    ustarHeader(name.slice(0, NAME_MAX), size, "0"),
  ]);
}
