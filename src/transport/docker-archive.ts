import { createHash } from "node:crypto";
import { posix } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { AirgapError, messageOf } from "../errors.ts";
import { canonicalJson } from "../oci/canonical-json.ts";
import { type Descriptor, isRecord } from "../oci/descriptor.ts";
import { algorithmOf, type Digest, digestOf, finish, isDigest } from "../oci/digest.ts";
import { MediaType } from "../oci/media-types.ts";
import { formatReference, tryParseReference, withDefaultTag } from "../oci/reference.ts";
import {
  LayoutSource,
  type OpenFile,
  parseJsonFile,
  readFileOf,
  streamOf,
  writeFromFile,
} from "./layout-source.ts";
import { TarFiles } from "./oci-archive.ts";
import { regionStream } from "./region.ts";
import type { FetchOptions, Range, Source } from "./types.ts";
import { compressionOf, openTar, type TarOptions } from "./unpacked.ts";

const MAX_LIST = 64 * 1024 * 1024;
const MAX_CONFIG = 8 * 1024 * 1024;

/** An entry of manifest.json. moby, image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format". */
interface SavedImage {
  config: string;
  names: string[];
  layers: string[];
}

/** An image of the archive with the manifest that airgap makes for it. */
interface MadeImage {
  root: Descriptor;
  manifest: Buffer;
  /** Where blobs are in the archive. */
  files: Map<Digest, string>;
}

function readList(bytes: Buffer, where: string): SavedImage[] {
  const list = parseJsonFile(bytes, "manifest.json", where);
  const fail = (why: string): never => {
    throw new AirgapError("protocol", `manifest.json of ${where}: ${why}`);
  };
  if (!Array.isArray(list)) return fail("is not a list of images");
  return list.map((entry: unknown, i): SavedImage => {
    if (!isRecord(entry) || typeof entry.Config !== "string") return fail(`image ${i} has no Config`);
    const strings = (value: unknown): string[] =>
      Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
    if (entry.Config === "" || strings(entry.Layers).includes(""))
      return fail(`image ${i} names a config or a layer without a path`);
    return { config: entry.Config, names: strings(entry.RepoTags), layers: strings(entry.Layers) };
  });
}

function canonical(name: string): string {
  const reference = tryParseReference(name);
  return reference === undefined ? name : formatReference(withDefaultTag(reference));
}

/** The digests of the uncompressed layers, as the image's config lists them. */
function diffIdsOf(config: Buffer, where: string): Digest[] {
  const value = parseJsonFile(config, "an image's config", where);
  const ids =
    isRecord(value) && isRecord(value.rootfs) && Array.isArray(value.rootfs.diff_ids)
      ? value.rootfs.diff_ids
      : undefined;
  if (ids?.every(isDigest)) return ids;
  throw new AirgapError("protocol", `an image's config of ${where} lists no layers (rootfs.diff_ids)`);
}

/** The digests of a layer as it is, and unpacked, in one pass. The manifest is made here: nobody else can compare them. */
async function digestsOf(
  content: Readable,
  compression: "gzip" | "zstd",
  diffId: Digest,
  what: string,
): Promise<{ packed: Digest; unpacked: Digest }> {
  const packed = createHash("sha256");
  const unpacked = createHash(algorithmOf(diffId));
  try {
    await pipeline(
      content,
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          packed.update(chunk);
          yield chunk;
        }
      },
      compression === "gzip" ? createGunzip() : createZstdDecompress(),
      async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) unpacked.update(chunk);
      },
    );
  } catch (cause) {
    if (cause instanceof AirgapError) throw cause;
    throw new AirgapError("corrupt", `${what} cannot be unpacked: ${messageOf(cause)}`, { cause });
  }
  return { packed: finish(packed), unpacked: finish(unpacked, algorithmOf(diffId)) };
}

/**
 * An archive that `docker save` wrote in its classic form. Its layers stay uncompressed: their
 * digests are the config's diff_ids, and the manifest made from them is always the same.
 */
