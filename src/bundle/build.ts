import { existsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { replaceFileSync } from "../atomic.ts";
import { AirgapError, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import { count, formatBytes } from "../format.ts";
import { quote } from "../host/host.ts";
import { itemsOf, type Lock } from "../lock/lock.ts";
import { checkLock } from "../lock/parse.ts";
import { parseBundleSpec, readSpecText } from "../lock/spec.ts";
import { canonicalJson } from "../oci/canonical-json.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import { readBlob } from "../transport/read.ts";
import { assemble } from "./assemble.ts";
import { diffLocks, type LockDiff, readLockOf } from "./diff.ts";
import { holdOutput } from "./exclusive.ts";
import { fill, type WantedBlob } from "./fill.ts";
import { checkClosed } from "./held.ts";
import { blobName, encodeLock, type Layout, layOut } from "./layout.ts";
import { discardBuild, PartFile, savedBuild } from "./part-file.ts";
import { BundleReader } from "./reader.ts";
import { type ResolveOptions, resolveSpec } from "./resolve-spec.ts";
import { takeLogins } from "./spec-logins.ts";

export interface BuildOptions {
  spec: string;
  /** The bundle to write. */
  output: string;
  locked: boolean;
  lockOnly: boolean;
  fresh: boolean;
  dryRun: boolean;
  /** Earlier bundles to take blobs from. */
  reuse: string[];
  /** Blobs, and requests to a host, at a time; by default as many as the host can handle. */
  concurrency?: number | undefined;
  cacheDir: string;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

export interface BuildResult {
  /** Absent when no bundle is written: `--lock-only`, `--dry-run`. */
  bundle?: string;
  lock: string;
  lockDigest: Digest;
  items: number;
  blobs: number;
  /** Bytes of the whole tar. */
  size: number;
  /** Compared with the lock that was there before. */
  changes: LockDiff["changes"];
  resumed: boolean;
  /** Items of kind self, with the command that unpacks the tool at the site. */
  extract: string[];
}

/** `site.yaml` → `site.lock.json` */
export function lockPathOf(spec: string): string {
  return `${spec.replace(/\.(?:ya?ml|json)$/i, "")}.lock.json`;
}

/**
 * Builds a lock and a bundle from a spec. Resolves first, so that every blob's offset is known before
 * the first is fetched; resumes an interrupted run; gives the bundle its name only
 * when it is whole.
 * @throws AirgapError
 */
export async function build(options: BuildOptions): Promise<BuildResult> {
  if (options.dryRun || options.lockOnly) return buildAlone(options);
  checkOutput(options.output);
  const release = await holdOutput(options.output);
  try {
    return await buildAlone(options);
  } finally {
    release();
  }
}

async function buildAlone(options: BuildOptions): Promise<BuildResult> {
  const text = await readSpecText(options.spec);
  const { spec, logins } = takeLogins(parseBundleSpec(text, options.spec));
  const lockPath = lockPathOf(options.spec);
  const specDigest = digestOf(text);
  const previous = previousLock(lockPath, options);
  const resumed = resumable(options, specDigest, previous);
  const followed = resumed ?? (options.locked ? mustHave(previous, lockPath) : undefined);

  const reused = options.reuse.map((path) => BundleReader.open(path));
  const resolving: ResolveOptions = {
    spec,
    logins,
    baseDir: dirname(resolve(options.spec)),
    cacheDir: options.cacheDir,
    concurrency: options.concurrency,
    atHand: reused.map((bundle) => bundle.source()),
    emit: options.emit,
    signal: options.signal,
    locked: followed,
    previous,
  };
  options.emit({ type: "phase", name: "Resolving", detail: followed ? "by the lock" : options.spec });
  const session = await resolveSpec(resolving);
  try {
    const { lock, wanted } = assemble(spec, session.resolved, session.kubeadm);
    await checkClosed(lock, (digest) => readWanted(wanted, digest));
    if (followed) checkFollowed(lock, followed, lockPath, resumed !== undefined);
    checkLock(lock);
    const layout = layOut(lock);
    const changes = previous ? diffLocks(previous, lock).changes : [];
    const result: BuildResult = {
      lock: lockPath,
      lockDigest: layout.lockDigest,
      items: lock.items.length,
      blobs: lock.blobs.length,
      size: layout.size,
      changes,
      resumed: resumed !== undefined,
      extract: [],
    };
    if (options.dryRun) return result;
    if (!options.locked) writeLock(lockPath, lock);
    if (options.lockOnly) return result;
    options.emit({
      type: "phase",
      name: "Fetching",
      detail: `${count(lock.items.length, "item")}, ${count(lock.blobs.length, "blob")}, ${formatBytes(layout.size)}`,
    });
    preferLocal(wanted, reused);
    await write(options, layout, { specDigest, lock }, wanted);
    return { ...result, bundle: options.output, extract: extractLines(options.output, lock) };
  } finally {
    await session.close();
    for (const bundle of reused) bundle.close();
  }
}

/** A manifest of what is about to be fetched; it is at hand since it was resolved. */
async function readWanted(wanted: Map<Digest, WantedBlob>, digest: Digest): Promise<Buffer | undefined> {
  const found = wanted.get(digest);
  const [source] = found?.sources ?? [];
  return found && source ? readBlob(source, found.descriptor, MAX_MANIFEST_SIZE) : undefined;
}

function checkOutput(output: string): void {
  const folder = dirname(resolve(output));
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new AirgapError("usage", `Cannot write the bundle to ${folder}: no such folder`, {
      suggestions: [`mkdir -p ${folder}`],
    });
  if (existsSync(output) && !statSync(output).isFile())
    throw new AirgapError("usage", `${output} exists and is not a file`);
}

/** The lock of the last build. If it cannot be read, that is an error only when it must be followed. */
function previousLock(path: string, { locked, emit }: BuildOptions): Lock | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return readLockOf(path);
  } catch (error) {
    if (locked) throw error;
    emit({ type: "warning", message: `${messageOf(error)}; airgap writes a new one` });
    return undefined;
  }
}

/** The lock of an interrupted build of the same spec, unless `--fresh` is set. */
function resumable(
  { output, fresh, dryRun, lockOnly, locked, emit }: BuildOptions,
  specDigest: Digest,
  previous: Lock | undefined,
): Lock | undefined {
  if (dryRun || lockOnly) return undefined;
  const saved = savedBuild(output);
  if (saved === undefined) return undefined;
  const other = locked && previous !== undefined && !encodeLock(saved.lock).equals(encodeLock(previous));
  if (!fresh && !other && saved.specDigest === specDigest) {
    emit({
      type: "note",
      message: `Resuming the interrupted build of ${output}; use --fresh to start again`,
    });
    return saved.lock;
  }
  const why = fresh ? "" : `The ${other ? "lock" : "spec"} has changed since the interrupted build; `;
  emit({ type: "note", message: `${why}starting again` });
  discardBuild(output);
  return undefined;
}

function mustHave(lock: Lock | undefined, path: string): Lock {
  if (lock) return lock;
  throw new AirgapError("usage", `--locked needs the lock ${path}, which does not exist`, {
    suggestions: ["build once without --locked, and commit the lock that it writes"],
  });
}

function checkFollowed(lock: Lock, followed: Lock, path: string, resumed: boolean): void {
  if (encodeLock(lock).equals(encodeLock(followed))) return;
  const { changes } = diffLocks(followed, lock);
  const what =
    changes
      .slice(0, 5)
      .map(({ name, change }) => `${name} ${change}`)
      .join(", ") || "who wants an item, or how it is described";
  throw new AirgapError(
    "spec",
    `The lock ${resumed ? "of the interrupted build" : path} does not fit the spec: ${what}`,
    {
      suggestions: [resumed ? "start again with --fresh" : "build again without --locked"],
    },
  );
}

/** The lock beside the spec: canonical order, one value per line, so that its changes can be read. */
function writeLock(path: string, lock: Lock): void {
  const text = `${JSON.stringify(JSON.parse(canonicalJson(lock)), undefined, 2)}\n`;
  try {
    replaceFileSync(path, text);
  } catch (cause) {
    throw new AirgapError("disk", `Cannot write the lock ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** Bundles at hand are asked before any network. */
function preferLocal(wanted: Map<Digest, WantedBlob>, reused: BundleReader[]): void {
  for (const bundle of reused) {
    const source = bundle.source();
    for (const [digest, { sources, descriptor }] of wanted)
      if (bundle.region(digest)?.size === descriptor.size) sources.unshift(source);
  }
}

async function write(
  options: BuildOptions,
  layout: Layout,
  saved: { specDigest: string; lock: Lock },
  wanted: Map<Digest, WantedBlob>,
): Promise<void> {
  const part = PartFile.open(options.output, layout, saved);
  try {
    await fill(part, layout, wanted.values(), options);
  } catch (error) {
    part.close();
    throw error;
  }
  part.finish();
}

/** The tool's own archives can be unpacked with tar alone. */
function extractLines(bundle: string, lock: Lock): string[] {
  return itemsOf(lock, "self").flatMap(({ facts }) =>
    facts ? [`tar -xOf ${quote(bundle)} ${blobName(facts.digest)} | tar -xz`] : [],
  );
}
