import { type Item, LOCK_MEDIA_TYPE, type Lock } from "../lock/lock.ts";
import { canonicalBytes, canonicalJson } from "../oci/canonical-json.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf, type Digest, digestOf, hexOf } from "../oci/digest.ts";
import { MediaType } from "../oci/media-types.ts";
import { formatReference, parseReference } from "../oci/reference.ts";
import { DELTA_ARTIFACT_TYPE, DELTA_MEDIA_TYPE, type Delta, encodeDelta } from "./delta.ts";
import { END_OF_ARCHIVE, entryHeader, headerSize, padded } from "./tar.ts";

export const ROOT_ARTIFACT_TYPE = "application/vnd.airgap.bundle.v1";
export const OCI_LAYOUT = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

/** One file of the tar. Offsets and sizes are bytes. */
export class Entry {
  readonly headerOffset: number;
  /** Of the content. */
  readonly offset: number;
  readonly size: number;
  /** Absent for oci-layout and index.json. */
  readonly digest: Digest | undefined;
  /** Content that is generated from the lock. */
  readonly bytes: Buffer | undefined;
  readonly #name: string | undefined;

  /** @param what a name, or the digest that gives it */
  constructor(
    what: { name: string } | { digest: Digest },
    headerOffset: number,
    content: { size: number; bytes?: Buffer },
  ) {
    this.#name = "name" in what ? what.name : undefined;
    this.digest = "digest" in what ? what.digest : undefined;
    this.headerOffset = headerOffset;
    this.offset = headerOffset + headerSize(this.name);
    this.size = content.size;
    this.bytes = content.bytes;
  }

  get name(): string {
    return this.#name ?? blobName(this.digest as Digest);
  }

  /** Made on request: a bundle may have a hundred thousand. */
  get header(): Buffer {
    return entryHeader(this.name, this.size);
  }
}

/** Where each part of a bundle is; follows from the lock alone. */
export interface Layout {
  lockDigest: Digest;
  entries: Entry[];
  byDigest: Map<Digest, Entry>;
  /** Size of the whole tar. */
  size: number;
}

export const blobName = (digest: Digest): string => `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;

export function encodeLock(lock: Lock): Buffer {
  return canonicalBytes(lock);
}

/**
 * The names under which other tools find an image: `io.containerd.image.name` and the OCI
 * `ref.name`, both the full reference. `name:tag@digest` is found as `name:tag`.
 */
function indexEntries(item: Item): Descriptor[] {
  const own: Record<string, string> = { "vnd.airgap.kind": item.kind, "vnd.airgap.name": item.name };
  if (item.kind === "image") {
    const reference = parseReference(item.name);
    const { digest: _, ...tagged } = reference;
    const name = formatReference(reference.tag === undefined ? reference : tagged);
    own["io.containerd.image.name"] = name;
    own["org.opencontainers.image.ref.name"] = name;
  }
  const attached = (item.attached ?? []).map(({ descriptor, subject }) => ({
    ...bare(descriptor),
    annotations: { "vnd.airgap.subject": subject },
  }));
  return [{ ...bare(item.root), annotations: own }, ...attached];
}

/** Annotations of a descriptor belong to the place where it was found, not to our list. */
function bare({ mediaType, digest, size, artifactType }: Descriptor): Descriptor {
  return { mediaType, digest, size, ...(artifactType ? { artifactType } : {}) };
}

function unique(descriptors: Descriptor[]): Descriptor[] {
  const seen = new Set<string>();
  return descriptors.filter((descriptor) => {
    const key = canonicalJson(descriptor);
    return !seen.has(key) && seen.add(key);
  });
}

/** The lock as an artifact, so that every tool reads it as an ordinary manifest; in a delta with what it counts on. */
function rootManifest(lock: Buffer, delta: Buffer | undefined): { manifest: Buffer; lockDigest: Digest } {
  const lockDigest = digestOf(lock);
  const blob: Descriptor = { mediaType: LOCK_MEDIA_TYPE, digest: lockDigest, size: lock.length };
  const more: Descriptor[] = delta
    ? [{ mediaType: DELTA_MEDIA_TYPE, digest: digestOf(delta), size: delta.length }]
    : [];
  const manifest = canonicalJson({
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    artifactType: delta ? DELTA_ARTIFACT_TYPE : ROOT_ARTIFACT_TYPE,
    config: blob,
    layers: [blob, ...more],
  });
  return { manifest: Buffer.from(manifest), lockDigest };
}

/**
 * Computes the whole tar except the blobs' bytes: the index, every header, every offset.
 * The lock comes right after the index, so that list and diff read the first kilobytes only.
 * @param delta what the bundle leaves out. The index of a delta lists its root alone: other tools would follow
 * children that are not there
 */
export function layOut(lock: Lock, delta?: Delta): Layout {
  const lockBytes = encodeLock(lock);
  const deltaBytes = delta && encodeDelta(delta);
  const { manifest, lockDigest } = rootManifest(lockBytes, deltaBytes);
  const root: Descriptor = {
    mediaType: MediaType.ociManifest,
    digest: digestOf(manifest),
    size: manifest.length,
    artifactType: delta ? DELTA_ARTIFACT_TYPE : ROOT_ARTIFACT_TYPE,
    annotations: { "vnd.airgap.kind": delta ? "delta" : "lock" },
  };
  const index = canonicalBytes({
    schemaVersion: 2,
    mediaType: MediaType.ociIndex,
    manifests: unique([root, ...(delta ? [] : lock.items.flatMap(indexEntries))]),
  });

  const entries: Entry[] = [];
  const byDigest = new Map<Digest, Entry>();
  let offset = 0;
  const add = (
    what: { name: string } | { digest: Digest },
    content: { size: number; bytes?: Buffer },
  ): void => {
    const entry = new Entry(what, offset, content);
    entries.push(entry);
    if (entry.digest) byDigest.set(entry.digest, entry);
    offset = entry.offset + padded(entry.size);
  };
  const made = (bytes: Buffer) => ({ size: bytes.length, bytes });
  add({ name: "oci-layout" }, made(OCI_LAYOUT));
  add({ name: "index.json" }, made(index));
  add({ digest: root.digest }, made(manifest));
  add({ digest: lockDigest }, made(lockBytes));
  if (deltaBytes) add({ digest: digestOf(deltaBytes) }, made(deltaBytes));
  const leftOut = new Set(delta?.blobs.map(({ digest }) => digest));
  for (const { digest, size } of lock.blobs) if (!leftOut.has(digest)) add({ digest }, { size });
  return { lockDigest, entries, byDigest, size: offset + END_OF_ARCHIVE.length };
}
