/**
 * The few ASN.1 types that a certificate needs, in DER.
 * X.690 (2021); https://www.rfc-editor.org/rfc/rfc5280
 */

function tagged(tag: number, content: Uint8Array): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const hex = length.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | bytes.length]), bytes, content]);
}

export const sequence = (...parts: Uint8Array[]): Buffer => tagged(0x30, Buffer.concat(parts));
export const set = (...parts: Uint8Array[]): Buffer => tagged(0x31, Buffer.concat(parts));
export const octets = (content: Uint8Array): Buffer => tagged(0x04, content);
export const utf8 = (text: string): Buffer => tagged(0x0c, Buffer.from(text, "utf8"));
export const boolean = (value: boolean): Buffer => tagged(0x01, Buffer.from([value ? 0xff : 0]));
export const nothing = (): Buffer => Buffer.from([0x05, 0]);

/** `[n] EXPLICIT` around a value, or `[n] IMPLICIT` for primitive content. */
export const explicit = (n: number, content: Uint8Array): Buffer => tagged(0xa0 | n, content);
export const implicit = (n: number, content: Uint8Array): Buffer => tagged(0x80 | n, content);

/** A number that is not negative, big-endian. */
export function integer(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const value = Buffer.from(bytes.subarray(start));
  return tagged(0x02, ((value[0] ?? 0) & 0x80) === 0 ? value : Buffer.concat([Buffer.from([0]), value]));
}

/** @param unused number of unused bits at the end */
export const bits = (content: Uint8Array, unused = 0): Buffer =>
  tagged(0x03, Buffer.concat([Buffer.from([unused]), content]));

/** `2.5.29.19` */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((part) => {
    const groups = [part & 0x7f];
    for (let left = part >>> 7; left > 0; left >>>= 7) groups.unshift(0x80 | (left & 0x7f));
    return groups;
  });
  return tagged(0x06, Buffer.from(bytes));
}

/** UTCTime until 2049, GeneralizedTime after. RFC 5280, 4.1.2.5. */
export function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, "");
  return date.getUTCFullYear() < 2050
    ? tagged(0x17, Buffer.from(digits.slice(2)))
    : tagged(0x18, Buffer.from(digits));
}
