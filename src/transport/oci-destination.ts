import { createWriteStream } from "node:fs";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { replaceFile } from "../atomic.ts";
import { AirgapError, messageOf } from "../errors.ts";
import { type Descriptor, isRecord, parseDescriptor } from "../oci/descriptor.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../oci/manifest.ts";
import { isManifestLike } from "../oci/media-types.ts";
import { encodeIndex, namedEntry, OCI_LAYOUT, withEntry } from "./layout-index.ts";
import { blobPath, parseJsonFile } from "./layout-source.ts";
import { readBlob } from "./read.ts";
import type { Destination, Pushed, Source } from "./types.ts";

/** `oci:DIR`, written: blobs first, then the name that makes them visible. */
export class OciDestination implements Destination {
  readonly name: string;
  readonly store: string;
  readonly #directory: string;
  /** One change of index.json at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(directory: string) {
    this.#directory = directory;
    this.name = `oci:${directory}`;
    this.store = this.name;
  }

  async exists(descriptor: Descriptor): Promise<boolean> {
    const found = await stat(this.#path(descriptor)).catch(() => undefined);
    return found?.isFile() === true && found.size === descriptor.size;
  }

  async push(descriptor: Descriptor, source: Source, signal?: AbortSignal): Promise<Pushed> {
    const present = await this.exists(descriptor);
    if (!present) await this.repush(descriptor, source, signal);
    if (isManifestLike(descriptor.mediaType)) await this.#listReferrer(descriptor, source, signal);
    return present ? "present" : "done";
  }

  async repush(descriptor: Descriptor, source: Source, signal?: AbortSignal): Promise<Pushed> {
    const path = this.#path(descriptor);
    await this.#writing(async () => {
      await mkdir(dirname(path), { recursive: true });
      const stream = await source.fetch(descriptor, signal ? { signal } : {});
      const write = (draft: string) => pipeline(stream, createWriteStream(draft), signal ? { signal } : {});
      await replaceFile(path, write, { durable: false });
    });
    return "done";
  }

  /** @param tag the name in index.json; "" lists the image without one */
  async tag(descriptor: Descriptor, tag: string, source: Source, signal?: AbortSignal): Promise<void> {
    await this.push(descriptor, source, signal);
    await this.#list(namedEntry(descriptor, tag));
  }

  /** Readers find referrers only through index.json. */
  async #listReferrer(
    descriptor: Descriptor,
    source: Source,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const bytes = await readBlob(source, descriptor, MAX_MANIFEST_SIZE, signal);
    if (parseManifest(bytes, descriptor.mediaType, descriptor.digest).subject)
      await this.#list(namedEntry(descriptor, ""));
  }

  async #list(entry: Descriptor): Promise<void> {
    const change = this.#turn.then(() => this.#writing(() => this.#rewrite(entry)));
    this.#turn = change.catch(() => {});
    await change;
  }

  async #rewrite(entry: Descriptor): Promise<void> {
    const path = join(this.#directory, "index.json");
    await writeFile(join(this.#directory, "oci-layout"), OCI_LAYOUT);
    const index = encodeIndex(withEntry(await this.#entries(path), entry));
    await replaceFile(path, (draft) => writeFile(draft, index));
  }

  async #entries(path: string): Promise<Descriptor[]> {
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    const index = bytes === undefined ? { manifests: [] } : parseJsonFile(bytes, "index.json", this.name);
    if (!isRecord(index) || !Array.isArray(index.manifests))
      throw new AirgapError("protocol", `index.json of ${this.name} lists no manifests`);
    return index.manifests.map((value, i) =>
      parseDescriptor(value, `manifests[${i}] of index.json of ${this.name}`),
    );
  }

  async #writing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (cause instanceof AirgapError || !(cause as NodeJS.ErrnoException).syscall) throw cause;
      throw new AirgapError("disk", `Cannot write ${this.name}: ${messageOf(cause)}`, { cause });
    }
  }

  #path({ digest }: Descriptor): string {
    return join(this.#directory, blobPath(digest));
  }
}
