import { createHash, type Hash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { BLOCK, END_OF_ARCHIVE, entryHeader, padded, readHeader } from "../../bundle/tar.ts";
import { AirgapError, Exit, messageOf } from "../../errors.ts";
import { isRecord } from "../../oci/descriptor.ts";

/** What a backup is of: `about.json`. */
export interface BackupAbout {
  apiVersion: "airgap/v1";
  kind: "Backup";
  cluster: string;
  /** ISO 8601, when it was begun. */
  taken: string;
  /** `v1.34.4` */
  kubernetes: string;
  etcd: {
    mode: "stacked" | "external";
    version: string;
    /** etcd's own count of changes, when the snapshot was about to be taken. */
    revision: number;
  };
}

/** A file of a backup: where its bytes are in the tar. */
interface Place {
  offset: number;
  size: number;
}

export const SNAPSHOT = "snapshot.db";
const ABOUT = "about.json";
const SUMS = "sha256sums";
/** Most bytes of any file but the snapshot: keys, settings, the cluster file. */
const MAX_SMALL = 4 << 20;
const MAX_ENTRIES = 1000;
const NAME = /^(?!.*(?:^|\/)\.\.?(?:\/|$))[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/;

const damaged = (path: string, why: string): AirgapError =>
  new AirgapError("corrupt", `${path} is not a whole backup: ${why}`, {
    exit: Exit.check,
    suggestions: ["use another copy of it; nothing was changed"],
  });

const textOf = (about: BackupAbout): string => `${JSON.stringify(about, undefined, 1)}\n`;

/** `sha256sum`'s form, so that `sha256sum -c` reads it too. */
const sumsOf = (sums: Map<string, string>): string =>
  [...sums]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, sum]) => `${sum}  ${name}\n`)
    .join("");

/**
 * The bytes of a backup, in order: small files by name, the snapshot, and the digests of all. The same content gives the
 * same bytes.
 */
export async function* backupBytes(
  about: BackupAbout,
  files: Map<string, Buffer>,
  snapshot: { size: number; bytes: AsyncIterable<Buffer> },
): AsyncGenerator<Buffer> {
  const sums = new Map<string, string>();
  const all = new Map([...files, [ABOUT, Buffer.from(textOf(about))]]);
  for (const [name, bytes] of [...all].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    sums.set(name, createHash("sha256").update(bytes).digest("hex"));
    yield entry(name, bytes);
  }
  yield entryHeader(SNAPSHOT, snapshot.size);
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of snapshot.bytes) {
    hash.update(chunk);
    size += chunk.length;
    yield chunk;
  }
  if (size !== snapshot.size)
    throw new AirgapError("network", `the snapshot ended after ${size} of ${snapshot.size} bytes`);
  yield Buffer.alloc(padded(size) - size);
  sums.set(SNAPSHOT, hash.digest("hex"));
  yield entry(SUMS, Buffer.from(sumsOf(sums)));
  yield END_OF_ARCHIVE;
}

const entry = (name: string, bytes: Buffer): Buffer =>
  Buffer.concat([entryHeader(name, bytes.length), bytes, Buffer.alloc(padded(bytes.length) - bytes.length)]);

/** Entries of a tar of plain files; anything else in it is refused. @throws AirgapError `corrupt` */
export function entriesOf(
  read: (offset: number, size: number) => Buffer,
  size: number,
  what: string,
): Map<string, Place> {
  const found = new Map<string, Place>();
  for (let offset = 0; offset + BLOCK <= size; ) {
    const block = read(offset, BLOCK);
    if (block.every((byte) => byte === 0)) return found;
    const header = readHeader(block);
    if (header === undefined) throw damaged(what, `at byte ${offset} there is no entry`);
    const { name, type } = header;
    if (type !== "0" || !NAME.test(name) || found.has(name) || found.size >= MAX_ENTRIES)
      throw damaged(what, `it holds ${JSON.stringify(name)}, which no backup has`);
    if (!Number.isSafeInteger(header.size) || offset + BLOCK + header.size > size)
      throw damaged(what, `${name} is not complete`);
    found.set(name, { offset: offset + BLOCK, size: header.size });
    offset += BLOCK + padded(header.size);
  }
  throw damaged(what, "it ends in the middle");
}

/** A backup that was read whole and is what it says. */
export class Backup {
  readonly path: string;
  readonly about: BackupAbout;
  readonly #fd: number;
  readonly #entries: Map<string, Place>;

