import { closeSync, openSync } from "node:fs";
import { availableParallelism } from "node:os";
import { AirgapError, isAirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import { count } from "../format.ts";
import { titlesProblemsOf } from "../lock/titles.ts";
import { algorithmOf, type Digest } from "../oci/digest.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../oci/manifest.ts";
import { readRegion } from "../transport/region.ts";
import { HashPool } from "./hash-pool.ts";
import { gapsOf } from "./held.ts";
import type { Entry } from "./layout.ts";
import { BundleReader } from "./reader.ts";
import { BLOCK, END_OF_ARCHIVE, padded, readHeader } from "./tar.ts";
import { usageOf } from "./usage.ts";

/** One thing that is wrong with a bundle. */
export interface Defect {
  what:
    | "header"
    | "padding"
    | "content"
    | "missing"
    | "end"
    | "size"
    | "graph"
    | "name"
    | "unused"
    | "closure";
  message: string;
  /** The entry of the tar. */
  entry?: string;
  digest?: Digest;
  /** Names of the items that cannot be used because of it. */
  items?: string[];
}

export interface VerifyResult {
  bundle: string;
  name: string;
  items: number;
  blobs: number;
  /** Bytes of the tar. */
  size: number;
  /** Whether every byte was hashed, or only the structure was checked. */
  hashed: boolean;
}

export interface VerifyOptions {
  quick: boolean;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

const MAX_SHOWN = 20;

/**
 * Proves that a bundle is whole, closed and unchanged: every byte of the tar is hashed or compared
 * with what the lock makes it.
 * @throws AirgapError `check-failed` with every finding (`data.findings`)
 */
export async function verifyBundle(path: string, options: VerifyOptions): Promise<VerifyResult> {
  const bundle = await open(path, options.signal);
  try {
    const verifier = new Verifier(path, bundle, options);
    const findings = await verifier.run();
    if (findings.length > 0) throw failure(path, findings);
    const { lock, layout } = bundle;
    return {
      bundle: path,
      name: lock.name,
      items: lock.items.length,
      blobs: lock.blobs.length,
      size: layout.size,
      hashed: !options.quick,
    };
  } finally {
    bundle.close();
  }
}

/** A file that cannot be opened as a bundle fails the check. */
async function open(path: string, signal: AbortSignal | undefined): Promise<BundleReader> {
  try {
    return await BundleReader.openUnless(signal, path, { partial: true });
  } catch (error) {
    if (!isAirgapError(error, "corrupt", "protocol")) throw error;
    throw new AirgapError("check-failed", error.message, {
      suggestions: error.suggestions,
      cause: error.cause,
      data: { findings: [{ what: "header", message: error.message }] },
    });
  }
}

function failure(path: string, findings: Defect[]): AirgapError {
  const lines = findings
    .slice(0, MAX_SHOWN)
    .map(({ message, items }) => `  ${message}${items?.length ? `; used by ${items.join(", ")}` : ""}`);
  if (findings.length > MAX_SHOWN) lines.push(`  … and ${findings.length - MAX_SHOWN} more`);
  return new AirgapError(
    "check-failed",
    `${path} failed the check, ${count(findings.length, "finding")}:\n${lines.join("\n")}`,
    {
      suggestions: ["copy the bundle again from where it was built, and compare `airgap verify` there"],
      data: { findings },
    },
  );
}

class Verifier {
  readonly #path: string;
  readonly #bundle: BundleReader;
  readonly #options: VerifyOptions;
  readonly #findings: Defect[] = [];
  /** Blobs whose content is known to be wrong or absent. */
  readonly #bad = new Set<Digest>();

  constructor(path: string, bundle: BundleReader, options: VerifyOptions) {
    this.#path = path;
    this.#bundle = bundle;
    this.#options = options;
  }

  async run(): Promise<Defect[]> {
    const fd = openSync(this.#path, "r");
    try {
      this.#frames(fd);
      if (!this.#options.quick) await this.#contents();
    } finally {
      closeSync(fd);
    }
    const { users } = this.#graph();
    if (this.#findings.length === 0) this.#titles();
    if (this.#findings.length === 0) await this.#closure();
    for (const finding of this.#findings)
      if (finding.digest && !finding.items) finding.items = users.get(finding.digest) ?? [];
    return this.#findings;
  }

  /** Headers, padding, the end and the size are what the lock makes them, byte for byte. */
  #frames(fd: number): void {
    const { layout, fileSize } = this.#bundle;
    const at = (offset: number, length: number): Buffer =>
      readRegion({ fd, offset, size: Math.max(0, Math.min(length, fileSize - offset)) });
    for (const entry of layout.entries) {
      const end = entry.offset + padded(entry.size);
      if (entry.headerOffset >= fileSize || entry.offset + entry.size > fileSize) {
        this.#missing(entry);
        continue;
      }
      const header = at(entry.headerOffset, entry.header.length);
      if (!header.equals(entry.header)) this.#add("header", entry, describeHeader(header, entry));
      const padding = at(entry.offset + entry.size, end - entry.offset - entry.size);
      if (padding.some((byte) => byte !== 0))
        this.#add("padding", entry, `the padding after ${entry.name} is not zero`);
    }
    if (fileSize < layout.size)
      this.#findings.push({
        what: "size",
        message: `the file ends ${layout.size - fileSize} bytes too early (${fileSize} of ${layout.size}): it was not copied whole`,
      });
    else if (at(layout.size - END_OF_ARCHIVE.length, END_OF_ARCHIVE.length).some((byte) => byte !== 0))
      this.#findings.push({ what: "end", message: "the end of the archive is not two zero blocks" });
    if (fileSize > layout.size)
      this.#findings.push({
        what: "size",
        message: `${fileSize - layout.size} bytes were appended after the end of the archive`,
      });
  }

  #missing(entry: Entry): void {
    if (entry.digest) this.#bad.add(entry.digest);
    this.#add("missing", entry, `${entry.name} is missing: the file ends before it`);
  }

  async #contents(): Promise<void> {
    const pool = new HashPool(availableParallelism());
    const { layout } = this.#bundle;
    this.#options.emit({
      type: "plan",
      items: layout.entries.length,
      bytes: layout.entries.reduce((sum, { size }) => sum + size, 0),
    });
    try {
      await unlessAborted(
        Promise.all(layout.entries.map((entry) => this.#content(entry, pool))),
        this.#options.signal,
      );
    } finally {
      await pool.close();
    }
  }

  async #content(entry: Entry, pool: HashPool): Promise<void> {
    const region = entry.digest && this.#bundle.region(entry.digest);
    if (!region || !entry.digest || this.#bad.has(entry.digest)) return;
    const { digest } = await pool.digest(region, algorithmOf(entry.digest));
    this.#options.signal?.throwIfAborted();
    this.#options.emit({ type: "progress", item: entry.name, bytes: entry.size });
    if (digest === entry.digest) return;
    this.#bad.add(entry.digest);
    this.#add("content", entry, `${entry.name} has the wrong content: its bytes are ${digest}`);
  }

  /** The bundle holds what the root reaches, and nothing else. */
  #graph(): { users: Map<Digest, string[]> } {
    const { lock } = this.#bundle;
    const { users, problems } = usageOf(lock, (digest) => this.#manifest(digest));
    for (const { item, digest, problem } of problems)
      this.#findings.push({ what: "graph", digest, message: `${digest} ${problem}`, items: [item] });
    if (this.#bad.size === 0 && problems.length === 0) {
      for (const { digest } of lock.blobs)
        if (!users.has(digest))
          this.#findings.push({
            what: "unused",
            digest,
            message: `${digest} is in the bundle, but nothing in the lock refers to it`,
          });
    }
    return { users };
  }

  /** Every file of an artifact has a name that any file system takes, and no two files have the same name. */
  #titles(): void {
    for (const item of this.#bundle.lock.items) {
      const bytes = item.kind === "image" ? undefined : this.#manifest(item.root.digest);
      if (bytes === undefined) continue;
      const manifest = parseManifest(bytes, item.root.mediaType, item.root.digest);
      for (const problem of titlesProblemsOf(item, manifest))
        this.#findings.push({
          what: "name",
          digest: item.root.digest,
          message: `${item.kind} ${item.name}: ${problem}`,
          items: [item.name],
        });
    }
  }

  /** Everything that the bundle's documents and kubeadm will ask for is in it, under the name that they use. */
  async #closure(): Promise<void> {
    try {
      const gaps = await gapsOf(this.#bundle.lock, async (digest) => this.#manifest(digest));
      for (const { reference, why, wantedBy } of gaps)
        this.#findings.push({
          what: "closure",
          message: `${reference}: ${why}; wanted by ${wantedBy.join(", ")}`,
          items: wantedBy,
        });
    } catch (error) {
      // For a Kubernetes version that is not known here, the list cannot be worked out again.
      if (!isAirgapError(error)) throw error;
      this.#findings.push({ what: "closure", message: error.message });
    }
  }

  #manifest(digest: Digest): Buffer | undefined {
    if (this.#bad.has(digest)) return undefined;
    try {
      return this.#bundle.read(digest, MAX_MANIFEST_SIZE);
    } catch (error) {
      this.#bad.add(digest);
      const entry = this.#bundle.layout.byDigest.get(digest);
      if (entry) this.#add("content", entry, (error as Error).message);
      return undefined;
    }
  }

  #add(what: Defect["what"], entry: Entry, message: string): void {
    this.#findings.push({
      what,
      entry: entry.name,
      message,
      ...(entry.digest ? { digest: entry.digest } : {}),
    });
  }
}

