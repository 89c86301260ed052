import { availableParallelism } from "node:os";
import { AirgapError, isAirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import { count } from "../format.ts";
import type { LockedBlob } from "../lock/lock.ts";
import { titlesProblemsOf } from "../lock/titles.ts";
import { algorithmOf, type Digest } from "../oci/digest.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../oci/manifest.ts";
import { readRegion } from "../transport/region.ts";
import type { CheckedSignature } from "../trust/trust.ts";
import { bytesOf } from "./delta.ts";
import { describeHeader } from "./describe-header.ts";
import { checkExpected, type ExpectedLock } from "./expected.ts";
import { HashPool } from "./hash-pool.ts";
import { gapsOf } from "./held.ts";
import { blobName, type Entry } from "./layout.ts";
import { BundleReader, type Opening } from "./reader.ts";
import { checkRehearsed, type RehearsedProof } from "./rehearsal.ts";
import { damagedVolumes } from "./sums.ts";
import { END_OF_ARCHIVE, padded } from "./tar.ts";
import { usageOf } from "./usage.ts";
import { findVolumes } from "./volumes.ts";

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
    | "closure"
    | "volume";
  message: string;
  /** The entry of the tar. */
  entry?: string;
  digest?: Digest;
  /** The volumes that hold the entry. */
  volumes?: string[];
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
  lockDigest: Digest;
  /** What more than that it agrees with itself: that it is the bundle of the lock that you named, or who signed it. */
  proven: ("lock" | "signature")[];
  signatures: CheckedSignature[];
  /** Names of the keys whose signatures count. */
  signedBy: string[];
  /** What a delta leaves out; absent for a whole bundle. */
  delta?: {
    since: Digest;
    blobs: number;
    /** Of those blobs. */
    bytes: number;
    /** Whether `--base` proved that bases and delta together are whole. */
    proven: boolean;
  };
  /** Counts up with every build that changes the lock; 0 in bundles of older versions. */
  sequence: number;
  /** What a rehearsal of exactly this bundle says. */
  rehearsed?: RehearsedProof;
}

export interface VerifyOptions {
  quick: boolean;
  opening?: Opening | undefined;
  expected?: ExpectedLock[] | undefined;
  /** A rehearsal that has to be of this bundle, and to have passed. */
  rehearsed?: string | undefined;
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
  const bundle = await open(path, options);
  try {
    for (const expected of options.expected ?? []) checkExpected(bundle, expected);
    const about = { name: bundle.lock.name, lockDigest: bundle.layout.lockDigest };
    const rehearsed = options.rehearsed && checkRehearsed(options.rehearsed, about, options.opening);
    const verifier = new Verifier(bundle, options);
    const findings = await verifier.run();
    if (findings.length > 0) {
      for (const message of await damagedVolumes(bundle.file.volumes))
        findings.unshift({ what: "volume", message });
      throw failure(path, findings);
    }
    const { lock, layout, proof } = bundle;
    return {
      bundle: path,
      name: lock.name,
      items: lock.items.length,
      blobs: lock.blobs.length,
      size: layout.size,
      hashed: !options.quick,
      lockDigest: layout.lockDigest,
      proven: [
        ...(options.expected?.length ? (["lock"] as const) : []),
        ...(proof.signedBy.length > 0 ? (["signature"] as const) : []),
      ],
      ...proof,
      sequence: lock.sequence ?? 0,
      ...deltaResult(bundle, options),
      ...(rehearsed ? { rehearsed } : {}),
    };
  } finally {
    bundle.close();
  }
}

function deltaResult(
  { delta }: BundleReader,
  { quick, opening }: VerifyOptions,
): Pick<VerifyResult, "delta"> {
  if (delta === undefined) return {};
  const proven = !quick && (opening?.bases?.length ?? 0) > 0;
  return { delta: { since: delta.since, blobs: delta.blobs.length, bytes: bytesOf(delta.blobs), proven } };
}

