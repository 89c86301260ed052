import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { replaceFileSync } from "../atomic.ts";
import { AirgapError, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import { count, formatBytes } from "../format.ts";
import type { Lock } from "../lock/lock.ts";
import { checkLock } from "../lock/parse.ts";
import { type BundleSpec, parseLocatedSpec, readSpecText } from "../lock/spec.ts";
import { canonicalJson } from "../oci/canonical-json.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import type { Signer } from "../trust/key.ts";
import { removeStale } from "../trust/signature-files.ts";
import { assemble } from "./assemble.ts";
import { extractLines } from "./beside.ts";
import { bytesOf, deltaOf, encodeDelta } from "./delta.ts";
import { diffLocks, type LockDiff, readLockOf } from "./diff.ts";
import { checkOutput, holdOutput } from "./exclusive.ts";
import { checkClosed } from "./held.ts";
import { encodeLock, layOut } from "./layout.ts";
import type { ListedItem } from "./list.ts";
import { discardBuild, savedBuild } from "./part-file.ts";
import { BundleReader, type Opening } from "./reader.ts";
import { readHolding } from "./receipt.ts";
import { type ResolveOptions, resolveSpec } from "./resolve-spec.ts";
import { signWith } from "./sign.ts";
import { located, locatedEmit } from "./spec-lines.ts";
import { takeLogins } from "./spec-logins.ts";
import { checkCount } from "./split.ts";
import { isWhole, openStanding, putBeside } from "./standing.ts";
import { checkStones } from "./stones.ts";
import { bytesToFetch, contentsOf, preferLocal, readWanted } from "./wanted.ts";
import { type Written, writeBundle } from "./write-bundle.ts";

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
  /** A lock, a bundle or a receipt: what it has is left out. */
  since?: string | undefined;
  /** How those are opened. */
  opening?: Opening | undefined;
  /** Blobs, and requests to a host, at a time; by default as many as the host can handle. */
  concurrency?: number | undefined;
  /** Writes volumes of this size instead of one file. Bytes. */
  volumeSize?: number | undefined;
  /** Signs the bundle, in a file beside it. */
  signer?: Signer | undefined;
  /** Of the new lock; by default one more than the last lock's when anything changed. */
  sequence?: number | undefined;
  /** Bytes a second that blobs may come with, all together. */
  limitRate?: number | undefined;
  /** When something cannot be had, look for the rest too, and name all that failed. */
  keepGoing?: boolean | undefined;
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
  /** Counts up with every build that changes the lock. */
  sequence: number;
  /** With `--since`: what the bundle counts on and leaves out. Bytes. */
  delta?: { since: Digest; blobs: number; bytes: number };
  /** With `--volume-size`. */
  volumes?: string[];
  /** Path of the signature, with `--sign-key`. */
  signature?: string;
  /** Compared with the lock that was there before. */
  changes: LockDiff["changes"];
  resumed: boolean;
  /** The bundle was there already, whole and of this lock. */
  unchanged: boolean;
  /** Bytes that no bundle at hand has. */
  toFetch: number;
  /** With `--dry-run`: what the bundle would hold. */
  contents?: ListedItem[];
  /** Files that go with the bundle: a text for the site, and the checksums. */
  beside?: string[];
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
  const { spec, locate } = parseLocatedSpec(text, options.spec);
  try {
    return await buildSpec(spec, text, { ...options, emit: locatedEmit(options.emit, locate) });
  } catch (error) {
    throw located(error, locate);
  }
}