class DockerArchiveSource implements Source {
  readonly name: string;
  readonly #files: TarFiles;
  readonly #images: SavedImage[];
  readonly #made = new Map<SavedImage, Promise<MadeImage>>();
  readonly #places = new Map<Digest, string | Buffer>();

  constructor(name: string, files: TarFiles, images: SavedImage[]) {
    this.name = name;
    this.#files = files;
    this.#images = images;
  }

  /** @param reference a name of the archive, the digest of a manifest made here, or "" for the only image */
  async resolve(reference: string): Promise<Descriptor> {
    if (isDigest(reference)) {
      for (const image of this.#images) {
        const { root } = await this.#make(image);
        if (root.digest === reference) return root;
      }
      throw this.#absent(reference);
    }
    const found = reference === "" ? this.#images : this.#named(reference);
    const [image, ...more] = found;
    if (image === undefined) throw this.#absent(reference);
    if (more.some(({ config }) => config !== image.config)) throw this.#ambiguous(found);
    return (await this.#make(image)).root;
  }

  async fetch(descriptor: Descriptor, { range }: FetchOptions = {}): Promise<Readable> {
    const place = await this.#place(descriptor.digest);
    if (typeof place === "string") return streamOf(await this.#open(place), descriptor, range, this.name);
    const { offset = 0, length = place.length - offset } = range ?? {};
    return Readable.from([Buffer.from(place.subarray(offset, offset + length))]);
  }

  async writeTo(
    descriptor: Descriptor,
    range: Range,
    sink: (chunk: Uint8Array) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const place = await this.#place(descriptor.digest);
    if (typeof place === "string")
      return writeFromFile(
        await this.#open(place),
        range,
        `${descriptor.digest} of ${this.name}`,
        sink,
        signal,
      );
    sink(place.subarray(range.offset, range.length === undefined ? undefined : range.offset + range.length));
  }

  async tags(): Promise<string[]> {
    return this.#images.flatMap(({ names }) => names).sort();
  }

  async close(): Promise<void> {
    await this.#files.close();
  }

  #named(reference: string): SavedImage[] {
    const exact = this.#images.filter(({ names }) => names.includes(reference));
    return exact.length > 0
      ? exact
      : this.#images.filter(({ names }) => names.some((name) => canonical(name) === canonical(reference)));
  }

  async #open(path: string): Promise<OpenFile> {
    const file = await this.#files.open(path);
    if (file === undefined)
      throw new AirgapError("corrupt", `${this.name} names ${path}, which is not in it`);
    return file;
  }

  /** What each digest stands for is known only after every image has been read. */
  async #place(digest: Digest): Promise<string | Buffer> {
    if (!this.#places.has(digest)) for (const image of this.#images) await this.#make(image);
    const place = this.#places.get(digest);
    if (place === undefined) throw this.#absent(digest);
    return place;
  }

