import type { Readable } from "node:stream";
import { AirgapError } from "../errors.ts";
import { type Descriptor, isRecord, parseDescriptor } from "../oci/descriptor.ts";
import { algorithmOf, type Digest, hexOf, isDigest } from "../oci/digest.ts";
import { MAX_MANIFEST_SIZE, parseManifest, referrerOf } from "../oci/manifest.ts";
import { isIndexType, isManifestLike } from "../oci/media-types.ts";
import { formatPlatform } from "../oci/platform.ts";
import { formatReference, tryParseReference, withDefaultTag } from "../oci/reference.ts";
import { namesOf, type SpreadImage, spreadImages } from "./layout-index.ts";
import { MemorySource } from "./memory.ts";
import { readBlob } from "./read.ts";
import { regionStream, slice, writeRegion } from "./region.ts";
import type { FetchOptions, Range, Region, Source } from "./types.ts";
import { verifiedStream } from "./verify.ts";

const MAX_INDEX = 64 * 1024 * 1024;

/** A file that is open for reading; call `close` once. */
export interface OpenFile extends Region {
  close(): Promise<void>;
}

/** Files by path, in a directory or a tar. */
export interface LayoutFiles {
  /** Undefined when there is no such file. */
  open(path: string): Promise<OpenFile | undefined>;
  close(): Promise<void>;
}

