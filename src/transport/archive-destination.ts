import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { type Pack, pack } from "tar-stream";
import { publish } from "../atomic.ts";
import { AirgapError, messageOf } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../oci/manifest.ts";
import { isManifestLike } from "../oci/media-types.ts";
import { encodeIndex, namedEntry, OCI_LAYOUT, withEntry } from "./layout-index.ts";
import { blobPath } from "./layout-source.ts";
import { readBlob } from "./read.ts";
import type { Destination, Pushed, Source } from "./types.ts";

/** The file that `docker load` reads besides the layout. */
interface LoadEntry {
  Config: string;
  RepoTags: string[] | null;
  Layers: string[];
}

const EPOCH = new Date(0);

/**
 * `oci-archive:FILE` and `docker-archive:FILE`, written as one tar that grows with each blob.
 * The file gets its name when it is closed with an image in it; otherwise it is removed.
 */
export class ArchiveDestination implements Destination {
  readonly name: string;
  readonly store: string;
  readonly #file: string;
  readonly #docker: boolean;
  readonly #tar: Pack = pack();
  readonly #written: Promise<void>;
  readonly #held = new Map<Digest, Promise<Pushed>>();
  #listed: Descriptor[] = [];
  #loads: LoadEntry[] = [];
  #failure: unknown;
  /** One entry of the tar at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param kind `docker-archive` is the same layout plus the file that `docker load` needs: one image, one platform */
  constructor(file: string, kind: "oci-archive" | "docker-archive") {
    this.#file = file;
    this.#docker = kind === "docker-archive";
    this.name = `${kind}:${file}`;
    this.store = this.name;
    this.#written = pipeline(this.#tar, createWriteStream(this.#draft)).catch((cause: unknown) => {
      this.#failure ??= new AirgapError("disk", `Cannot write ${this.name}: ${messageOf(cause)}`, {
        cause,
      });
      throw this.#failure;
    });
    this.#written.catch(() => {});
  }

  get #draft(): string {
    return `${this.#file}.part`;
  }

  async exists({ digest }: Descriptor): Promise<boolean> {
    return this.#held.has(digest);
  }

  push(descriptor: Descriptor, source: Source, signal?: AbortSignal): Promise<Pushed> {
    const known = this.#held.get(descriptor.digest);
    if (known) return known.then(() => "present");
    const pushed = this.#inTurn(async (): Promise<Pushed> => {
      await this.#append(descriptor, source, signal);
      return "done";
    });
    this.#held.set(descriptor.digest, pushed);
    return pushed;
  }

  /** @param tag the name in index.json; "" lists the image without one */
  async tag(descriptor: Descriptor, tag: string, source: Source, signal?: AbortSignal): Promise<void> {
    await this.push(descriptor, source, signal);
    if (this.#docker) this.#loads.push(await loadEntry(descriptor, tag, source, signal));
    this.#listed = withEntry(this.#listed, namedEntry(descriptor, tag));
  }

  /** Completes the archive. Without a name, or after a failure, it is removed. */
  async close(): Promise<void> {
    await this.#turn;
    if (this.#failure !== undefined || this.#listed.length === 0) {
      this.#tar.destroy(new Error("given up"));
      await this.#written.catch(() => {});
      await rm(this.#draft, { force: true });
      return;
    }
    this.#tar.entry({ name: "oci-layout", mtime: EPOCH }, OCI_LAYOUT);
    this.#tar.entry({ name: "index.json", mtime: EPOCH }, encodeIndex(this.#listed));
    if (this.#docker) this.#tar.entry({ name: "manifest.json", mtime: EPOCH }, JSON.stringify(this.#loads));
    this.#tar.finalize();
    await this.#written;
    await publish(this.#draft, this.#file);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch((error: unknown) => {
      this.#failure ??= error;
    });
    return mine;
  }

  async #append(descriptor: Descriptor, source: Source, signal: AbortSignal | undefined): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (isManifestLike(descriptor.mediaType)) {
      const bytes = await readBlob(source, descriptor, MAX_MANIFEST_SIZE, signal);
      if (parseManifest(bytes, descriptor.mediaType, descriptor.digest).subject)
        this.#listed = withEntry(this.#listed, namedEntry(descriptor, ""));
    }
    const stream = await source.fetch(descriptor, signal ? { signal } : {});
    const entry = this.#tar.entry({ name: blobPath(descriptor.digest), size: descriptor.size, mtime: EPOCH });
    await Promise.race([pipeline(stream, entry, signal ? { signal } : {}), this.#written]);
  }
}

async function loadEntry(
  descriptor: Descriptor,
  tag: string,
  source: Source,
  signal: AbortSignal | undefined,
): Promise<LoadEntry> {
  const content = parseManifest(
    await readBlob(source, descriptor, MAX_MANIFEST_SIZE, signal),
    descriptor.mediaType,
    descriptor.digest,
  );
  if (content.kind === "index") {
    const choices = content.manifests
      .flatMap(({ digest, platform }) => (platform?.os === "linux" ? [`${source.name}@${digest}`] : []))
      .slice(0, 3);
    throw new AirgapError(
      "usage",
      `${descriptor.digest} is for several platforms, but docker load accepts only one`,
      { suggestions: choices },
    );
  }
  return {
    Config: blobPath(content.config.digest),
    RepoTags: tag === "" ? null : [tag],
    Layers: content.layers.map(({ digest }) => blobPath(digest)),
  };
}
