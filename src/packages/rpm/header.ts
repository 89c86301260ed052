import { AirgapError } from "../../errors.ts";
import { NeedMore } from "../heads.ts";

/** https://rpm-software-management.github.io/rpm/manual/format_v4.html and its list of tags */
export const Tag = {
  name: 1000,
  version: 1001,
  release: 1002,
  epoch: 1003,
  summary: 1004,
  description: 1005,
  buildTime: 1006,
  buildHost: 1007,
  size: 1009,
  vendor: 1011,
  license: 1014,
  packager: 1015,
  group: 1016,
  url: 1020,
  arch: 1022,
  oldFileNames: 1027,
  fileModes: 1030,
  fileFlags: 1037,
  sourceRpm: 1044,
  archiveSize: 1046,
  provideName: 1047,
  requireFlags: 1048,
  requireName: 1049,
  requireVersion: 1050,
  conflictFlags: 1053,
  conflictName: 1054,
  conflictVersion: 1055,
  obsoleteName: 1090,
  provideFlags: 1112,
  provideVersion: 1113,
  obsoleteFlags: 1114,
  obsoleteVersion: 1115,
  dirIndexes: 1116,
  baseNames: 1117,
  dirNames: 1118,
  longSize: 5009,
  recommendName: 5046,
  recommendVersion: 5047,
  recommendFlags: 5048,
  suggestName: 5049,
  suggestVersion: 5050,
  suggestFlags: 5051,
  supplementName: 5052,
  supplementVersion: 5053,
  supplementFlags: 5054,
  enhanceName: 5055,
  enhanceVersion: 5056,
  enhanceFlags: 5057,
  payloadDigest: 5092,
  payloadDigestAlgorithm: 5093,
  modularityLabel: 5096,
} as const;

/** Tags of the signature header. */
export const SignatureTag = { dsa: 267, rsa: 268, sha256: 273, openpgp: 278, pgp: 1002, gpg: 1005 } as const;

const LEAD_SIZE = 96;
const LEAD_MAGIC = 0xedabeedb;
const HEADER_MAGIC = 0x8eade801;
const PREFIX = 16;
const ENTRY = 16;
const MAX_ENTRIES = 0xffff;
const MAX_STORE = 128 << 20;
/** Bytes of one value of a type; strings are ended by a zero. */
const WIDTH: Record<number, number> = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1 };

type Entry = { type: number; offset: number; count: number };

/** One header section: values by tag, read when asked for, never beyond its own bytes. */
export class HeaderSection {
  readonly #entries: Map<number, Entry>;
  readonly #store: Buffer;
  readonly #what: string;

  constructor(entries: Map<number, Entry>, store: Buffer, what: string) {
    this.#entries = entries;
    this.#store = store;
    this.#what = what;
  }

  has(tag: number): boolean {
    return this.#entries.has(tag);
  }

  string(tag: number): string | undefined {
    return this.strings(tag)[0];
  }