/** Hashing a large blob takes minutes: an interrupt must not wait for it. */
async function unlessAborted(work: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return void (await work);
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  // Jobs that were started fail, or never end, once the workers have ended.
  work.catch(() => {});
  await Promise.race([work, promise]).finally(() => signal.removeEventListener("abort", abort));
}

const TYPES: Record<string, string> = {
  "1": "a hard link",
  "2": "a symbolic link",
  "3": "a device",
  "4": "a device",
  "5": "a directory",
  "6": "a pipe",
  S: "a sparse file",
  x: "an extended header",
  g: "a global header",
  L: "a GNU long name",
};

function describeHeader(bytes: Buffer, entry: Entry): string {
  const found = bytes.length >= BLOCK ? readHeader(bytes) : undefined;
  if (found === undefined) return `the tar header of ${entry.name} is damaged`;
  const type = TYPES[found.type];
  if (type !== undefined) return `${JSON.stringify(found.name)}, ${type}, is where ${entry.name} is expected`;
  if (found.name !== entry.name) return `${JSON.stringify(found.name)} is where ${entry.name} is expected`;
  if (found.size !== entry.size)
    return `${entry.name} claims ${found.size} bytes; its lock says ${entry.size}`;
  return `the tar header of ${entry.name} is not the one that airgap writes (owner, mode or time)`;
}
