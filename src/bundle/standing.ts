import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { replaceFileSync } from "../atomic.ts";
import { isAirgapError, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import type { Lock } from "../lock/lock.ts";
import { isRecord } from "../oci/descriptor.ts";
import { type Digest, digestOf, hexOf } from "../oci/digest.ts";
import { digestOfTar, readmePath, sumsPath, writeBeside } from "./beside.ts";
import type { Layout } from "./layout.ts";
import { BundleReader } from "./reader.ts";
import { verifyBundle } from "./verify.ts";
import type { Written } from "./write-bundle.ts";

/** What was noted when a bundle was built: a file that is still the same need not be hashed again. */
interface Built {
  lockDigest: Digest;
  /** Of the whole tar. */
  tarDigest: Digest;
  file: string;
}

/** Changes with every write to a file, and with every file that takes its place. */
function identityOf(path: string): string {
  const { ino, dev, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
}

const notePath = (output: string, cacheDir: string): string =>
  join(cacheDir, "built", `${hexOf(digestOf(resolve(output)))}.json`);

function noteOf(output: string, cacheDir: string): Built | undefined {
  try {
    const note: unknown = JSON.parse(readFileSync(notePath(output, cacheDir), "utf8"));
    if (!isRecord(note) || note["file"] !== identityOf(output)) return undefined;
    return note as unknown as Built;
  } catch {
    return undefined;
  }
}

/** Notes a bundle that was just built or verified. Without the note, the next build hashes it again. */
export function noteBuilt(
  output: string,
  cacheDir: string,
  digests: { lockDigest: Digest; tarDigest: Digest },
): void {
  try {
    mkdirSync(join(cacheDir, "built"), { recursive: true });
    const note: Built = { ...digests, file: identityOf(output) };
    replaceFileSync(notePath(output, cacheDir), `${JSON.stringify(note)}\n`);
  } catch {
    // A cache that cannot be written costs time, and nothing else.
  }
}

/**
 * Writes the text and the checksums beside a bundle. One file is hashed for them, unless that was done before; the
 * checksums of volumes are there already.
 * @param written  what is known of a bundle that was written just now
 * @returns the paths of both
 */
export async function putBeside(
  { output, cacheDir, emit, signal }: Beside,
  lock: Lock,
  layout: Layout,
  { volumes, tarDigest: known }: Written,
): Promise<string[]> {
  const files = [readmePath(output), sumsPath(output)];
  if (volumes) {
    writeBeside(output, lock, layout);
    return files;
  }
  const noted = known ?? notedTarDigest(output, cacheDir);
  if (known === undefined && noted !== undefined && files.every((file) => existsSync(file))) return files;
  if (noted === undefined) emit({ type: "phase", name: "Hashing", detail: `${output} for SHA256SUMS` });
  const tarDigest = noted ?? (await digestOfTar(output));
  signal?.throwIfAborted();
  writeBeside(output, lock, layout, tarDigest);
  noteBuilt(output, cacheDir, { lockDigest: layout.lockDigest, tarDigest });
  return files;
}

interface Beside {
  output: string;
  cacheDir: string;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

/** The digest of the whole tar, if the file is as it was when it was noted. */
export const notedTarDigest = (output: string, cacheDir: string): Digest | undefined =>
  noteOf(output, cacheDir)?.tarDigest;

/** The bundle that is at the output already; undefined when there is none, or it cannot be read. */
export function openStanding(output: string, emit: Emit): BundleReader | undefined {
  if (!existsSync(output)) return undefined;
  try {
    return BundleReader.open(output);
  } catch (error) {
    emit({ type: "note", message: `${messageOf(error)}. It is not used, and is replaced at the end` });
    return undefined;
  }
}

/** Whether the bundle is whole: as it was when it was built, or else by hashing all of it. */
export async function isWhole(
  bundle: BundleReader,
  cacheDir: string,
  { emit, signal }: { emit: Emit; signal?: AbortSignal | undefined },
): Promise<boolean> {
  if (noteOf(bundle.path, cacheDir)?.lockDigest === bundle.layout.lockDigest) return true;
  emit({ type: "phase", name: "Checking", detail: `${bundle.path}, which is there already` });
  try {
    await verifyBundle(bundle.path, { quick: false, emit, signal });
    return true;
  } catch (error) {
    if (!isAirgapError(error, "check-failed")) throw error;
    emit({ type: "warning", message: `${bundle.path} is damaged; what is right in it is used` });
    return false;
  }
}
