/** A value of a header. `i18n` is a text in the language `C`. */
export type RpmValue =
  | { type: "int16" | "int32"; numbers: number[] }
  | { type: "string" | "i18n"; text: string }
  | { type: "strings"; texts: string[] }
  | { type: "bin"; bytes: Uint8Array };

const TYPE = { int16: 3, int32: 4, string: 6, bin: 7, strings: 8, i18n: 9 } as const;
const WIDTH: Partial<Record<RpmValue["type"], number>> = { int16: 2, int32: 4 };
const MAGIC = Buffer.from("8eade80100000000", "hex");
const ENTRY = 16;

function encode(value: RpmValue): { bytes: Buffer; count: number } {
  switch (value.type) {
    case "bin":
      return { bytes: Buffer.from(value.bytes), count: value.bytes.length };
    case "string":
    case "i18n":
      return { bytes: Buffer.from(`${value.text}\0`), count: 1 };
    case "strings":
      return {
        bytes: Buffer.from(value.texts.map((text) => `${text}\0`).join("")),
        count: value.texts.length,
      };
    default: {
      const width = value.type === "int16" ? 2 : 4;
      const bytes = Buffer.alloc(value.numbers.length * width);
      for (const [i, number] of value.numbers.entries()) bytes.writeUIntBE(number, i * width, width);
      return { bytes, count: value.numbers.length };
    }
  }
}

function indexEntry(tag: number, type: number, offset: number, count: number): Buffer {
  const entry = Buffer.alloc(ENTRY);
  entry.writeInt32BE(tag, 0);
  entry.writeInt32BE(type, 4);
  entry.writeInt32BE(offset, 8);
  entry.writeInt32BE(count, 12);
  return entry;
}

/**
 * A header section: magic, index, store. All of it is one immutable region, whose own entry comes first and
 * whose trailer ends the store. https://rpm-software-management.github.io/rpm/manual/format_header.html
 * @param region 62 for the signature header, 63 for the main one
 */
export function rpmHeader(region: 62 | 63, values: ReadonlyMap<number, RpmValue>): Buffer {
  const sorted = [...values].toSorted(([a], [b]) => a - b);
  const entries: Buffer[] = [];
  const store: Buffer[] = [];
  let offset = 0;
  for (const [tag, value] of sorted) {
    const padding = Buffer.alloc(-offset & ((WIDTH[value.type] ?? 1) - 1));
    const { bytes, count } = encode(value);
    offset += padding.length;
    entries.push(indexEntry(tag, TYPE[value.type], offset, count));
    store.push(padding, bytes);
    offset += bytes.length;
  }
  const number = entries.length + 1;
  const first = indexEntry(region, TYPE.bin, offset, ENTRY);
  store.push(indexEntry(region, TYPE.bin, -number * ENTRY, ENTRY));
  const sizes = Buffer.alloc(8);
  sizes.writeUInt32BE(number, 0);
  sizes.writeUInt32BE(offset + ENTRY, 4);
  return Buffer.concat([MAGIC, sizes, first, ...entries, ...store]);
}
