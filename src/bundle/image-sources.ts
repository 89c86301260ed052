import type { OpenedImage } from "../resolve/images/image.ts";
import type { OpenRequest } from "../resolve/images/resolve.ts";
import { withAtHand } from "../transport/at-hand.ts";
import { openLocal } from "../transport/local.ts";
import type { Mirrors } from "../transport/mirrors.ts";
import { parsePlace } from "../transport/open.ts";
import type { Source } from "../transport/types.ts";

export interface ImageSourcesOptions {
  mirrors: Mirrors;
  /** The folder that relative paths of `from:` start at. */
  baseDir: string;
  cacheDir: string;
  /** Asked for content before the source itself is. */
  atHand: Source[];
  signal?: AbortSignal | undefined;
}

/** Opens images at the source that the spec names: mirrors of their registry, or a `from:`. */
export class ImageSources {
  readonly #options: ImageSourcesOptions;
  /** Each archive or engine is opened once, however many images come from it. */
  readonly #local = new Map<string, Promise<Source>>();

  constructor(options: ImageSourcesOptions) {
    this.#options = options;
  }

  async open(request: OpenRequest): Promise<OpenedImage> {
    const opened = await this.#open(request);
    return { ...opened, source: withAtHand(opened.source, this.#options.atHand) };
  }

  async close(): Promise<void> {
    for (const opening of this.#local.values()) await (await opening.catch(() => undefined))?.close?.();
    this.#local.clear();
  }

  async #open({ from, reference, ...request }: OpenRequest): Promise<OpenedImage> {
    const { mirrors, baseDir, cacheDir, signal } = this.#options;
    if (from === undefined) return mirrors.open({ reference, ...request }, signal);
    const place = parsePlace(from, baseDir);
    if (place.kind === "docker") return mirrors.open({ ...request, reference: place.reference }, signal);
    const key = `${place.kind}:${place.path}`;
    const opening = this.#local.get(key) ?? openLocal(place, { cacheDir, signal });
    this.#local.set(key, opening);
    return { source: await opening, reference: place.name, origin: from };
  }
}