/** A file that cannot be opened as a bundle fails the check. */
async function open(path: string, { signal, opening }: VerifyOptions): Promise<BundleReader> {
  try {
    return await BundleReader.openUnless(signal, path, { ...opening, partial: true });
  } catch (error) {
    if (!isAirgapError(error, "corrupt", "protocol")) throw error;
    const volumes = await damagedVolumes(findVolumes(path, opening?.volumes));
    throw new AirgapError("check-failed", [...volumes, error.message].join("\n"), {
      suggestions: error.suggestions,
      cause: error.cause,
      data: {
        findings: [
          ...volumes.map((message) => ({ what: "volume", message })),
          { what: "header", message: error.message },
        ],
      },
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
  readonly #bundle: BundleReader;
  readonly #options: VerifyOptions;
  readonly #findings: Defect[] = [];
  /** Blobs whose content is known to be wrong or absent. */
  readonly #bad = new Set<Digest>();

  constructor(bundle: BundleReader, options: VerifyOptions) {
    this.#bundle = bundle;
    this.#options = options;
  }

  async run(): Promise<Defect[]> {
    this.#frames();
    if (!this.#options.quick) await this.#contents();
    const { users } = this.#graph();
    if (this.#findings.length === 0) this.#titles();
    if (this.#findings.length === 0) await this.#closure();
    for (const finding of this.#findings)
      if (finding.digest && !finding.items) finding.items = users.get(finding.digest) ?? [];
    return this.#findings;
  }

  /** Headers, padding, the end and the size are what the lock makes them, byte for byte. */
  #frames(): void {
    const { layout, fileSize, file } = this.#bundle;
    const at = (offset: number, length: number): Buffer =>
      readRegion(file.region(offset, Math.max(0, Math.min(length, fileSize - offset))));
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
        message:
          file.shortage(layout.size) ??
          `the file ends ${layout.size - fileSize} bytes too early (${fileSize} of ${layout.size}): it was not copied whole`,
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
    const { layout, delta } = this.#bundle;
    const counted = this.#alone ? [] : (delta?.blobs ?? []);
    const all = [...layout.entries, ...counted];
    this.#options.emit({
      type: "plan",
      items: all.length,
      bytes: all.reduce((sum, { size }) => sum + size, 0),
    });
    try {
      await unlessAborted(
        Promise.all([
          ...layout.entries.map((entry) => this.#content(entry, pool)),
          ...counted.map((blob) => this.#inBase(blob, pool)),
        ]),
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

  /** What a delta counts on is in a base, and right there. */
  async #inBase({ digest, size }: LockedBlob, pool: HashPool): Promise<void> {
    const region = this.#bundle.region(digest);
    const found = region && (await pool.digest(region, algorithmOf(digest))).digest;
    this.#options.signal?.throwIfAborted();
    this.#options.emit({ type: "progress", item: blobName(digest), bytes: size });
    if (found === digest) return;
    this.#bad.add(digest);
    const message =
      found === undefined
        ? `${digest} is in no base, and the delta counts on it (${size} bytes)`
        : `${digest} has the wrong content in ${this.#bundle.holderOf(digest)}: its bytes are ${found}`;
    this.#findings.push({ what: found === undefined ? "missing" : "content", digest, message });
  }

  /** Whether it is a delta without its bases: what it counts on is somebody else's to prove. */
  get #alone(): boolean {
    return this.#bundle.delta !== undefined && (this.#options.opening?.bases?.length ?? 0) === 0;
  }

  /** The bundle holds what the root reaches, and nothing else. */
  #graph(): { users: Map<Digest, string[]> } {
    const { lock } = this.#bundle;
    const { users, problems } = usageOf(lock, (digest) => this.#manifest(digest));
    for (const { item, digest, problem } of problems)
      this.#findings.push({ what: "graph", digest, message: `${digest} ${problem}`, items: [item] });
    if (this.#bad.size === 0 && problems.length === 0 && !this.#alone) {
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
    if (this.#alone && this.#bundle.region(digest) === undefined) return undefined;
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
    const volumes = this.#bundle.file.volumesOf(
      entry.headerOffset,
      entry.offset + padded(entry.size) - entry.headerOffset,
    );
    this.#findings.push({
      what,
      entry: entry.name,
      message:
        volumes.length === 0
          ? message
          : `${message}; it lies in ${volumes.map(({ path }) => path).join(", ")}`,
      ...(volumes.length === 0 ? {} : { volumes: volumes.map(({ path }) => path) }),
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
