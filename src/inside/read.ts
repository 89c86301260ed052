import type { ImageItem } from "../lock/lock.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import {
  childrenOf,
  MAX_INDEX_DEPTH,
  MAX_MANIFEST_SIZE,
  type Manifest,
  parseManifest,
} from "../oci/manifest.ts";
import { isForeignLayer, isManifestLike, MediaType } from "../oci/media-types.ts";
import { formatPlatform } from "../oci/platform.ts";
import { readBlob } from "../transport/read.ts";
import type { Source } from "../transport/types.ts";
import { stack } from "./image.ts";
import { type LayerFacts, readLayer } from "./layer.ts";
import type { Inside } from "./package.ts";

const MAX_CONFIG = 4 << 20;
/** Layers whose packages are remembered, since images share them. */
const KEPT = 64;

/** Reads what is installed in the images of one bundle. */
export class InsideReader {
  readonly #source: Source;
  readonly #has: (digest: Digest) => boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #layers = new Map<Digest, LayerFacts>();

  /** @param has whether the source has a blob: children of an index and foreign layers may be left out */
  constructor(source: Source, has: (digest: Digest) => boolean, signal?: AbortSignal) {
    this.#source = source;
    this.#has = has;
    this.#signal = signal;
  }

  /**
   * What is installed in each platform of an image that is carried; nothing for artifacts that are not images.
   * @throws AirgapError `corrupt`, `not-found`
   */
  async read({ root }: Pick<ImageItem, "root">): Promise<Inside[]> {
    const found: Inside[] = [];
    for await (const { digest, manifest } of this.#manifests(root, 0)) {
      const platform = await this.#platform(manifest);
      if (platform === undefined) continue;
      const layers: LayerFacts[] = [];
      for (const layer of manifest.layers) layers.push(await this.#layer(layer));
      found.push({ platform, manifest: digest, ...stack(layers) });
    }
    return found;
  }

  async *#manifests(
    descriptor: Descriptor,
    depth: number,
  ): AsyncGenerator<{ digest: Digest; manifest: Manifest }> {
    if (depth > MAX_INDEX_DEPTH || !this.#has(descriptor.digest)) return;
    const what = `${descriptor.digest} of ${this.#source.name}`;
    const bytes = await readBlob(this.#source, descriptor, MAX_MANIFEST_SIZE, this.#signal);
    const content = parseManifest(bytes, descriptor.mediaType, what);
    if (content.kind === "manifest") yield { digest: descriptor.digest, manifest: content };
    else
      for (const child of childrenOf(content))
        if (isManifestLike(child.mediaType)) yield* this.#manifests(child, depth + 1);
  }

  /** The platform of an image's config; undefined for what is not an image: an artifact, BuildKit's attestations. */
  async #platform({ config, layers }: Manifest): Promise<string | undefined> {
    if (config.mediaType !== MediaType.ociConfig && config.mediaType !== MediaType.dockerConfig)
      return undefined;
    if (!layers.some(({ mediaType }) => isLayer(mediaType))) return undefined;
    const bytes = await readBlob(this.#source, config, MAX_CONFIG, this.#signal);
    const { os, architecture, variant } = textsOf(bytes);
    if (os === undefined || architecture === undefined || os === "unknown") return undefined;
    return formatPlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
  }

  async #layer(layer: Descriptor): Promise<LayerFacts> {
    const known = this.#layers.get(layer.digest);
    if (known) return known;
    const facts = await this.#fresh(layer);
    this.#layers.set(layer.digest, facts);
    const [oldest] = this.#layers.keys();
    if (this.#layers.size > KEPT && oldest !== undefined) this.#layers.delete(oldest);
    return facts;
  }

  async #fresh(layer: Descriptor): Promise<LayerFacts> {
    const left = (why: string): LayerFacts => ({
      hidden: [],
      files: new Map(),
      unread: `layer ${layer.digest} ${why}`,
    });
    if (!isLayer(layer.mediaType))
      return left(`is of the type ${layer.mediaType}, which airgap does not read`);
    if (!this.#has(layer.digest)) return left("is not carried");
    return readLayer(this.#source, layer, this.#signal);
  }
}

/** A layer that is a tar, whoever may distribute it; encrypted ones are not. */
const isLayer = (type: string): boolean =>
  isForeignLayer(type) ||
  type.startsWith(MediaType.dockerLayer) ||
  (type.startsWith(MediaType.ociLayer) && !type.endsWith("+encrypted"));

function textsOf(config: Buffer): Partial<Record<"os" | "architecture" | "variant", string>> {
  try {
    const value = JSON.parse(config.toString("utf8")) as unknown;
    return Object.fromEntries(
      (["os", "architecture", "variant"] as const).flatMap((key) => {
        const text = (value as Record<string, unknown> | null)?.[key];
        return typeof text === "string" && /^[a-z0-9]{1,32}$/i.test(text) ? [[key, text]] : [];
      }),
    );
  } catch {
    return {};
  }
}
