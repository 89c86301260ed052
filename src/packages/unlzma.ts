/**
 * Unpacks .lzma files, the form before .xz. xz's own decoders for JavaScript read .xz only.
 * The format: lzma-specification.txt of the LZMA SDK, https://www.7-zip.org/sdk.html
 */

/** Bytes. xz itself makes none above 64 MiB; what a header asks for is reserved. */
const MAX_DICTIONARY = 128 << 20;
/** Bytes that are handed out at once, at most a match more. */
const PIECE = 1 << 16;
const MAX_MATCH = 273;
const ONE = 1 << 11;
const TOP = 2 ** 24;
const ENDLESS = 0xffffffff;

const probabilities = (count: number): Uint16Array => new Uint16Array(count).fill(ONE / 2);

class RangeDecoder {
  readonly #bytes: Uint8Array;
  #at: number;
  #range = 0xffffffff;
  #code = 0;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
    if (this.#byte() !== 0) throw new Error("it does not begin as LZMA does");
    for (let i = 0; i < 4; i++) this.#code = ((this.#code << 8) | this.#byte()) >>> 0;
  }

  bit(probs: Uint16Array, i: number): 0 | 1 {
    const chance = probs[i] as number;
    const bound = (this.#range >>> 11) * chance;
    if (this.#code < bound) {
      this.#range = bound;
      probs[i] = chance + ((ONE - chance) >> 5);
      this.#refill();
      return 0;
    }
    this.#range -= bound;
    this.#code -= bound;
    probs[i] = chance - (chance >> 5);
    this.#refill();
    return 1;
  }

  direct(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++) {
      this.#range = this.#range >>> 1;
      const bit = this.#code >= this.#range ? 1 : 0;
      if (bit === 1) this.#code -= this.#range;
      value = value * 2 + bit;
      this.#refill();
    }
    return value;
  }

  /** @param from where the tree begins, counted so that its root is at `from + 1` */
  tree(probs: Uint16Array, bits: number, from = 0): number {
    let node = 1;
    for (let i = 0; i < bits; i++) node = (node << 1) | this.bit(probs, from + node);
    return node - (1 << bits);
  }

