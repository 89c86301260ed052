import { createReadStream } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { AirgapError } from "../errors.ts";
import { type Descriptor, isRecord } from "../oci/descriptor.ts";
import { ArchiveDestination } from "./archive-destination.ts";
import { connect, type DaemonOptions, explained } from "./docker-daemon.ts";
import type { Destination, Pushed, Source } from "./types.ts";

/** `docker-daemon:NAME`, written: an archive in the cache, which the engine loads when this is closed. */
export class DaemonDestination implements Destination {
  readonly name: string;
  readonly store: string;
  readonly #image: string;
  readonly #file: string;
  readonly #options: DaemonOptions;
  #archive: ArchiveDestination | undefined;

  constructor(image: string, options: DaemonOptions) {
    this.name = `docker-daemon:${image}`;
    this.store = this.name;
    this.#image = image;
    this.#options = options;
    this.#file = join(options.cacheDir, `load-${process.pid}-${Math.random().toString(36).slice(2)}.tar`);
  }

  async exists(descriptor: Descriptor): Promise<boolean> {
    return (await this.#archive?.exists(descriptor)) ?? false;
  }

  async push(descriptor: Descriptor, source: Source, signal?: AbortSignal): Promise<Pushed> {
    return (await this.#open()).push(descriptor, source, signal);
  }

  /** The engine gives the image the name that this was opened with. */
  async tag(descriptor: Descriptor, _tag: string, source: Source, signal?: AbortSignal): Promise<void> {
    await (await this.#open()).tag(descriptor, this.#image, source, signal);
  }

  async close(): Promise<void> {
    if (this.#archive === undefined) return;
    try {
      await this.#archive.close();
      if (await stat(this.#file).catch(() => undefined)) await this.#load();
    } finally {
      await rm(this.#file, { force: true });
    }
  }

  async #open(): Promise<ArchiveDestination> {
    if (this.#archive === undefined) {
      await mkdir(this.#options.cacheDir, { recursive: true });
      this.#archive ??= new ArchiveDestination(this.#file, "docker-archive");
    }
    return this.#archive;
  }

  /** The engine answers with JSON lines, and with 200 even if it fails later. */
  async #load(): Promise<void> {
    const docker = await connect();
    const answer = await docker
      .loadImage(createReadStream(this.#file), { quiet: true })
      .catch((error: unknown) => {
        throw explained(error, this.#image);
      });
    let text = "";
    for await (const chunk of answer) text = (text + String(chunk)).slice(-65_536);
    for (const line of text.split("\n")) {
      const value: unknown = line.startsWith("{") ? JSON.parse(line) : undefined;
      if (isRecord(value) && typeof value.error === "string")
        throw new AirgapError("refused", `The Docker engine cannot load ${this.#image}: ${value.error}`);
    }
  }
}
