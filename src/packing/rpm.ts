import { createHash, type Hash } from "node:crypto";
import { createReadStream, createWriteStream, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { type RpmValue, rpmHeader } from "./rpm-header.ts";
import { type Entry, hashEntry, withParents } from "./tree.ts";

export interface RpmFields {
  name: string;
  version: string;
  release: string;
  /** As RPM calls it: `x86_64`. */
  architecture: string;
  license: string;
  summary: string;
  description: string;
  /** Capabilities without a version: `/bin/sh`, `libc.so.6(GLIBC_2.28)(64bit)`. */
  requires: string[];
  recommends: string[];
  /** Folders above the package's own that other packages own. */
  foreign: (path: string) => boolean;
}

/** Senses of a dependency: less, equal, and that rpm itself must have it. */
const RPMLIB = 0x0100_000a;
const EQUAL = 8;
const SHA256 = 8;
/** 1980-01-01, as in our SBOMs: a package has no date. Seconds. */
const TIME = 315_532_800;

const TYPE_BITS = { file: 0o100000, folder: 0o040000, link: 0o120000 } as const;
const modeOf = ({ kind, mode }: Entry): number => TYPE_BITS[kind] | mode;

/** What rpm must understand to unpack it. */
const FEATURES: [string, string][] = [
  ["rpmlib(CompressedFileNames)", "3.0.4-1"],
  ["rpmlib(FileDigests)", "4.6.0-1"],
  ["rpmlib(PayloadFilesHavePrefix)", "4.0-1"],
];

const hex8 = (value: number): string => value.toString(16).padStart(8, "0");

/** A header of cpio's "newc" form. */
function cpioHeader(path: string, fields: { inode: number; mode: number; size: number }): Buffer {
  const { inode, mode, size } = fields;
  const numbers = [inode, mode, 0, 0, 1, TIME, size, 0, 0, 0, 0, Buffer.byteLength(path) + 1, 0];
  const text = Buffer.from(`070701${numbers.map(hex8).join("")}${path}\0`);
  return Buffer.concat([text, Buffer.alloc(-text.length & 3)]);
}

async function* cpio(entries: readonly Entry[]): AsyncGenerator<Buffer> {
  for (const [i, entry] of entries.entries()) {
    const size = entry.kind === "folder" ? 0 : entry.size;
    yield cpioHeader(`./${entry.path}`, { inode: i + 1, mode: modeOf(entry), size });
    if (entry.kind === "link") yield Buffer.from(entry.target ?? "");
    else if (entry.read) for await (const chunk of entry.read()) yield chunk as Buffer;
    yield Buffer.alloc(-size & 3);
  }
  yield cpioHeader("TRAILER!!!", { inode: 0, mode: 0, size: 0 });
}

/** Hashes what passes. */
async function* through(
  chunks: AsyncIterable<Buffer>,
  hash: Hash,
  count: { bytes: number },
): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    count.bytes += chunk.length;
    yield chunk;
  }
}

async function hashFile(file: string, ...hashes: Hash[]): Promise<void> {
  for await (const chunk of createReadStream(file)) for (const hash of hashes) hash.update(chunk as Buffer);
}

const int32 = (...numbers: number[]): RpmValue => ({ type: "int32", numbers });
const text = (value: string): RpmValue => ({ type: "string", text: value });
const texts = (values: string[]): RpmValue => ({ type: "strings", texts: values });
const i18n = (value: string): RpmValue => ({ type: "i18n", text: value });

interface Payload {
  /** Of the compressed and of the plain payload, SHA-256 in hexadecimal digits. */
  digest: string;
  plainDigest: string;
}

