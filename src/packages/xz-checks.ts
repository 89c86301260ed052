import { crc32 } from "node:zlib";
import { Taker } from "./taker.ts";

/** Bytes of a block's check, by the number of its kind. https://tukaani.org/xz/xz-file-format.txt 2.1.1.2 */
const CHECK_SIZES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];
/** None, CRC32 and CRC64: what decoders know. */
const KNOWN = new Set([0, 1, 4]);
const HEADER = 12;
const MAX_RECORDS = 1 << 20;

function crcOf(bytes: Uint8Array): Buffer {
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(crc32(bytes));
  return sum;
}

/** 1.2: seven bits a byte, the lowest first. */
function multibyte(value: bigint): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    if (rest <= 0x7fn) return bytes;
  }
}

/** One stream of a file, rewritten as it passes. */
class Stream {
  readonly #taker: Taker;
  readonly #checkSize: number;

  constructor(taker: Taker, check: number) {
    this.#taker = taker;
    this.#checkSize = CHECK_SIZES[check] ?? 0;
  }

  async #take(count: number): Promise<Buffer> {
    const bytes = await this.#taker.take(count);
    if (bytes === undefined) throw new Error("it is cut short");
    return bytes;
  }

  async *rewritten(): AsyncGenerator<Buffer> {
    const flags = Buffer.from([0, 0]);
    yield Buffer.concat([Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), flags, crcOf(flags)]);
    for (;;) {
      const size = await this.#take(1);
      if (size[0] === 0) break;
      yield size;
      yield await this.#take(((size[0] ?? 0) + 1) * 4 - 1);
      yield* this.#data();
      await this.#take(this.#checkSize);
    }
    const index = await this.#index();
    await this.#take(HEADER);
    const end = Buffer.alloc(6);
    end.writeUInt32LE(index.length / 4 - 1);
    yield Buffer.concat([index, crcOf(end), end, Buffer.from("YZ")]);
  }

  /** LZMA2's chunks up to the one that ends a block, and the padding after it. */
  async *#data(): AsyncGenerator<Buffer> {
    let size = 0;
    for (;;) {
      const control = await this.#take(1);
      const kind = control[0] ?? 0;
      yield control;
      size += 1;
      if (kind === 0) break;
      if (kind > 2 && kind < 0x80) throw new Error(`a chunk of the unknown kind ${kind}`);
      const head = await this.#take(kind < 0x80 ? 2 : kind < 0xc0 ? 4 : 5);
      yield head;
      const length = head.readUInt16BE(kind < 0x80 ? 0 : 2) + 1;
      yield await this.#take(length);
      size += head.length + length;
    }
    yield await this.#take(-size & 3);
  }

  /** The index with the sizes that blocks have without their checks; its first byte was taken. */
  async #index(): Promise<Buffer> {
    let read = 1;
    const number = async (): Promise<bigint> => {
      let value = 0n;
      for (let i = 0n; i < 9n; i++) {
        const byte = (await this.#take(1))[0] ?? 0;
        read++;
        value |= BigInt(byte & 0x7f) << (7n * i);
        if (byte < 0x80) return value;
      }
      throw new Error("a number in its index is too long");
    };
    const count = await number();
    if (count > MAX_RECORDS) throw new Error(`its index has ${count} blocks`);
    const bytes = [0, ...multibyte(count)];
    for (let i = 0n; i < count; i++) {
      const unpadded = (await number()) - BigInt(this.#checkSize);
      if (unpadded < 0n) throw new Error("its index is damaged");
      bytes.push(...multibyte(unpadded), ...multibyte(await number()));
    }
    // Padding, and the checksum.
    await this.#take((-read & 3) + 4);
    while (bytes.length % 4 !== 0) bytes.push(0);
    return Buffer.concat([Buffer.from(bytes), crcOf(Buffer.from(bytes))]);
  }
}

/**
 * The same xz file without checks of a kind that the decoder does not know: rpm writes SHA-256. What it says of the
 * content is not looked at, since a digest of the file is.
 */
export async function* withKnownChecks(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const taker = new Taker(chunks);
  for (let header = await taker.take(HEADER); header !== undefined; header = await taker.take(HEADER)) {
    const check = (header[7] ?? 0) & 0xf;
    if (header.toString("latin1", 0, 6) !== "\xfd7zXZ\0" || KNOWN.has(check)) {
      yield header;
      break;
    }
    yield* new Stream(taker, check).rewritten();
  }
  yield* taker.rest();
}
