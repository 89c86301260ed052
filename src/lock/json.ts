import { readFileSync } from "node:fs";
import { AirgapError, Exit, messageOf } from "../errors.ts";
import { isRecord } from "../oci/descriptor.ts";
import { corrupt } from "./shape.ts";

/**
 * Limits of a lock. The largest real ones, some thousands of packages for several systems beside
 * some hundreds of images, stay below a third of each. docs/bundle-format.md lists them.
 */
export const LOCK_LIMITS = {
  /** Bytes. */
  size: 32 * 1024 * 1024,
  /** Nested objects and lists. */
  depth: 32,
  /** Keys and entries in all, which decide the memory: an empty list has 3 bytes here and takes 100 in memory. */
  values: 2_000_000,
  items: 10_000,
  blobs: 100_000,
} as const;

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Where the string ends that begins before `i`. */
function endOfString(bytes: Uint8Array, i: number): number {
  for (;;) {
    const end = bytes.indexOf(QUOTE, i);
    if (end < 0) return bytes.length;
    let slashes = 0;
    while (bytes[end - 1 - slashes] === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return end;
    i = end + 1;
  }
}

/** Why JSON exceeds the limits of a lock, if it does. Looks at the bytes only and builds nothing. */
function tooMuch(bytes: Uint8Array): string | undefined {
  const { size, depth: deepest, values: most } = LOCK_LIMITS;
  if (bytes.length > size) return `it has ${bytes.length} bytes; at most ${size} are allowed`;
  let depth = 0;
  let values = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === QUOTE) i = endOfString(bytes, i + 1);
    else if (byte === COMMA) values++;
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      values++;
      if (++depth > deepest) return `it is nested more than ${deepest} levels deep`;
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth--;
  }
  return values > most ? `it holds ${values} values; at most ${most} are allowed` : undefined;
}

/**
 * Reads JSON of a bundle: its lock, or its index.
 * @param what names it in messages: `The lock of site.tar`
 * @throws AirgapError `corrupt`
 */
export function parseLimitedJson(bytes: Uint8Array, what: string): Record<string, unknown> {
  const why = tooMuch(bytes);
  if (why !== undefined) throw corrupt(`${what} is too large: ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw corrupt(`${what} is not JSON`, [], cause);
  }
  if (!isRecord(value)) throw corrupt(`${what} is not a JSON object`);
  return value;
}

/** The same of a file that a user named. @throws AirgapError `disk`, `corrupt` */
export function readLimitedJson(path: string): Record<string, unknown> {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    const exit = (cause as NodeJS.ErrnoException).code === "ENOENT" ? Exit.usage : Exit.failed;
    throw new AirgapError("disk", `Cannot read ${path}: ${messageOf(cause)}`, { cause, exit });
  }
  return parseLimitedJson(bytes, path);
}
