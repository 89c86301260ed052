import { Readable } from "node:stream";
import { AirgapError, messageOf } from "../../errors.ts";
import type { Trust } from "../../http.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { isDigest } from "../../oci/digest.ts";
import { isForeignLayer, isManifestLike } from "../../oci/media-types.ts";
import { isTag } from "../../oci/reference.ts";
import type { FetchOptions, Range, Source } from "../types.ts";
import { verifiedStream } from "../verify.ts";
import { blobBytes, contentPath } from "./blobs.ts";
import type { RegistryClient } from "./client.ts";
import { type BlobRequest, NotPlain } from "./lane.ts";
import { type FetchedManifest, getManifest, headManifest, type Repository } from "./manifests.ts";
import { listReferrers } from "./referrers.ts";
import { listTags } from "./tags.ts";

/** Manifests kept after they were resolved: their content is asked for next. */
const KEPT = 256;

export interface RegistrySourceOptions {
  /** Layers whose publisher hosts them are read from where he says. */
  foreignLayers?: boolean;
}

/** One repository of a registry, read. */
export class RegistrySource implements Source {
  readonly name: string;
  readonly client: RegistryClient;
  readonly #repository: Repository;
  readonly #foreignLayers: boolean;
  readonly #kept = new Map<Digest, FetchedManifest>();

  constructor(client: RegistryClient, repository: string, options: RegistrySourceOptions = {}) {
    this.client = client;
    this.name = `docker://${client.host}/${repository}`;
    this.#repository = { client, name: repository, scopes: [{ repository, actions: "pull" }] };
    this.#foreignLayers = options.foreignLayers === true;
  }

  /** How this host is believed; for who opens connections himself. */
  get trust(): Trust {
    return this.client.trust;
  }

  async resolve(reference: string, signal?: AbortSignal): Promise<Descriptor> {
    if (!isDigest(reference) && !isTag(reference))
      throw new AirgapError("usage", `'${reference}' is neither a tag nor a digest`);
    return (await this.#manifest(reference, signal)).descriptor;
  }

  /** Whether a tag or digest is there, and which digest it is; without reading it. */
  async head(reference: string, signal?: AbortSignal): Promise<Digest | undefined> {
    return (await headManifest(this.#repository, reference, signal))?.digest;
  }

  async fetch(descriptor: Descriptor, options: FetchOptions = {}): Promise<Readable> {
    if (isManifestLike(descriptor.mediaType)) return await this.#fetchManifest(descriptor, options);
    const bytes = this.#blob(descriptor, options);
    return options.range === undefined
      ? verifiedStream(bytes, descriptor, this.name)
      : Readable.from(bytes, { objectMode: false });
  }

  /** A blob's bytes by the fast lane; by the ordinary client where the lane does not know the answer. */
  async pour(
    descriptor: Descriptor,
    range: Range,
    sink: (chunk: Uint8Array) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const plain = !isManifestLike(descriptor.mediaType) && !isForeignLayer(descriptor.mediaType);
    try {
      if (plain && this.client.lane)
        return await this.client.lane.pour(this, descriptor, range, sink, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof AirgapError) throw error;
      if (!(error instanceof NotPlain))
        throw new AirgapError(
          "network",
          `${descriptor.digest} from ${this.name} broke off: ${messageOf(error)}`,
          { cause: error },
        );
    }
    for await (const chunk of (await this.fetch(descriptor, {
      range,
      ...(signal ? { signal } : {}),
    })) as AsyncIterable<Buffer>)
      sink(chunk);
  }

  async referrers(digest: Digest, signal?: AbortSignal): Promise<Descriptor[]> {
    return await listReferrers(this.#repository, digest, signal);
  }

  /** All tags, as they were when somebody of this run first asked. */
  async tags(signal?: AbortSignal): Promise<string[]> {
    const { tags } = this.client.learned;
    const { name } = this.#repository;
    const asked = tags.get(name) ?? listTags(this.#repository, signal);
    tags.set(name, asked);
    asked.catch(() => tags.delete(name));
    return await asked;
  }

  /** URL and authorisation for a GET of a descriptor's content that somebody else sends. */
  async blobRequest(descriptor: Descriptor, signal?: AbortSignal): Promise<BlobRequest> {
    return await this.client.prepare(
      contentPath(this.#repository, descriptor),
      this.#repository.scopes,
      signal,
    );
  }

  /** After such a request got a 401 with this `WWW-Authenticate`: true when `blobRequest` gives a better one now. */
  async refresh(used: BlobRequest, challenge: string | undefined, signal?: AbortSignal): Promise<boolean> {
    return await this.client.refresh(this.#repository.scopes, used, challenge, signal);
  }

  async #manifest(reference: string, signal?: AbortSignal): Promise<FetchedManifest> {
    const kept = isDigest(reference) ? this.#kept.get(reference) : undefined;
    if (kept) return kept;
    const fetched = await getManifest(this.#repository, reference, signal);
    this.#kept.set(fetched.descriptor.digest, fetched);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > KEPT && oldest !== undefined) this.#kept.delete(oldest);
    return fetched;
  }

  async #fetchManifest(descriptor: Descriptor, { range, signal }: FetchOptions): Promise<Readable> {
    const { bytes } = await this.#manifest(descriptor.digest, signal);
    if (bytes.length !== descriptor.size) {
      throw new AirgapError(
        "corrupt",
        `${descriptor.digest} from ${this.name}: ${bytes.length} bytes came instead of ${descriptor.size}`,
      );
    }
    const { offset = 0, length = bytes.length - offset } = range ?? {};
    return Readable.from([bytes.subarray(offset, offset + length)], { objectMode: false });
  }

  #blob(descriptor: Descriptor, { range, signal }: FetchOptions): AsyncGenerator<Uint8Array> {
    const request = {
      repository: this.#repository,
      descriptor,
      ...(range ? { range } : {}),
      ...(signal ? { signal } : {}),
    };
    const path = contentPath(this.#repository, descriptor);
    if (!isForeignLayer(descriptor.mediaType)) return blobBytes(path, request);
    if (!this.#foreignLayers) {
      throw new AirgapError(
        "unsupported",
        `${descriptor.digest} of ${this.name} is a foreign layer: its publisher wants it to be fetched from him alone`,
        {
          suggestions: ["allow it for this image with `foreignLayers: true` in the spec"],
        },
      );
    }
    return foreignBytes(path, request, descriptor.urls ?? []);
  }
}

/** Each address in its order, then the registry itself; the first that has it wins. */
async function* foreignBytes(
  path: string,
  request: Parameters<typeof blobBytes>[1],
  urls: string[],
): AsyncGenerator<Uint8Array> {
  const targets = urls
    .map((text) => URL.parse(text))
    .filter((url) => url !== null && /^https?:$/.test(url.protocol)) as URL[];
  const errors: unknown[] = [];
  for (const target of [...targets, path]) {
    let begun = false;
    try {
      for await (const chunk of blobBytes(target, request, target instanceof URL)) {
        begun = true;
        yield chunk;
      }
      return;
    } catch (error) {
      // What was handed over can't be taken back.
      if (begun) throw error;
      errors.push(error);
    }
  }
  throw errors[0];
}
