export const BLOCK = 512;

/** Bytes that content of `size` bytes takes in a tar, padding included. */
export const padded = (size: number): number => Math.ceil(size / BLOCK) * BLOCK;

/** The fields of a header block; only the checksum is checked. */
export interface TarHeader {
  name: string;
  /** POSIX type flag: "0" file, "1" hard link, "2" symbolic link. */
  type: string;
  /** Bytes; NaN when it is not a number. */
  size: number;
  /** The target of a link. */
  link: string;
}

/** Text up to the first zero byte. */
export function field(block: Buffer, start: number, length: number): string {
  const bytes = block.subarray(start, start + length);
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? length : end);
}

/** Octal, or base 256 as GNU writes it. NaN when it is neither. */
function number(block: Buffer, start: number, length: number): number {
  if (((block[start] ?? 0) & 0x80) !== 0) {
    let value = (block[start] ?? 0) & 0x7f;
    for (let i = 1; i < length; i++) value = value * 256 + (block[start + i] ?? 0);
    return value;
  }
  const text = field(block, start, length).trim();
  return text === "" ? 0 : /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

/** POSIX ustar and GNU headers. Undefined when the checksum is wrong: then it is not a header. */
export function readHeader(block: Buffer): TarHeader | undefined {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : (block[i] ?? 0);
  if (number(block, 148, 8) !== sum) return undefined;
  const posixMagic = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = posixMagic ? field(block, 345, 155) : "";
  const name = field(block, 0, 100);
  const type = block[156] === 0 ? "0" : String.fromCharCode(block[156] ?? 0);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    type,
    size: number(block, 124, 12),
    link: field(block, 157, 100),
  };
}