  private constructor(path: string, fd: number, entries: Map<string, Place>) {
    this.path = path;
    this.#fd = fd;
    this.#entries = entries;
    this.#checkSums();
    this.#checkSnapshot();
    this.about = parseAbout(this.text(ABOUT), path);
  }

  /** Opens a backup and checks every byte of it. @throws AirgapError `disk`, `corrupt` */
  static open(path: string): Backup {
    let fd: number;
    try {
      fd = openSync(path, "r");
    } catch (cause) {
      throw new AirgapError("usage", `Cannot read ${path}: ${messageOf(cause)}`, { cause });
    }
    try {
      const { size } = fstatSync(fd);
      return new Backup(
        path,
        fd,
        entriesOf((offset, length) => readAt(fd, offset, length), size, path),
      );
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Where the snapshot lies in the file. */
  get snapshot(): Place {
    return this.#place(SNAPSHOT);
  }

  /** Names of its files. */
  get names(): string[] {
    return [...this.#entries.keys()];
  }

  /** A small file's text. @throws AirgapError `corrupt` */
  text(name: string): string {
    const { offset, size } = this.#place(name);
    if (size > MAX_SMALL) throw damaged(this.path, `${name} is larger than ${MAX_SMALL} bytes`);
    return readAt(this.#fd, offset, size).toString("utf8");
  }

  close(): void {
    closeSync(this.#fd);
  }

  #place(name: string): Place {
    const place = this.#entries.get(name);
    if (place === undefined) throw damaged(this.path, `it has no ${name}`);
    return place;
  }

  #checkSums(): void {
    const sums = new Map(
      this.text(SUMS)
        .split("\n")
        .flatMap((line): [string, string][] => {
          const [, sum, name] = /^([0-9a-f]{64}) [ *](.+)$/.exec(line) ?? [];
          return sum && name ? [[name, sum]] : [];
        }),
    );
    for (const [name, place] of this.#entries) {
      if (name !== SUMS && this.#hash(place) !== sums.get(name))
        throw damaged(this.path, `${name} is not what it was`);
    }
  }

  /** etcd appends the digest of its file to a snapshot, which makes it that much longer than whole pages. */
  #checkSnapshot(): void {
    const { offset, size } = this.snapshot;
    if (size % 512 !== 32) throw damaged(this.path, `${SNAPSHOT} has no digest of etcd's own`);
    const own = readAt(this.#fd, offset + size - 32, 32).toString("hex");
    if (this.#hash({ offset, size: size - 32 }) !== own)
      throw damaged(this.path, `${SNAPSHOT} is not what etcd wrote`);
  }

  #hash({ offset, size }: Place): string {
    const hash: Hash = createHash("sha256");
    for (let done = 0; done < size; ) {
      const chunk = readAt(this.#fd, offset + done, Math.min(1 << 20, size - done));
      if (chunk.length === 0) break;
      hash.update(chunk);
      done += chunk.length;
    }
    return hash.digest("hex");
  }
}

function readAt(fd: number, offset: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let done = 0;
  for (let count = -1; done < size && count !== 0; done += count)
    count = readSync(fd, bytes, done, size - done, offset + done);
  return bytes.subarray(0, done);
}

function parseAbout(text: string, path: string): BackupAbout {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw damaged(path, `${ABOUT} is not JSON`);
  }
  const etcd = isRecord(value) && isRecord(value["etcd"]) ? value["etcd"] : {};
  const { mode, version, revision } = etcd;
  if (
    isRecord(value) &&
    value["kind"] === "Backup" &&
    value["apiVersion"] === "airgap/v1" &&
    typeof value["cluster"] === "string" &&
    typeof value["taken"] === "string" &&
    !Number.isNaN(Date.parse(value["taken"])) &&
    typeof value["kubernetes"] === "string" &&
    (mode === "stacked" || mode === "external") &&
    typeof version === "string" &&
    typeof revision === "number" &&
    Number.isSafeInteger(revision)
  )
    return {
      apiVersion: "airgap/v1",
      kind: "Backup",
      cluster: value["cluster"],
      taken: value["taken"],
      kubernetes: value["kubernetes"],
      etcd: { mode, version, revision },
    };
  throw damaged(path, `${ABOUT} does not say what it is of`);
}