  /** The same with the lowest bit first. */
  reverse(probs: Uint16Array, bits: number, from = 0): number {
    let node = 1;
    let value = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.bit(probs, from + node);
      node = (node << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  #refill(): void {
    if (this.#range >= TOP) return;
    this.#range = (this.#range << 8) >>> 0;
    this.#code = ((this.#code << 8) | this.#byte()) >>> 0;
  }

  #byte(): number {
    if (this.#at >= this.#bytes.length) throw new Error("it ends in the middle");
    return this.#bytes[this.#at++] as number;
  }
}

class Lengths {
  readonly #choice = probabilities(2);
  readonly #low = probabilities(16 << 3);
  readonly #middle = probabilities(16 << 3);
  readonly #high = probabilities(1 << 8);

  read(range: RangeDecoder, position: number): number {
    if (range.bit(this.#choice, 0) === 0) return 2 + range.tree(this.#low, 3, position << 3);
    if (range.bit(this.#choice, 1) === 0) return 10 + range.tree(this.#middle, 3, position << 3);
    return 18 + range.tree(this.#high, 8);
  }
}

/** What was unpacked last, as far back as matches reach; handed out in pieces. */
class Window {
  readonly #bytes: Buffer;
  #at = 0;
  #given = 0;
  /** Bytes unpacked so far. */
  size = 0;

  constructor(size: number) {
    this.#bytes = Buffer.alloc(size);
  }

  put(byte: number): void {
    this.#bytes[this.#at] = byte;
    this.#at = this.#at + 1 === this.#bytes.length ? 0 : this.#at + 1;
    this.size++;
  }

  /** The byte that was put `back` bytes before the last one. */
  byte(back: number): number {
    const at = this.#at - back - 1;
    return this.#bytes[at < 0 ? at + this.#bytes.length : at] as number;
  }

  holds(back: number): boolean {
    return back < Math.min(this.size, this.#bytes.length);
  }

  get waiting(): number {
    return this.size - this.#given;
  }

  /** What has not been handed out yet. */
  take(): Buffer {
    const piece = Buffer.allocUnsafe(this.waiting);
    const from = this.#at - piece.length;
    if (from >= 0) this.#bytes.copy(piece, 0, from, this.#at);
    else {
      this.#bytes.copy(piece, 0, from + this.#bytes.length);
      this.#bytes.copy(piece, -from, 0, this.#at);
    }
    this.#given = this.size;
    return piece;
  }
}

/** The probabilities and the last distances of a file. */
class Decoder {
  readonly #range: RangeDecoder;
  readonly #window: Window;
  readonly #lc: number;
  readonly #literalMask: number;
  readonly #positionMask: number;
  readonly #literals: Uint16Array;
  readonly #isMatch = probabilities(12 << 4);
  readonly #isRep = probabilities(12);
  readonly #isRep0 = probabilities(12);
  readonly #isRep1 = probabilities(12);
  readonly #isRep2 = probabilities(12);
  readonly #isRep0Long = probabilities(12 << 4);
  readonly #slots = probabilities(4 << 6);
  readonly #near = probabilities(128);
  readonly #align = probabilities(16);
  readonly #lengths = new Lengths();
  readonly #repLengths = new Lengths();
  #state = 0;
  #distances: [number, number, number, number] = [0, 0, 0, 0];

  constructor(range: RangeDecoder, window: Window, properties: number) {
    const lc = properties % 9;
    const lp = Math.floor(properties / 9) % 5;
    this.#range = range;
    this.#window = window;
    this.#lc = lc;
    this.#literalMask = (1 << lp) - 1;
    this.#positionMask = (1 << Math.floor(properties / 45)) - 1;
    this.#literals = probabilities(0x300 << (lc + lp));
  }

  /** Puts a literal or a match into the window. @returns false at the end marker */
  step(): boolean {
    const position = this.#window.size & this.#positionMask;
    const at = (this.#state << 4) + position;
    if (this.#range.bit(this.#isMatch, at) === 0) {
      this.#literal();
      return true;
    }
    const repeated = this.#range.bit(this.#isRep, this.#state) === 1;
    if (repeated && this.#shortRep(at)) return true;
    const length = (repeated ? this.#repLengths : this.#lengths).read(this.#range, position);
    if (repeated) this.#state = this.#state < 7 ? 8 : 11;
    else {
      this.#state = this.#state < 7 ? 7 : 10;
      const [a, b, c] = this.#distances;
      this.#distances = [this.#distance(length), a, b, c];
    }
    const [distance] = this.#distances;
    if (distance === ENDLESS && !repeated) return false;
    this.#copy(distance, length);
    return true;
  }

  /** Which distance is meant again. Whether it was one byte at the last one. */
  #shortRep(at: number): boolean {
    const [a, b, c, d] = this.#distances;
    const { bit } = this.#range;
    const is = (probs: Uint16Array, i: number): boolean => bit.call(this.#range, probs, i) === 1;
    if (!is(this.#isRep0, this.#state)) {
      if (is(this.#isRep0Long, at)) return false;
      this.#copy(a, 1);
      this.#state = this.#state < 7 ? 9 : 11;
      return true;
    }
    if (!is(this.#isRep1, this.#state)) this.#distances = [b, a, c, d];
    else if (!is(this.#isRep2, this.#state)) this.#distances = [c, a, b, d];
    else this.#distances = [d, a, b, c];
    return false;
  }

  #literal(): void {
    const { size } = this.#window;
    const previous = size > 0 ? this.#window.byte(0) : 0;
    const from = 0x300 * (((size & this.#literalMask) << this.#lc) + (previous >> (8 - this.#lc)));
    let symbol = 1;
    if (this.#state >= 7) {
      let match = this.#window.byte(this.#distances[0]);
      while (symbol < 0x100) {
        const matchBit = match >> 7;
        match = (match << 1) & 0xff;
        const bit = this.#range.bit(this.#literals, from + ((1 + matchBit) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (bit !== matchBit) break;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#range.bit(this.#literals, from + symbol);
    this.#window.put(symbol & 0xff);
    this.#state = this.#state < 4 ? 0 : this.#state < 10 ? this.#state - 3 : this.#state - 6;
  }

  #distance(length: number): number {
    const slot = this.#range.tree(this.#slots, 6, Math.min(length - 2, 3) << 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const start = (2 | (slot & 1)) * 2 ** bits;
    if (slot < 14) return start + this.#range.reverse(this.#near, bits, start - slot);
    return start + this.#range.direct(bits - 4) * 16 + this.#range.reverse(this.#align, 4);
  }

  #copy(distance: number, length: number): void {
    if (!this.#window.holds(distance)) throw new Error("it repeats what was not there");
    for (let i = 0; i < length; i++) this.#window.put(this.#window.byte(distance));
  }
}

/** @throws Error for damaged content, and for a dictionary that is larger than this machine should give */
export function* unlzma(bytes: Uint8Array): Generator<Buffer> {
  const header = Buffer.from(bytes.subarray(0, 13));
  if (header.length < 13) throw new Error("it ends in the middle");
  const properties = header.readUInt8(0);
  if (properties >= 9 * 5 * 5) throw new Error("its properties are not those of LZMA");
  const dictionary = Math.max(header.readUInt32LE(1), 4096);
  if (dictionary > MAX_DICTIONARY) throw new Error(`it asks for a dictionary of ${dictionary} bytes`);
  const [low, high] = [header.readUInt32LE(5), header.readUInt32LE(9)];
  const size = low === ENDLESS && high === ENDLESS ? undefined : high * 2 ** 32 + low;
  const window = new Window(Math.min(dictionary, size ?? dictionary) + PIECE + MAX_MATCH);
  const decoder = new Decoder(new RangeDecoder(bytes, 13), window, properties);
  while (size === undefined || window.size < size) {
    if (!decoder.step()) {
      if (size !== undefined) throw new Error("it ends before its size");
      break;
    }
    if (window.waiting >= PIECE) yield window.take();
  }
  if (size !== undefined && window.size > size) throw new Error("it has more than its size");
  if (window.waiting > 0) yield window.take();
}
