import { copyFileSync } from "node:fs";
import { basename } from "node:path";
import { AirgapError, Exit, isAirgapError, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import { count, formatBytes } from "../format.ts";
import type { Digest } from "../oci/digest.ts";
import { digestOf } from "../oci/digest.ts";
import { removeStale, signaturePaths } from "../trust/signature-files.ts";
import { checkOutput, holdOutput } from "./exclusive.ts";
import type { WantedBlob } from "./fill.ts";
import { encodeLock, layOut } from "./layout.ts";
import { BundleReader, type Opening } from "./reader.ts";
import { checkCount } from "./split.ts";
import { checkWhole } from "./whole.ts";
import { writeBundle } from "./write-bundle.ts";

export interface MergeOptions {
  /** The bundles that the delta counts on: whole ones, or deltas on top of each other. */
  bases: string[];
  delta: string;
  output: string;
  volumeSize?: number | undefined;
  opening?: Opening | undefined;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

export interface MergeResult {
  bundle: string;
  lockDigest: Digest;
  items: number;
  blobs: number;
  /** Bytes of the whole tar. */
  size: number;
  volumes?: string[];
  signatures: string[];
}

/**
 * Makes of a delta and what it counts on the bundle that a full build would have made, byte for byte. Its signatures
 * are the delta's, since they are over the same lock.
 * @throws AirgapError `check-failed` when a blob is in none of them
 */
export async function mergeBundles(options: MergeOptions): Promise<MergeResult> {
  checkOutput(options.output);
  const reader = await BundleReader.openUnless(options.signal, options.delta, {
    ...options.opening,
    bases: options.bases,
  });
  try {
    checkWhole(reader);
    const release = await holdOutput(options.output);
    try {
      return await mergeOpen(reader, options);
    } finally {
      release();
    }
  } finally {
    reader.close();
  }
}

async function mergeOpen(reader: BundleReader, options: MergeOptions): Promise<MergeResult> {
  const { output, volumeSize, emit, signal } = options;
  const { lock } = reader;
  const layout = layOut(lock);
  if (volumeSize !== undefined) checkCount(layout.size, volumeSize);
  const source = reader.source();
  const wanted = new Map(
    lock.blobs.map(({ digest, size }): [Digest, WantedBlob] => [
      digest,
      { descriptor: { mediaType: "application/octet-stream", digest, size }, sources: [source] },
    ]),
  );
  emit({
    type: "phase",
    name: "Merging",
    detail: `${count(wanted.size, "blob")}, ${formatBytes(layout.size)}`,
  });
  const content = encodeLock(lock);
  const saved = { specDigest: digestOf(content), lock, volumeSize };
  const { volumes } = await writeBundle(output, layout, saved, wanted, { emit, signal }).catch(
    (cause: unknown) => {
      if (!isAirgapError(cause, "corrupt")) throw cause;
      throw new AirgapError("corrupt", cause.message, {
        cause: cause.cause,
        exit: Exit.check,
        suggestions: options.bases.map((base) => `airgap verify ${base}`),
      });
    },
  );
  removeStale(output, content);
  return {
    bundle: output,
    lockDigest: layout.lockDigest,
    items: lock.items.length,
    blobs: lock.blobs.length,
    size: layout.size,
    ...(volumes ? { volumes } : {}),
    signatures: copySignatures(reader, output),
  };
}

function copySignatures({ file }: BundleReader, output: string): string[] {
  return signaturePaths(file.path, file.folders).map((path) => {
    const to = `${output}${basename(path).slice(basename(file.path).length)}`;
    try {
      copyFileSync(path, to);
    } catch (cause) {
      throw new AirgapError("disk", `Cannot write the signature ${to}: ${messageOf(cause)}`, { cause });
    }
    return to;
  });
}