/** The tags of the main header. https://rpm-software-management.github.io/rpm/manual/tags.html */
async function mainTags(
  fields: RpmFields,
  entries: readonly Entry[],
  payload: Payload,
): Promise<Map<number, RpmValue>> {
  const { name, version, release } = fields;
  const folders = [...new Set(entries.map(({ path }) => folderOf(path)))];
  const all = <T>(value: (entry: Entry, i: number) => T): T[] => entries.map(value);
  const digests: string[] = [];
  for (const entry of entries) digests.push(entry.kind === "file" ? await hashEntry(entry, "sha256") : "");
  return new Map<number, RpmValue>([
    [100, texts(["C"])],
    [1000, text(name)],
    [1001, text(version)],
    [1002, text(release)],
    [1004, i18n(fields.summary)],
    [1005, i18n(fields.description)],
    [1006, int32(TIME)],
    [1007, text("localhost")],
    [1009, int32(entries.reduce((total, { kind, size }) => total + (kind === "folder" ? 0 : size), 0))],
    [1014, text(fields.license)],
    [1016, i18n("Unspecified")],
    [1021, text("linux")],
    [1022, text(fields.architecture)],
    [1028, int32(...all(({ kind, size }) => (kind === "folder" ? 4096 : size)))],
    [1030, { type: "int16", numbers: all(modeOf) }],
    [1033, { type: "int16", numbers: all(() => 0) }],
    [1034, int32(...all(() => TIME))],
    [1035, texts(digests)],
    [1036, texts(all(({ target }) => target ?? ""))],
    [1037, int32(...all(() => 0))],
    [1039, texts(all(() => "root"))],
    [1040, texts(all(() => "root"))],
    [1044, text(`${name}-${version}-${release}.src.rpm`)],
    [1045, int32(...all(() => 0xffff_ffff))],
    [1047, texts([name, `${name}(${fields.architecture === "aarch64" ? "aarch-64" : "x86-64"})`])],
    [1048, int32(...fields.requires.map(() => 0), ...FEATURES.map(() => RPMLIB))],
    [1049, texts([...fields.requires, ...FEATURES.map(([feature]) => feature)])],
    [1050, texts([...fields.requires.map(() => ""), ...FEATURES.map(([, since]) => since)])],
    [1064, text("4.14.0")],
    [1095, int32(...all(() => 1))],
    [1096, int32(...all((_, i) => i + 1))],
    [1097, texts(all(() => ""))],
    [1112, int32(EQUAL, EQUAL)],
    [1113, texts([`${version}-${release}`, `${version}-${release}`])],
    [1116, int32(...all(({ path }) => folders.indexOf(folderOf(path))))],
    [1117, texts(all(({ path }) => path.slice(path.lastIndexOf("/") + 1)))],
    [1118, texts(folders)],
    [1124, text("cpio")],
    [1125, text("gzip")],
    [1126, text("6")],
    [5011, int32(SHA256)],
    ...recommended(fields.recommends),
    [5062, text("utf-8")],
    [5092, texts([payload.digest])],
    [5093, int32(SHA256)],
    [5097, texts([payload.plainDigest])],
  ]);
}

const recommended = (names: string[]): [number, RpmValue][] =>
  names.length === 0
    ? []
    : [
        [5046, texts(names)],
        [5047, texts(names.map(() => ""))],
        [5048, int32(...names.map(() => 0))],
      ];

const folderOf = (path: string): string => `/${path.slice(0, path.lastIndexOf("/") + 1)}`;

/** What readers once looked at first, and file(1) still does: 96 bytes. */
function lead({ name, version, release, architecture }: RpmFields): Buffer {
  const bytes = Buffer.alloc(96);
  bytes.writeUInt32BE(0xedabeedb, 0);
  bytes.writeUInt8(3, 4);
  bytes.writeUInt16BE(architecture === "aarch64" ? 19 : 1, 8);
  bytes.write(`${name}-${version}-${release}`.slice(0, 65), 10, "latin1");
  bytes.writeUInt16BE(1, 76);
  bytes.writeUInt16BE(5, 78);
  return bytes;
}

/** Writes an RPM without scripts: files alone. Its digests are complete; who signs it adds a signature with rpmsign. */
export async function writeRpm(fields: RpmFields, content: readonly Entry[], output: string): Promise<void> {
  const entries = withParents(content).filter(({ path, kind }) => kind !== "folder" || !fields.foreign(path));
  const payload = `${output}.payload`;
  try {
    const [plain, count] = [createHash("sha256"), { bytes: 0 }];
    await pipeline(
      Readable.from(through(cpio(entries), plain, count), { objectMode: false }),
      createGzip({ level: 6 }),
      createWriteStream(payload),
    );
    const compressed = createHash("sha256");
    await hashFile(payload, compressed);
    const main = rpmHeader(
      63,
      await mainTags(fields, entries, { digest: compressed.digest("hex"), plainDigest: plain.digest("hex") }),
    );
    const md5 = createHash("md5").update(main);
    await hashFile(payload, md5);
    const signature = rpmHeader(
      62,
      new Map<number, RpmValue>([
        [269, text(createHash("sha1").update(main).digest("hex"))],
        [273, text(createHash("sha256").update(main).digest("hex"))],
        [1000, int32(main.length + statSync(payload).size)],
        [1004, { type: "bin", bytes: md5.digest() }],
        [1007, int32(count.bytes)],
      ]),
    );
    const head = [lead(fields), signature, Buffer.alloc(-signature.length & 7), main];
    await pipeline(Readable.from(all(head, payload)), createWriteStream(output));
  } finally {
    await rm(payload, { force: true });
  }
}

async function* all(head: Buffer[], payload: string): AsyncGenerator<Buffer> {
  yield* head;
  for await (const chunk of createReadStream(payload)) yield chunk as Buffer;
}
