import { Readable } from "node:stream";
import { AirgapError, messageOf } from "../../errors.ts";
import type { Trust } from "../../http.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { isDigest } from "../../oci/digest.ts";
import { isForeignLayer, isManifestLike } from "../../oci/media-types.ts";
import { isTag } from "../../oci/reference.ts";
import { isRetryable, type Setback, type Tries } from "../../retry.ts";
import type { TlsTrust } from "../../tls.ts";
import type { FetchOptions, Range, Source } from "../types.ts";
import { verifiedStream } from "../verify.ts";
import { blobBytes, contentPath } from "./blobs.ts";
import type { RegistryClient } from "./client.ts";
import { type BlobRequest, NotPlain } from "./lane.ts";
import { type FetchedManifest, getManifest, headManifest, type Repository } from "./manifests.ts";
import { listReferrers } from "./referrers.ts";
import { listTags } from "./tags.ts";

/** Manifests kept after they were resolved, since their content is read next. */
const KEPT = 256;

export interface RegistrySourceOptions {
  /** Read layers that their publisher hosts from the publisher's URLs. */
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

  /** How this host is trusted; for callers that open their own connections. */
  get trust(): Trust {
    return this.client.trust;
  }

  get tls(): TlsTrust {
    return this.client.http.tls;
  }

  async resolve(reference: string, signal?: AbortSignal): Promise<Descriptor> {
    if (!isDigest(reference) && !isTag(reference))
      throw new AirgapError("usage", `'${reference}' is not a tag or a digest`);
    return (await this.#manifest(reference, signal)).descriptor;
  }

  /** Whether a tag or digest exists, and its digest; without reading it. */
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
  async writeTo(
    descriptor: Descriptor,
    range: Range,
    sink: (chunk: Uint8Array) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const rest = { offset: range.offset, length: range.length ?? descriptor.size - range.offset };
    const asked = { descriptor, rest, sink, ...(signal ? { signal } : {}) };
    const tries = this.#fitsLane(descriptor) ? await this.#byLane(asked) : undefined;
    if (tries === "done") return;
    const options = { range: rest, ...(signal ? { signal } : {}), ...(tries ? { tries } : {}) };
    const bytes = isManifestLike(descriptor.mediaType)
      ? await this.#fetchManifest(descriptor, options)
      : this.#blob(descriptor, options);
    for await (const chunk of bytes as AsyncIterable<Uint8Array>) sink(chunk);
  }

  #fitsLane({ mediaType }: Descriptor): boolean {
    return this.client.lane !== undefined && !isManifestLike(mediaType) && !isForeignLayer(mediaType);
  }

  /**
   * The rest of a blob by the fast lane; bytes that came are taken off the rest.
   * @returns the count of tries for the client that continues, when the lane did not finish
   */
  async #byLane({ descriptor, rest, sink, signal }: Transfer): Promise<"done" | Tries> {
    const tries = this.client.tries(contentPath(this.#repository, descriptor), signal);
    const { offset } = rest;
    const take = (chunk: Uint8Array): void => {
      sink(chunk);
      rest.offset += chunk.length;
      rest.length -= chunk.length;
    };
    try {
      await this.client.lane?.writeTo(this, descriptor, { ...rest }, take, signal);
      return "done";
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof AirgapError) throw error;
      const setback = laneSetback(error);
      const mayGoOn = setback === undefined || (await tries.resume(rest.offset - offset, setback));
      if (mayGoOn || error instanceof NotPlain) return tries;
      const why = `${descriptor.digest} from ${this.name} broke off: ${messageOf(error)}`;
      throw new AirgapError("network", why, { cause: error });
    }
  }

  async referrers(digest: Digest, signal?: AbortSignal): Promise<Descriptor[]> {
    return await listReferrers(this.#repository, digest, signal);
  }

  /** All tags, as they were when this run first asked. */
  async tags(signal?: AbortSignal): Promise<string[]> {
    const { tags } = this.client.traits;
    const { name } = this.#repository;
    const asked = tags.get(name) ?? listTags(this.#repository, signal);
    tags.set(name, asked);
    asked.catch(() => tags.delete(name));
    return await asked;
  }

  /** URL and authorisation for a GET of a descriptor's content that another client sends. */
  async blobRequest(descriptor: Descriptor, signal?: AbortSignal): Promise<BlobRequest> {
    return await this.client.prepare(
      contentPath(this.#repository, descriptor),
      this.#repository.scopes,
      signal,
    );
  }

  /** After such a request got a 401 with this `WWW-Authenticate`: true when `blobRequest` now gives a better one. */
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

  #blob(
    descriptor: Descriptor,
    { range, signal, tries }: FetchOptions & { tries?: Tries },
  ): AsyncGenerator<Uint8Array> {
    const request = {
      repository: this.#repository,
      descriptor,
      ...(range ? { range } : {}),
      ...(tries ? { tries } : {}),
      ...(signal ? { signal } : {}),
    };
    const path = contentPath(this.#repository, descriptor);
    if (!isForeignLayer(descriptor.mediaType)) return blobBytes(path, request);
    if (!this.#foreignLayers) {
      throw new AirgapError(
        "unsupported",
        `${descriptor.digest} of ${this.name} is a foreign layer: its publisher does not allow registries to distribute it`,
        {
          suggestions: ["allow it for this image with `foreignLayers: true` in the spec"],
        },
      );
    }
    return foreignBytes(path, request, descriptor.urls ?? []);
  }
}

/** Bytes on their way by the fast lane. */
interface Transfer {
  descriptor: Descriptor;
  rest: Required<Range>;
  sink(chunk: Uint8Array): void;
  signal?: AbortSignal;
}

/** What to count for the lane's failure; undefined when only the lane cannot handle the answer. */
function laneSetback(error: unknown): Setback | undefined {
  if (!(error instanceof NotPlain))
    return { reason: messageOf(error), ...(error instanceof Error ? { error } : {}) };
  const { head } = error;
  return head && isRetryable(head.status)
    ? { reason: `HTTP ${head.status}`, retryAfter: head.headers["retry-after"] }
    : undefined;
}

/** Each address in order, then the registry itself; the first that has the content wins. */
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
      // Bytes that were passed on cannot be taken back.
      if (begun) throw error;
      errors.push(error);
    }
  }
  throw errors[0];
}