  strings(tag: number): string[] {
    const entry = this.#entries.get(tag);
    if (entry === undefined) return [];
    const { type, offset, count } = entry;
    if (type !== 6 && type !== 8 && type !== 9) throw this.#bad(tag, `is of type ${type}, not text`);
    const found: string[] = [];
    for (let i = 0, at = offset; i < count; i++) {
      const end = this.#store.indexOf(0, at);
      if (end < 0) throw this.#bad(tag, "has a text without end");
      found.push(this.#store.toString("utf8", at, end));
      at = end + 1;
    }
    return found;
  }

  numbers(tag: number): number[] {
    const entry = this.#entries.get(tag);
    if (entry === undefined) return [];
    const { type, offset, count } = entry;
    const width = WIDTH[type];
    if (width === undefined || type === 7) throw this.#bad(tag, `is of type ${type}, not a number`);
    if (type === 5)
      return Array.from({ length: count }, (_, i) => Number(this.#store.readBigUInt64BE(offset + i * 8)));
    return Array.from({ length: count }, (_, i) => this.#store.readUIntBE(offset + i * width, width));
  }

  number(tag: number): number | undefined {
    return this.numbers(tag)[0];
  }

  bytes(tag: number): Buffer | undefined {
    const entry = this.#entries.get(tag);
    if (entry === undefined) return undefined;
    if (entry.type !== 7) throw this.#bad(tag, `is of type ${entry.type}, not bytes`);
    return this.#store.subarray(entry.offset, entry.offset + entry.count);
  }

  #bad(tag: number, why: string): AirgapError {
    return new AirgapError("corrupt", `${this.#what}: tag ${tag} ${why}`);
  }
}

/** An RPM's headers. Offsets are in the file. */
export interface RpmHeaders {
  signature: HeaderSection;
  main: HeaderSection;
  /** The main header as it is signed. */
  region: Buffer;
  start: number;
  /** First byte of the payload. */
  end: number;
}

function readSection(bytes: Buffer, start: number, what: string): { section: HeaderSection; end: number } {
  const bad = (why: string): never => {
    throw new AirgapError("corrupt", `${what}: ${why}`);
  };
  if (bytes.length < start + PREFIX) throw new NeedMore(start + PREFIX);
  if (bytes.readUInt32BE(start) !== HEADER_MAGIC) bad(`there is no header at byte ${start}`);
  const count = bytes.readUInt32BE(start + 8);
  const size = bytes.readUInt32BE(start + 12);
  if (count > MAX_ENTRIES) bad(`a header with ${count} tags`);
  if (size > MAX_STORE) bad(`a header of ${size} bytes`);
  const store = start + PREFIX + count * ENTRY;
  const end = store + size;
  if (bytes.length < end) throw new NeedMore(end);
  const entries = new Map<number, Entry>();
  for (let i = 0; i < count; i++) {
    const at = start + PREFIX + i * ENTRY;
    const tag = bytes.readUInt32BE(at);
    const entry = {
      type: bytes.readUInt32BE(at + 4),
      offset: bytes.readUInt32BE(at + 8),
      count: bytes.readUInt32BE(at + 12),
    };
    const width = WIDTH[entry.type] ?? 1;
    if (
      entry.type > 9 ||
      entry.offset > size ||
      entry.count > size ||
      entry.offset + entry.count * width > size
    )
      bad(`tag ${tag} lies outside of its header`);
    if (!entries.has(tag)) entries.set(tag, entry);
  }
  return { section: new HeaderSection(entries, bytes.subarray(store, end), what), end };
}

/**
 * Reads a header as rpm's database holds it: without the magic number before it.
 * @throws AirgapError `corrupt`
 */
export function parseInstalledHeader(bytes: Buffer, what: string): HeaderSection {
  const magic = Buffer.alloc(8);
  magic.writeUInt32BE(HEADER_MAGIC);
  try {
    return readSection(Buffer.concat([magic, bytes]), 0, what).section;
  } catch (error) {
    if (error instanceof NeedMore) throw new AirgapError("corrupt", `${what} has a header that is cut short`);
    throw error;
  }
}

/**
 * Reads the headers at the start of an RPM.
 * @throws NeedMore when `bytes` ends before they do, AirgapError `corrupt` for what is no RPM
 */
export function parseRpm(bytes: Buffer, what: string): RpmHeaders {
  if (bytes.length < LEAD_SIZE) throw new NeedMore(LEAD_SIZE + PREFIX);
  if (bytes.readUInt32BE(0) !== LEAD_MAGIC) throw new AirgapError("corrupt", `${what} is no RPM`);
  const signature = readSection(bytes, LEAD_SIZE, what);
  const start = signature.end + ((8 - (signature.end % 8)) % 8);
  const main = readSection(bytes, start, what);
  return {
    signature: signature.section,
    main: main.section,
    region: bytes.subarray(start, main.end),
    start,
    end: main.end,
  };
}