export const blobPath = (digest: Digest): string => `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;

/** A small file, whole. @throws AirgapError `protocol` when it has more than `limit` bytes */
export async function readFileOf(
  files: LayoutFiles,
  path: string,
  limit: number,
  where: string,
): Promise<Buffer | undefined> {
  const file = await files.open(path);
  if (file === undefined) return undefined;
  try {
    if (file.size > limit)
      throw new AirgapError(
        "protocol",
        `${path} of ${where} has ${file.size} bytes; at most ${limit} are allowed here`,
      );
    const chunks: Buffer[] = [];
    for await (const chunk of regionStream(file, `${path} of ${where}`) as AsyncIterable<Buffer>)
      chunks.push(chunk);
    return Buffer.concat(chunks);
  } finally {
    await file.close();
  }
}

/** The bytes of an open file, or a part of them, as a stream that closes it. The whole is checked. */
export function streamOf(
  file: OpenFile,
  descriptor: Descriptor,
  range: Range | undefined,
  where: string,
): Readable {
  const what = `${descriptor.digest} of ${where}`;
  const stream = range
    ? regionStream(part(file, range), what)
    : verifiedStream(regionStream(file, what), descriptor, where);
  stream.once("close", () => void file.close());
  return stream;
}

/** `Source.writeTo` of an open file, which it closes. */
export async function writeFromFile(
  file: OpenFile,
  range: Range,
  what: string,
  sink: (chunk: Uint8Array) => void,
  signal?: AbortSignal,
): Promise<void> {
  try {
    await writeRegion(part(file, range), what, sink, signal);
  } finally {
    await file.close();
  }
}

/** @throws AirgapError `protocol` */
export function parseJsonFile(bytes: Buffer, path: string, where: string): unknown {
  try {
    return JSON.parse(bytes.toString("utf8")) as unknown;
  } catch (cause) {
    throw new AirgapError("protocol", `${path} of ${where} is not JSON`, { cause });
  }
}

function canonical(name: string): string {
  const reference = tryParseReference(name);
  return reference === undefined ? name : formatReference(withDefaultTag(reference));
}

/**
 * An OCI image layout, in a directory or in a tar.
 * https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
 */
export class LayoutSource implements Source {
  readonly name: string;
  readonly #files: LayoutFiles;
  readonly #index: Descriptor[];
  readonly #spread: SpreadImage[];
  readonly #made: MemorySource;
  #referrers: Map<Digest, Descriptor[]> | undefined;

  private constructor(name: string, files: LayoutFiles, index: Descriptor[], spread: SpreadImage[]) {
    this.name = name;
    this.#files = files;
    this.#index = index;
    this.#spread = spread;
    this.#made = new MemorySource(
      name,
      spread.map(({ bytes: made }) => made),
    );
  }

  /**
   * Takes over `files`, and closes them when it fails.
   * @throws AirgapError `not-found` when there is no layout, `protocol` when it is malformed
   */
  static async open(name: string, files: LayoutFiles): Promise<LayoutSource> {
    try {
      const bytes = await readFileOf(files, "index.json", MAX_INDEX, name);
      if (bytes === undefined)
        throw new AirgapError("not-found", `${name} is not an OCI image layout: it has no index.json`);
      const index = parseJsonFile(bytes, "index.json", name);
      if (!isRecord(index) || !Array.isArray(index.manifests))
        throw new AirgapError("protocol", `index.json of ${name} lists no manifests`);
      const entries = index.manifests.map((entry, i) =>
        parseDescriptor(entry, `manifests[${i}] of index.json of ${name}`),
      );
      return new LayoutSource(name, files, entries, spreadImages(entries, bytes));
    } catch (error) {
      await files.close();
      throw error;
    }
  }

  /** @param reference a name of index.json, a digest, or "" for the only image */
  async resolve(reference: string): Promise<Descriptor> {
    if (isDigest(reference)) return this.#byDigest(reference);
    const found = reference === "" ? this.#index : this.#named(reference);
    const [first, ...more] = found;
    if (first === undefined) throw this.#absent(reference);
    const spread = this.#spread.find(({ entries }) => found.every((entry) => entries.includes(entry)));
    if (spread) return spread.descriptor;
    if (more.some(({ digest }) => digest !== first.digest)) throw this.#ambiguous(reference, found);
    return bare(first);
  }

  async fetch(descriptor: Descriptor, { range }: FetchOptions = {}): Promise<Readable> {
    if (this.#isMade(descriptor.digest)) return this.#made.fetch(descriptor, range ? { range } : {});
    return streamOf(await this.#open(descriptor.digest), descriptor, range, this.name);
  }

  async writeTo(
    descriptor: Descriptor,
    range: Range,
    sink: (chunk: Uint8Array) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const made = this.#spread.find((each) => each.descriptor.digest === descriptor.digest)?.bytes;
    if (made) return sink(made.subarray(range.offset, range.offset + (range.length ?? made.length)));
    await writeFromFile(
      await this.#open(descriptor.digest),
      range,
      `${descriptor.digest} of ${this.name}`,
      sink,
      signal,
    );
  }

  async tags(): Promise<string[]> {
    return [...new Set(this.#index.flatMap(namesOf))].sort();
  }

  async referrers(digest: Digest): Promise<Descriptor[]> {
    this.#referrers ??= await this.#readSubjects();
    return this.#referrers.get(digest) ?? [];
  }

  async close(): Promise<void> {
    await this.#files.close();
  }

  /** Names as written; otherwise as references, so that `nginx` finds `docker.io/library/nginx:latest`. */
  #named(reference: string): Descriptor[] {
    const exact = this.#index.filter((entry) => namesOf(entry).includes(reference));
    return exact.length > 0
      ? exact
      : this.#index.filter((entry) =>
          namesOf(entry).some((name) => canonical(name) === canonical(reference)),
        );
  }

  #isMade(digest: Digest): boolean {
    return this.#spread.some(({ descriptor }) => descriptor.digest === digest);
  }

  async #byDigest(digest: Digest): Promise<Descriptor> {
    const made = this.#spread.find(({ descriptor }) => descriptor.digest === digest);
    if (made) return made.descriptor;
    const listed = this.#index.find((entry) => entry.digest === digest);
    if (listed) return bare(listed);
    const size = await this.#size(digest);
    if (size === undefined) throw this.#absent(digest);
    const descriptor: Descriptor = { mediaType: "", digest, size };
    const { mediaType } = parseManifest(
      await readBlob(this, descriptor, MAX_MANIFEST_SIZE),
      undefined,
      `${digest} of ${this.name}`,
    );
    return { ...descriptor, mediaType };
  }

  async #open(digest: Digest): Promise<OpenFile> {
    const file = await this.#files.open(blobPath(digest));
    if (file === undefined) throw (await this.#missingPlatform(digest)) ?? this.#absent(digest);
    return file;
  }

  /** Docker saves one platform of an image with the whole index: children of it are listed and not there. */
  async #missingPlatform(digest: Digest): Promise<AirgapError | undefined> {
    for (const entry of this.#index.filter(({ mediaType }) => isIndexType(mediaType))) {
      if ((await this.#size(entry.digest)) === undefined || entry.size > MAX_MANIFEST_SIZE) continue;
      const bytes = await readBlob(this, entry, MAX_MANIFEST_SIZE);
      const content = parseManifest(bytes, entry.mediaType, `${entry.digest} of ${this.name}`);
      const children = content.kind === "index" ? content.manifests : [];
      if (!children.some((child) => child.digest === digest)) continue;
      const there: string[] = [];
      const missing: string[] = [];
      for (const { digest: child, platform } of children) {
        if (platform === undefined || platform.os === "unknown") continue;
        const list = (await this.#size(child)) === undefined ? missing : there;
        list.push(formatPlatform(platform));
      }
      return sparse(this.name, namesOf(entry).at(-1) ?? entry.digest, there, missing);
    }
    return undefined;
  }

  async #size(digest: Digest): Promise<number | undefined> {
    const file = await this.#files.open(blobPath(digest));
    await file?.close();
    return file?.size;
  }

  /** The manifests in index.json that have a subject; a missing or unreadable one has none. */
  async #readSubjects(): Promise<Map<Digest, Descriptor[]>> {
    const bySubject = new Map<Digest, Descriptor[]>();
    for (const entry of new Map(this.#index.map((each) => [each.digest, each])).values()) {
      if (
        !isManifestLike(entry.mediaType) ||
        entry.size > MAX_MANIFEST_SIZE ||
        (await this.#size(entry.digest)) === undefined
      )
        continue;
      const content = parseManifest(
        await readBlob(this, entry, MAX_MANIFEST_SIZE),
        entry.mediaType,
        `${entry.digest} of ${this.name}`,
      );
      if (content.subject)
        bySubject.set(content.subject.digest, [
          ...(bySubject.get(content.subject.digest) ?? []),
          referrerOf(entry, content),
        ]);
    }
    return bySubject;
  }

  #absent(reference: string): AirgapError {
    const names = this.#index.flatMap((entry) => namesOf(entry).slice(0, 1));
    return new AirgapError(
      "not-found",
      `${this.name} does not hold ${reference || "any image"}${names.length > 0 ? `; it holds ${listed(names)}` : ""}`,
    );
  }

  #ambiguous(reference: string, found: Descriptor[]): AirgapError {
    const what =
      reference === ""
        ? `holds ${found.length} images`
        : `holds different images under the name ${reference}`;
    const choices = found.map((entry) =>
      reference === "" ? (namesOf(entry)[0] ?? entry.digest) : entry.digest,
    );
    return new AirgapError("usage", `${this.name} ${what}: ${listed(choices)}`, {
      suggestions: choices.slice(0, 3).map((choice) => `${this.name}:${choice}`),
    });
  }
}

function sparse(place: string, image: string, there: string[], missing: string[]): AirgapError {
  const are = missing.length === 1 ? "is" : "are";
  return new AirgapError(
    "not-found",
    `${place} holds ${there.length === 0 ? "no platform" : listed(there)} of ${image}; ${listed(missing)} ${are} listed and not there`,
    {
      suggestions: [
        ...(there[0] === undefined
          ? []
          : [`--platform ${there[0]}  # or platforms: [${there[0]}] in a spec`]),
        "docker pull --platform PLATFORM for each, and save it again",
      ],
    },
  );
}

const listed = (names: string[]): string =>
  names.slice(0, 10).join(", ") + (names.length > 10 ? `, and ${names.length - 10} more` : "");

/** Annotations of index.json describe the layout, not the image. */
function bare({ mediaType, digest, size, artifactType }: Descriptor): Descriptor {
  return { mediaType, digest, size, ...(artifactType ? { artifactType } : {}) };
}

/** The part of a region that a range names, as far as it exists. */
function part(region: Region, range: Range): Region {
  const from = Math.min(range.offset, region.size);
  return slice(region, from, Math.min(range.length ?? region.size - from, region.size - from));
}