  #make(image: SavedImage): Promise<MadeImage> {
    const made = this.#made.get(image) ?? this.#makeNow(image);
    this.#made.set(image, made);
    return made;
  }

  async #makeNow(image: SavedImage): Promise<MadeImage> {
    const bytes = await readFileOf(this.#files, image.config, MAX_CONFIG, this.name);
    if (bytes === undefined)
      throw new AirgapError("corrupt", `${this.name} names ${image.config}, which is not in it`);
    const config: Descriptor = {
      mediaType: MediaType.ociConfig,
      digest: digestOf(bytes),
      size: bytes.length,
    };
    const claimed = /([0-9a-f]{64})(?:\.json)?$/.exec(image.config)?.[1];
    if (claimed !== undefined && config.digest !== `sha256:${claimed}`) {
      throw new AirgapError(
        "corrupt",
        `${image.config} of ${this.name} has the wrong content for its name: its digest is ${config.digest}`,
      );
    }
    const diffIds = diffIdsOf(bytes, this.name);
    if (diffIds.length !== image.layers.length) {
      throw new AirgapError(
        "protocol",
        `${this.name}: an image of ${diffIds.length} layers names ${image.layers.length} layer files`,
      );
    }
    const files = new Map<Digest, string>([[config.digest, image.config]]);
    const layers: Descriptor[] = [];
    for (const [i, path] of image.layers.entries()) {
      const layer = await this.#layer(path, diffIds[i] as Digest);
      layers.push(layer);
      files.set(layer.digest, path);
    }
    const manifest = Buffer.from(
      canonicalJson({ schemaVersion: 2, mediaType: MediaType.ociManifest, config, layers }),
    );
    const root: Descriptor = {
      mediaType: MediaType.ociManifest,
      digest: digestOf(manifest),
      size: manifest.length,
    };
    for (const [digest, path] of files) this.#places.set(digest, path);
    this.#places.set(root.digest, manifest);
    return { root, manifest, files };
  }

  /** docker's own layers match their diffID. Other tools compress layers, and then the file's bytes decide. */
  async #layer(path: string, diffId: Digest): Promise<Descriptor> {
    const file = await this.#open(path);
    try {
      const what = `${path} of ${this.name}`;
      const [start = Buffer.alloc(0)] = (await regionStream(
        { ...file, size: Math.min(file.size, 8) },
        what,
      ).toArray()) as Buffer[];
      const compression = compressionOf(start);
      if (compression === undefined)
        return { mediaType: MediaType.ociLayer, digest: diffId, size: file.size };
      if (compression !== "gzip" && compression !== "zstd")
        throw new AirgapError(
          "unsupported",
          `${what} is compressed with ${compression}, which OCI images do not use`,
        );
      const { packed, unpacked } = await digestsOf(regionStream(file, what), compression, diffId, what);
      if (unpacked !== diffId)
        throw new AirgapError(
          "corrupt",
          `${what} does not unpack to the layer of its image: expected ${diffId}, found ${unpacked}`,
        );
      return { mediaType: `${MediaType.ociLayer}+${compression}`, digest: packed, size: file.size };
    } finally {
      await file.close();
    }
  }

  #absent(reference: string): AirgapError {
    const names = this.#images.flatMap(({ names }) => names);
    return new AirgapError(
      "not-found",
      `${this.name} does not hold ${reference || "any image"}${names.length > 0 ? `; it holds ${names.slice(0, 10).join(", ")}` : ""}`,
    );
  }

  #ambiguous(found: SavedImage[]): AirgapError {
    const names = found.map((image) => image.names[0] ?? posix.basename(image.config));
    return new AirgapError(
      "usage",
      `${this.name} holds ${found.length} images: ${names.slice(0, 10).join(", ")}`,
      {
        suggestions: names.slice(0, 3).map((name) => `${this.name}:${name}`),
      },
    );
  }
}

/**
 * `docker-archive:FILE`: an archive from `docker save`. Newer engines write an OCI layout with a
 * manifest.json beside it, which is read as a layout, so that digests stay the same.
 * @throws AirgapError `not-found` when it is not such an archive, `corrupt` when it is not a tar
 */
export async function openDockerArchive(
  file: string,
  options: TarOptions,
  name = `docker-archive:${file}`,
): Promise<Source> {
  const files = new TarFiles(await openTar(file, options));
  try {
    const layout = await files.open("index.json");
    if (layout) return await LayoutSource.open(name, files);
    const list = await readFileOf(files, "manifest.json", MAX_LIST, name);
    if (list) return new DockerArchiveSource(name, files, readList(list, name));
    const old = (await files.open("repositories")) !== undefined;
    throw new AirgapError(
      old ? "unsupported" : "not-found",
      `${name} ${old ? "was saved by a Docker older than 1.10" : "is not from docker save: it has no manifest.json"}`,
      {
        suggestions: old ? ["load it into a newer Docker and save it again"] : [`tar tf ${file}`],
      },
    );
  } catch (error) {
    await files.close().catch(() => {});
    throw error;
  }
}