/** @param text of the spec */
async function buildSpec(parsed: BundleSpec, text: string, options: BuildOptions): Promise<BuildResult> {
  const { spec, logins } = takeLogins(parsed);
  const lockPath = lockPathOf(options.spec);
  const specDigest = digestOf(text);
  const previous = previousLock(lockPath, options);
  const resumed = resumable(options, specDigest, previous);
  const followed = resumed ?? (options.locked ? mustHave(previous, lockPath) : undefined);

  const holding =
    options.since === undefined
      ? undefined
      : await readHolding(options.since, options.opening, options.signal);
  const standing =
    options.fresh || options.output === "" ? undefined : openStanding(options.output, options.emit);
  const reused = [
    ...(standing ? [standing] : []),
    ...options.reuse.map((path) => BundleReader.open(path, options.opening)),
  ];
  const resolving: ResolveOptions = {
    spec,
    logins,
    baseDir: dirname(resolve(options.spec)),
    cacheDir: options.cacheDir,
    concurrency: options.concurrency,
    keepGoing: options.keepGoing,
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
    setSequence(lock, followed, previous, options.sequence);
    await checkClosed(lock, (digest) => readWanted(wanted, digest));
    if (followed) checkFollowed(lock, followed, lockPath, resumed !== undefined);
    checkLock(lock);
    if (lock.items.length === 0)
      options.emit({
        type: "warning",
        message: `${options.spec} asks for nothing: the bundle is empty`,
        suggestion: "airgap schema bundle shows what it can ask for",
      });
    if (spec.upgradeFrom !== undefined) checkStones(lock, spec.upgradeFrom);
    const delta = holding && deltaOf(lock, holding);
    for (const { digest } of delta?.blobs ?? []) wanted.delete(digest);
    const layout = layOut(lock, delta);
    const changes = previous ? diffLocks(previous, lock).changes : [];
    const result: BuildResult = {
      lock: lockPath,
      lockDigest: layout.lockDigest,
      items: lock.items.length,
      blobs: lock.blobs.length,
      size: layout.size,
      sequence: lock.sequence ?? 0,
      ...(delta
        ? { delta: { since: delta.since, blobs: delta.blobs.length, bytes: bytesOf(delta.blobs) } }
        : {}),
      changes,
      resumed: resumed !== undefined,
      unchanged: false,
      toFetch: bytesToFetch(wanted, reused),
      extract: [],
    };
    if (options.volumeSize !== undefined) checkCount(layout.size, options.volumeSize);
    if (options.dryRun) return { ...result, contents: await contentsOf(lock, wanted) };
    if (!options.locked) writeLock(lockPath, lock);
    if (options.lockOnly) return result;
    const finish = async (unchanged: boolean, written: Written = {}): Promise<BuildResult> => {
      const { volumes } = written;
      const signature = signNew(options, lock);
      return {
        ...result,
        unchanged,
        bundle: options.output,
        ...(volumes ? { volumes } : {}),
        ...(signature ? { signature } : {}),
        extract: extractLines(options.output, lock, layout, volumes !== undefined),
        beside: await putBeside(options, lock, layout, written),
      };
    };
    if (
      delta === undefined &&
      options.volumeSize === undefined &&
      standing?.delta === undefined &&
      standing?.layout.lockDigest === layout.lockDigest &&
      (await isWhole(standing, options.cacheDir, options))
    ) {
      discardBuild(options.output);
      return await finish(true);
    }
    options.emit({
      type: "phase",
      name: "Fetching",
      detail: `${count(lock.items.length, "item")}, ${count(wanted.size, "blob")}, ${formatBytes(layout.size)}`,
    });
    preferLocal(wanted, reused);
    const { volumeSize } = options;
    const leftOut = delta && digestOf(encodeDelta(delta));
    const saved = { specDigest, lock, volumeSize, ...(leftOut ? { delta: leftOut } : {}) };
    return await finish(false, await writeBundle(options.output, layout, saved, wanted, options));
  } finally {
    await session.close();
    for (const bundle of reused) bundle.close();
  }
}

/**
 * Numbers a new lock: one more than the last one's, and the same when nothing else changed, so that equal content
 * gives equal bytes. A lock that is followed keeps its own.
 */
function setSequence(
  lock: Lock,
  followed: Lock | undefined,
  previous: Lock | undefined,
  given: number | undefined,
): void {
  if (followed) {
    if (followed.sequence !== undefined) lock.sequence = followed.sequence;
    return;
  }
  const last = previous?.sequence ?? 0;
  const same =
    previous !== undefined &&
    encodeLock({ ...lock, sequence: last }).equals(encodeLock({ ...previous, sequence: last }));
  lock.sequence = given ?? (same && last > 0 ? last : last + 1);
}

/** What was signed before under this name is not what is there now. @returns the path of the new signature */
function signNew({ output, signer, emit }: BuildOptions, lock: Lock): string | undefined {
  const content = encodeLock(lock);
  for (const path of removeStale(output, content))
    emit({ type: "note", message: `Removed ${path}: it signed what ${output} held before` });
  return signer && signWith(signer, { path: output, content }).signature;
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
function resumable(options: BuildOptions, specDigest: Digest, previous: Lock | undefined): Lock | undefined {
  const { output, fresh, dryRun, lockOnly, locked, emit } = options;
  if (dryRun || lockOnly) return undefined;
  const saved = savedBuild(output);
  if (saved === undefined) return undefined;
  const { sequence = saved.lock.sequence } = options;
  const other =
    (locked && previous !== undefined && !encodeLock(saved.lock).equals(encodeLock(previous))) ||
    sequence !== saved.lock.sequence ||
    options.volumeSize !== saved.volumeSize;
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
