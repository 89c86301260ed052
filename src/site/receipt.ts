import { existsSync } from "node:fs";
import { BundleReader, type Opening } from "../bundle/reader.ts";
import { makeReceipt, type Receipt } from "../bundle/receipt.ts";
import { findVolumes } from "../bundle/volumes.ts";
import { isAirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import { count } from "../format.ts";
import { run } from "../host/process.ts";
import type { LockedBlob } from "../lock/lock.ts";
import { parseTarget } from "../names/landing.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { childrenOf, MAX_INDEX_DEPTH, MAX_MANIFEST_SIZE, parseManifest } from "../oci/manifest.ts";
import { isForeignLayer, isManifestLike } from "../oci/media-types.ts";
import { formatReference } from "../oci/reference.ts";
import { mapConcurrent } from "../transport/map-concurrent.ts";
import { readBlob } from "../transport/read.ts";
import { RegistryError } from "../transport/registry/answer.ts";
import { listRepositories } from "../transport/registry/catalog.ts";
import { Registries } from "../transport/registry/registries.ts";
import type { Source } from "../transport/types.ts";
import { HarborApi } from "./harbor/api.ts";

export interface ReceiptOptions {
  /** Bundles, and registries as `host[:port][/prefix]`. */
  subjects: string[];
  insecure?: boolean | undefined;
  caFile?: string | undefined;
  opening?: Opening | undefined;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

/** What was found so far. */
class Found {
  readonly from: string[] = [];
  readonly blobs = new Map<Digest, number>();
  readonly images = new Set<string>();
  /** Manifests that were walked. */
  readonly walked = new Set<Digest>();

  receipt(): Receipt {
    const blobs = [...this.blobs].map(([digest, size]): LockedBlob => ({ digest, size }));
    return makeReceipt(this.from, blobs, this.images);
  }
}

/**
 * Writes down what registries and bundles hold, so that `build --since` leaves it out.
 * @throws AirgapError as for a push, and for bundles that are missing or damaged
 */
export async function takeReceipt(options: ReceiptOptions): Promise<Receipt> {
  const found = new Found();
  for (const subject of options.subjects) {
    const isBundle = existsSync(subject) || findVolumes(subject, options.opening?.volumes).length > 0;
    if (isBundle) await ofBundle(subject, options, found);
    else await ofRegistry(subject, options, found);
  }
  return found.receipt();
}

async function ofBundle(path: string, { opening, signal }: ReceiptOptions, found: Found): Promise<void> {
  const reader = await BundleReader.openUnless(signal, path, opening);
  try {
    const { lock, layout } = reader;
    found.from.push(`bundle ${lock.name} ${layout.lockDigest}`);
    // Of a delta only what is in it, or in a base that was named: the rest is somebody else's to answer for.
    for (const { digest, size } of lock.blobs) if (reader.region(digest)) found.blobs.set(digest, size);
    for (const { kind, name } of lock.items) if (kind === "image") found.images.add(name);
  } finally {
    reader.close();
  }
}

async function ofRegistry(target: string, options: ReceiptOptions, found: Found): Promise<void> {
  const { host, prefix } = parseTarget(target);
  const { insecure, caFile, emit, signal } = options;
  const registries = Registries.forUser(run, {
    trust: (asked) =>
      asked === host ? { ...(insecure ? { insecure } : {}), ...(caFile ? { caFile } : {}) } : {},
    emit,
  });
  try {
    const client = registries.client(host);
    // A wrong login is shown to a Harbor once.
    if (await client.greetsAsHarbor()) await HarborApi.meet(client, undefined, signal);
    const all = await listRepositories(client, signal);
    const names = all.filter((name) => prefix === "" || name === prefix || name.startsWith(`${prefix}/`));
    emit({
      type: "phase",
      name: "Reading",
      detail: `${count(names.length, "repository", "repositories")} of ${host}`,
    });
    found.from.push(`registry ${target}`);
    for (const repository of names) {
      const source = registries.source(host, repository);
      const tags = (await source.tags(signal)).toSorted();
      await mapConcurrent(
        tags,
        (tag) => ofTag({ host, repository, tag, source }, found, emit, signal),
        signal,
      );
    }
  } finally {
    await registries.close();
  }
}

/** A tag whose content the registry has lost, or gives to nobody (a policy of Harbor's), is no reason to stop: it is not had. */
async function ofTag(
  { host, repository, tag, source }: { host: string; repository: string; tag: string; source: Source },
  found: Found,
  emit: Emit,
  signal: AbortSignal | undefined,
): Promise<void> {
  const name = formatReference({ host, repository, tag });
  try {
    await walk(source, await source.resolve(tag, signal), found);
    found.images.add(name);
    // What is attached to it is had too.
    if (!isDigest(tag)) emit({ type: "item", item: name, state: "present" });
  } catch (error) {
    const isWithheld = error instanceof RegistryError && error.status === 412;
    if (!isWithheld && !isAirgapError(error, "not-found", "corrupt", "unsupported", "protocol")) throw error;
    emit({ type: "warning", message: `${name} is left out of the receipt: ${error.message}` });
  }
}

async function walk(source: Source, descriptor: Descriptor, found: Found, depth = 0): Promise<void> {
  const { digest, size, mediaType } = descriptor;
  if (isManifestLike(mediaType) && depth <= MAX_INDEX_DEPTH && !found.walked.has(digest)) {
    const bytes = await readBlob(source, descriptor, MAX_MANIFEST_SIZE);
    found.walked.add(digest);
    for (const child of childrenOf(parseManifest(bytes, mediaType, digest)))
      if (!isForeignLayer(child.mediaType)) await walkChild(source, child, found, depth);
  }
  found.blobs.set(digest, size);
}

/** Registries may keep an index without all of its children. */
async function walkChild(source: Source, child: Descriptor, found: Found, depth: number): Promise<void> {
  try {
    await walk(source, child, found, depth + 1);
  } catch (error) {
    if (!isManifestLike(child.mediaType) || !isAirgapError(error, "not-found")) throw error;
  }
}
