import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { decompress, decompressAll } from "../../src/packages/decompress.ts";

const LIMIT = 64 << 20;
const pack = (command: string, args: string[], input: Buffer): Buffer =>
  execFileSync(command, args, { input, maxBuffer: LIMIT });
const lzma = (input: Buffer, ...args: string[]): Buffer =>
  pack("xz", ["--format=lzma", "-c", ...(args.length > 0 ? args : ["-6"])], input);
const bzip2 = (input: Buffer, level = 9): Buffer => pack("bzip2", [`-${level}`, "-c"], input);

const text = Buffer.from(
  Array.from(
    { length: 12_000 },
    (_, i) => `<package name="lib${(i * 7919) % 10_007}" version="${i}"/>\n`,
  ).join(""),
);
const CONTENTS: [string, Buffer][] = [
  ["nothing", Buffer.alloc(0)],
  ["one byte", Buffer.from("x")],
  ["text of several blocks", text],
  ["noise of several blocks", randomBytes(1_100_000)],
  ["one byte repeated", Buffer.alloc(3_000_000, 0x41)],
  ["runs of 3 to 6, and of 255 and 260", runs([3, 4, 5, 6, 254, 255, 256, 258, 259, 260, 4, 4, 4])],
  ["all bytes", Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * i) & 0xff))],
];

function runs(lengths: number[]): Buffer {
  return Buffer.concat(lengths.map((length, i) => Buffer.alloc(length, i % 3)));
}

describe.each(CONTENTS)("%s", (_, content) => {
  test.each([1, 9])("packed by bzip2 -%i", async (level) => {
    expect((await decompressAll(bzip2(content, level), "x", LIMIT)).equals(content)).toBe(true);
  });

  test("packed by pieces that bzip2 puts one after another", async () => {
    const both = Buffer.concat([bzip2(content), bzip2(text)]);
    expect((await decompressAll(both, "x", LIMIT)).equals(Buffer.concat([content, text]))).toBe(true);
  });

  test.each(["none", "crc32", "crc64", "sha256"])(
    "packed by xz in blocks with the check %s",
    async (check) => {
      const packed = pack("xz", ["-1", "--block-size=1000000", "-C", check, "-c"], content);
      expect((await decompressAll(packed, "x", LIMIT)).equals(content)).toBe(true);
    },
  );

  test.each([["-0"], ["-9"], ["--lzma1=lc=0,lp=2,pb=0"], ["--lzma1=lc=4,pb=4,dict=64KiB"]])(
    "packed by xz --format=lzma %s",
    async (option) => {
      const packed = lzma(content, option);
      // Other properties than the usual ones have another first byte, and nobody writes them.
      const found = packed[0] === 0x5d ? decompressAll(packed, "x", LIMIT) : unlzmaAll(packed);
      expect((await found).equals(content)).toBe(true);
    },
  );
});

async function unlzmaAll(packed: Buffer): Promise<Buffer> {
  const { unlzma } = await import("../../src/packages/unlzma.ts");
  return Buffer.concat([...unlzma(packed)]);
}

test("an lzma file that says its size is read, as lzma-utils wrote them", async () => {
  const packed = lzma(text);
  packed.writeBigUInt64LE(BigInt(text.length), 5);
  expect((await decompressAll(packed, "x", LIMIT)).equals(text)).toBe(true);
  packed.writeBigUInt64LE(BigInt(text.length + 1), 5);
  await expect(decompressAll(packed, "x", LIMIT)).rejects.toThrow(/ends before its size/);
});

describe.each([
  ["bzip2", bzip2(text)],
  ["lzma", lzma(text)],
])("damaged %s", (format, packed) => {
  test("that was cut off is corrupt", async () => {
    for (const length of [8, 20, packed.length >> 1, packed.length - 3])
      await expect(decompressAll(packed.subarray(0, length), "x", LIMIT)).rejects.toMatchObject({
        code: "corrupt",
        message: expect.stringMatching(new RegExp(`cannot be unpacked \\(${format}\\)`)),
      });
  });

  test("with any byte changed ends soon, as corrupt or within its limit", async () => {
    for (let i = 0; i < 40; i++) {
      const changed = Buffer.from(packed);
      const at = 4 + ((i * 7919) % Math.min(changed.length - 4, i < 20 ? 400 : changed.length));
      changed[at] = (changed[at] as number) ^ (1 << (i % 8));
      await decompressAll(changed, "x", text.length * 2).catch((error: unknown) =>
        expect(error).toMatchObject({ code: "corrupt" }),
      );
    }
  });
});

test("bzip2 whose checksum is wrong is corrupt", async () => {
  const packed = bzip2(text);
  packed[packed.length - 2] = (packed[packed.length - 2] as number) ^ 8;
  await expect(decompressAll(packed, "x", LIMIT)).rejects.toThrow(/checksum is wrong/);
});

test.each([
  ["bzip2", bzip2(Buffer.alloc(40 << 20))],
  ["lzma", lzma(Buffer.alloc(40 << 20))],
])("%s that unpacks to more than it may stops there", async (_, packed) => {
  let given = 0;
  const read = async (): Promise<void> => {
    for await (const chunk of decompress(Readable.from([packed]), "x", 1 << 20)) given += chunk.length;
  };
  await expect(read()).rejects.toMatchObject({ code: "corrupt" });
  expect(given).toBeLessThanOrEqual(1 << 20);
});

test("an lzma file that asks for 4 GiB of memory is refused", async () => {
  const packed = lzma(text);
  packed.writeUInt32LE(0xffff0000, 1);
  await expect(decompressAll(packed, "x", LIMIT)).rejects.toThrow(/asks for a dictionary/);
});

test("xz with the check sha256 that is cut short or damaged is refused", async () => {
  const packed = pack("xz", ["-1", "--block-size=200000", "-C", "sha256", "-c"], text);
  for (const size of [
    7,
    13,
    40,
    packed.length - 60,
    packed.length - 40,
    packed.length - 13,
    packed.length - 1,
  ])
    await expect(decompressAll(packed.subarray(0, size), "x", LIMIT), `${size}`).rejects.toMatchObject({
      code: "corrupt",
    });
  for (const at of [13, 25, packed.length - 30]) {
    const changed = Buffer.from(packed);
    changed[at] = (changed[at] ?? 0) ^ 0x55;
    const found = await decompressAll(changed, "x", LIMIT).catch((error: { code: string }) => error.code);
    expect(found === "corrupt" || (Buffer.isBuffer(found) && found.equals(text)), `${at}`).toBe(true);
  }
});
