/**
 * Unpacks bzip2, block by block. The npm packages for it hold all of the output at once or run for
 * ever on damaged input, so it is done here. The format:
 * https://github.com/dsnet/compress/blob/master/doc/bzip2-format.pdf
 */

const BLOCK = 0x314159;
const BLOCK_REST = 0x265359;
const END = 0x177245;
const END_REST = 0x385090;
/** Symbols for which one Huffman table is used. */
const GROUP = 50;
const MAX_CODE_LENGTH = 20;
/** Bytes that are handed out at once. */
const PIECE = 1 << 18;

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc >>> 0;
});

class BitReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #held = 0;
  #count = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** @param count at most 24 */
  bits(count: number): number {
    while (this.#count < count) {
      if (this.#at >= this.#bytes.length) throw new Error("it ends in the middle");
      this.#held = (this.#held << 8) | (this.#bytes[this.#at++] as number);
      this.#count += 8;
    }
    this.#count -= count;
    const value = this.#held >>> this.#count;
    this.#held &= (1 << this.#count) - 1;
    return value;
  }

  word(): number {
    return ((this.bits(16) << 16) | this.bits(16)) >>> 0;
  }

  /** Goes on at the next whole byte. Whether another stream begins there. */
  nextStream(): boolean {
    this.#count -= this.#count % 8;
    this.#at -= this.#count / 8;
    this.#held = 0;
    this.#count = 0;
    return Buffer.from(this.#bytes.subarray(this.#at, this.#at + 3)).toString("latin1") === "BZh";
  }
}

/** @throws Error for damaged content */
export function* bunzip2(bytes: Uint8Array): Generator<Buffer> {
  const reader = new BitReader(bytes);
  do {
    if (reader.bits(24) !== 0x425a68) throw new Error("it does not begin as bzip2 does");
    const level = reader.bits(8) - 0x30;
    if (level < 1 || level > 9) throw new Error("its block size is not one of bzip2's");
    yield* unpackStream(reader, level * 100_000);
  } while (reader.nextStream());
}

function* unpackStream(reader: BitReader, max: number): Generator<Buffer> {
  let combined = 0;
  for (;;) {
    const kind = reader.bits(24);
    const rest = reader.bits(24);
    const crc = reader.word();
    if (kind === END && rest === END_REST) {
      if (crc !== combined) throw new Error("its checksum is wrong");
      return;
    }
    if (kind !== BLOCK || rest !== BLOCK_REST) throw new Error("a block does not begin as it must");
    if (reader.bits(1) === 1) throw new Error("it is of a version of bzip2 before 1.0");
    const found = yield* unpackBlock(reader, max);
    if (found !== crc) throw new Error("the checksum of a block is wrong");
    combined = (((combined << 1) | (combined >>> 31)) ^ crc) >>> 0;
  }
}

/** Undoes the Burrows-Wheeler transform and the first run-length encoding. @returns the block's CRC */
function* unpackBlock(reader: BitReader, max: number): Generator<Buffer, number> {
  const origin = reader.bits(24);
  const block = readSymbols(reader, max);
  if (origin >= block.length) throw new Error("a block begins behind its end");
  const next = inverse(block);
  let crc = 0xffffffff;
  let piece = Buffer.allocUnsafe(PIECE);
  let filled = 0;
  let at = next[origin] as number;
  let previous = -1;
  let run = 0;
  for (let i = 0; i < block.length; i++) {
    const byte = block[at] as number;
    at = next[at] as number;
    const repeats = run === 4;
    const copies = repeats ? byte : 1;
    if (!repeats) {
      run = byte === previous ? run + 1 : 1;
      previous = byte;
    }
    for (let copy = 0; copy < copies; copy++) {
      crc = (crc << 8) ^ (CRC[(crc >>> 24) ^ previous] as number);
      piece[filled++] = previous;
      if (filled < PIECE) continue;
      yield piece;
      piece = Buffer.allocUnsafe(PIECE);
      filled = 0;
    }
    if (!repeats) continue;
    run = 0;
    previous = -1;
  }
  if (filled > 0) yield piece.subarray(0, filled);
  return ~crc >>> 0;
}

/** For each place in the last column, where the byte that follows it is. */
function inverse(block: Uint8Array): Uint32Array {
  const starts = new Uint32Array(257);
  for (const byte of block) starts[byte + 1] = (starts[byte + 1] as number) + 1;
  for (let byte = 1; byte < 257; byte++)
    starts[byte] = (starts[byte] as number) + (starts[byte - 1] as number);
  const next = new Uint32Array(block.length);
  for (let i = 0; i < block.length; i++) {
    const byte = block[i] as number;
    const to = starts[byte] as number;
    starts[byte] = to + 1;
    next[to] = i;
  }
  return next;
}

/** Undoes the Huffman codes, move-to-front and the runs of its first symbol. */
function readSymbols(reader: BitReader, max: number): Uint8Array {
  const front = usedBytes(reader);
  const tableCount = reader.bits(3);
  if (tableCount < 2 || tableCount > 6) throw new Error("a block has a wrong number of tables");
  const selectors = readSelectors(reader, tableCount);
  const tables = Array.from({ length: tableCount }, () => readTable(reader, front.length + 2));
  const end = front.length + 1;
  const block = new Uint8Array(max);
  let size = 0;
  let run = 0;
  let step = 1;
  for (let index = 0; ; index++) {
    const table = tables[selectors[Math.floor(index / GROUP)] as number];
    if (table === undefined) throw new Error("a block has too few selectors");
    const symbol = readCode(reader, table);
    if (symbol <= 1) {
      run += step << symbol;
      step <<= 1;
      if (size + run > max) throw new Error("a block is larger than it may be");
      continue;
    }
    if (run > 0) block.fill(front[0] as number, size, size + run);
    size += run;
    run = 0;
    step = 1;
    if (symbol === end) return block.subarray(0, size);
    if (size >= max) throw new Error("a block is larger than it may be");
    const byte = front[symbol - 1] as number;
    front.copyWithin(1, 0, symbol - 1);
    front[0] = byte;
    block[size++] = byte;
  }
}

function usedBytes(reader: BitReader): Uint8Array {
  const used: number[] = [];
  const rows = reader.bits(16);
  for (let row = 0; row < 16; row++) {
    if ((rows & (0x8000 >> row)) === 0) continue;
    const columns = reader.bits(16);
    for (let column = 0; column < 16; column++)
      if ((columns & (0x8000 >> column)) !== 0) used.push(row * 16 + column);
  }
  if (used.length === 0) throw new Error("a block uses no byte");
  return Uint8Array.from(used);
}

function readSelectors(reader: BitReader, tableCount: number): Uint8Array {
  const selectors = new Uint8Array(reader.bits(15));
  const order = Array.from({ length: tableCount }, (_, i) => i);
  for (let i = 0; i < selectors.length; i++) {
    let place = 0;
    while (reader.bits(1) === 1) if (++place >= tableCount) throw new Error("a selector is wrong");
    const [table = 0] = order.splice(place, 1);
    order.unshift(table);
    selectors[i] = table;
  }
  return selectors;
}

/** A canonical Huffman code: how many codes have each length in bits, and the symbols in their order. */
interface Table {
  counts: Uint16Array;
  symbols: Uint16Array;
}

function readTable(reader: BitReader, symbolCount: number): Table {
  const lengths = new Uint8Array(symbolCount);
  let length = reader.bits(5);
  for (let symbol = 0; symbol < symbolCount; symbol++) {
    for (;;) {
      if (length < 1 || length > MAX_CODE_LENGTH) throw new Error("the length of a code is wrong");
      if (reader.bits(1) === 0) break;
      length += reader.bits(1) === 0 ? 1 : -1;
    }
    lengths[symbol] = length;
  }
  const counts = new Uint16Array(MAX_CODE_LENGTH + 1);
  for (const each of lengths) counts[each] = (counts[each] as number) + 1;
  const order = Array.from(lengths.keys()).sort(
    (a, b) => (lengths[a] as number) - (lengths[b] as number) || a - b,
  );
  return { counts, symbols: Uint16Array.from(order) };
}

function readCode(reader: BitReader, { counts, symbols }: Table): number {
  let code = 0;
  let first = 0;
  let index = 0;
  for (let length = 1; length <= MAX_CODE_LENGTH; length++) {
    code |= reader.bits(1);
    const count = counts[length] as number;
    // Lengths that no code can have give places outside of the list.
    if (code - first < count) return symbols[index + code - first] ?? wrongCode();
    index += count;
    first = (first + count) << 1;
    code <<= 1;
  }
  return wrongCode();
}

function wrongCode(): never {
  throw new Error("a code stands for nothing");
}
