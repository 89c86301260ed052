import { isAirgapError } from "../../errors.ts";
import { type Emit, silent } from "../../events.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../../oci/manifest.ts";
import { isManifestLike } from "../../oci/media-types.ts";
import { readBlob } from "../read.ts";
import type { Destination, Pushed, Source } from "../types.ts";
import { failure, RegistryError } from "./answer.ts";
import type { RegistryClient } from "./client.ts";
import { Content } from "./content.ts";
import { getManifest, headManifest, nameFor, pathOf, type Repository } from "./manifests.ts";
import { addToReferrersTag, putManifest } from "./push-manifest.ts";
import { hasReferrersApi } from "./referrers.ts";
import { askMount, startUpload, type UploadSession } from "./upload-session.ts";
import { Uploader } from "./uploader.ts";

export interface RegistryDestinationOptions {
  emit?: Emit;
  /**
   * How to find out whether a blob exists: by HEAD, or by mounting it from the same repository.
   * If it does not exist, the mount opens the upload in the same request. Default `mount`.
   */
  probe?: "head" | "mount";
}

/** Failed mounts in a row after which airgap stops asking this registry for mounts. */
const MAX_FAILED_MOUNTS = 3;

/** One repository of a registry, written. */
export class RegistryDestination implements Destination {
  readonly name: string;
  readonly store: string;
  readonly client: RegistryClient;
  readonly #repository: Repository;
  readonly #emit: Emit;
  readonly #probe: "head" | "mount";
  /** What is known of blobs before they are pushed: there already, or an upload that a mount opened. */
  readonly #known = new Map<Digest, UploadSession | "present">();
  /** One change of a list of referrers at a time. */
  #referrers: Promise<unknown> = Promise.resolve();

  constructor(client: RegistryClient, repository: string, options: RegistryDestinationOptions = {}) {
    this.client = client;
    this.name = `docker://${client.host}/${repository}`;
    this.store = `docker://${client.host}`;
    this.#repository = { client, name: repository, scopes: [{ repository, actions: "pull,push" }] };
    this.#emit = options.emit ?? silent;
    this.#probe = options.probe ?? "mount";
  }

  /** `library/nginx` */
  get repository(): string {
    return this.#repository.name;
  }

  async exists(descriptor: Descriptor, signal?: AbortSignal): Promise<boolean> {
    if (isManifestLike(descriptor.mediaType))
      return (await this.head(descriptor.digest, signal)) === descriptor.digest;
    const size = await this.#sizeOf(descriptor, signal);
    return size !== undefined && size === descriptor.size;
  }

  /** How large a blob is here, by HEAD; undefined when it is not there. Bytes. */
  async #sizeOf(descriptor: Descriptor, signal?: AbortSignal): Promise<number | undefined> {
    const response = await this.client.send(pathOf(this.#repository, "blobs", descriptor.digest), {
      method: "HEAD",
      // The redirect is proof enough: a storage may refuse a HEAD on an address that was signed for a GET.
      redirect: "manual",
      scopes: this.#repository.scopes,
      ...(signal ? { signal } : {}),
    });
    await response.discard();
    if (response.status === 404) return undefined;
    if (response.status >= 301 && response.status <= 308 && response.headers["location"] !== undefined)
      return descriptor.size;
    if (response.status !== 200)
      throw await failure(response, nameFor(this.#repository, descriptor.digest), this.client.host);
    const length = response.headers["content-length"];
    return length === undefined ? descriptor.size : Number(length);
  }

  /** The digest that a tag or digest stands for here; undefined when it does not exist. */
  async head(reference: string, signal?: AbortSignal): Promise<Digest | undefined> {
    return (await headManifest(this.#repository, reference, signal))?.digest;
  }

  /** Reads a manifest back whole and gives the digest of its bytes. */
  async readBack(reference: string, signal?: AbortSignal): Promise<Digest> {
    return (await getManifest(this.#repository, reference, signal)).descriptor.digest;
  }

  /**
   * Whether the registry really sends the bytes of a blob or manifest. A HEAD may be answered from a cache that
   * outlives the content, and so may the size of a blob whose file was cut short; this asks for the last byte.
   */
  async isReadable(descriptor: Descriptor, signal?: AbortSignal): Promise<boolean | undefined> {
    if (isManifestLike(descriptor.mediaType))
      return await this.#isManifestReadable(descriptor.digest, signal);
    if (descriptor.size === 0) return await this.exists(descriptor, signal);
    const response = await this.client.send(pathOf(this.#repository, "blobs", descriptor.digest), {
      headers: { range: `bytes=${descriptor.size - 1}-${descriptor.size - 1}` },
      scopes: this.#repository.scopes,
      ...(signal ? { signal } : {}),
    });
    const first = await response
      .chunks()
      [Symbol.asyncIterator]()
      .next()
      .catch(() => ({ done: true }));
    response.abandon();
    if (first.done === true) return false;
    const total =
      response.status === 206
        ? /\/(\d+)$/.exec(response.headers["content-range"] ?? "")?.[1]
        : response.headers["content-length"];
    return (
      (response.status === 200 || response.status === 206) &&
      (total === undefined || Number(total) === descriptor.size)
    );
  }

  async push(descriptor: Descriptor, source: Source, signal?: AbortSignal): Promise<Pushed> {
    if (isManifestLike(descriptor.mediaType))
      return await this.#pushManifest(descriptor, descriptor.digest, source, signal);
    return await this.client.uploads(async () => {
      signal?.throwIfAborted();
      const known = this.#take(descriptor.digest) ?? (await this.#ask(descriptor, signal));
      return known === "present" ? known : await this.#upload(descriptor, source, known, signal);
    });
  }

  /**
   * Opens the upload of a blob that will be pushed, so that a missing right is found before
   * anything is sent. @throws RegistryError
   */
  async prepare(descriptor: Descriptor, signal?: AbortSignal): Promise<void> {
    const known =
      (await this.#ask(descriptor, signal)) ??
      (await startUpload(this.#repository, descriptor.digest, signal));
    this.#known.set(descriptor.digest, known);
  }

  async repush(descriptor: Descriptor, source: Source, signal?: AbortSignal): Promise<Pushed> {
    if (isManifestLike(descriptor.mediaType))
      return await this.#pushManifest(descriptor, descriptor.digest, source, signal);
    return await this.#upload(descriptor, source, undefined, signal);
  }

  async tag(descriptor: Descriptor, tag: string, source: Source, signal?: AbortSignal): Promise<void> {
    await this.#pushManifest(descriptor, tag, source, signal);
  }

  async mount(descriptor: Descriptor, from: Destination, signal?: AbortSignal): Promise<boolean> {
    const { traits } = this.client;
    // Registries mount within themselves only.
    if (
      !(from instanceof RegistryDestination) ||
      from.store !== this.store ||
      traits.failedMounts >= MAX_FAILED_MOUNTS
    )
      return false;
    const answer = await askMount(this.#repository, descriptor.digest, from.repository, signal);
    if (answer.mounted) {
      traits.failedMounts = 0;
      return true;
    }
    traits.failedMounts++;
    if (answer.session) this.#known.set(descriptor.digest, answer.session);
    return false;
  }

  async #isManifestReadable(digest: Digest, signal?: AbortSignal): Promise<boolean | undefined> {
    try {
      return (await this.readBack(digest, signal)) === digest;
    } catch (error) {
      if (isAirgapError(error, "not-found", "corrupt", "network")) return false;
      // A policy of the project is before it (Harbor), also where the storage has lost it.
      if (error instanceof RegistryError && error.status === 412) return undefined;
      throw error;
    }
  }

  /** What is known of a blob, to be used once. */
  #take(digest: Digest): UploadSession | "present" | undefined {
    const known = this.#known.get(digest);
    this.#known.delete(digest);
    return known;
  }

  /** Whether a blob is there; where asking for it opened its upload, that. */
  async #ask(descriptor: Descriptor, signal?: AbortSignal): Promise<UploadSession | "present" | undefined> {
    const { traits } = this.client;
    if (this.#probe === "mount" && traits.probesByMount) {
      const answer = await askMount(this.#repository, descriptor.digest, this.#repository.name, signal);
      if (answer.mounted) return "present";
      if (answer.session) return answer.session;
      traits.probesByMount = false;
    }
    // A blob of another size is damaged: whoever pushes asks for its bytes, and sees that.
    return (await this.#sizeOf(descriptor, signal)) === undefined ? undefined : "present";
  }

  async #upload(
    descriptor: Descriptor,
    source: Source,
    session: UploadSession | undefined,
    signal?: AbortSignal,
  ): Promise<Pushed> {
    const content = new Content(
      descriptor,
      source,
      (bytes) => this.#emit({ type: "progress", item: descriptor.digest, bytes }),
      signal,
    );
    try {
      await new Uploader(this.#repository, this.client.traits.upload, this.#emit, signal).upload(
        content,
        session,
      );
    } finally {
      content.release();
    }
    return "done";
  }

  async #pushManifest(
    descriptor: Descriptor,
    reference: string,
    source: Source,
    signal?: AbortSignal,
  ): Promise<Pushed> {
    const bytes = await readBlob(source, descriptor, MAX_MANIFEST_SIZE, signal);
    const listsReferrers = await putManifest(this.#repository, descriptor, reference, bytes, signal);
    const content = parseManifest(bytes, descriptor.mediaType, `${descriptor.digest} of ${source.name}`);
    const { subject } = content;
    if (subject && !listsReferrers && !(await hasReferrersApi(this.#repository, subject.digest, signal))) {
      const change = this.#referrers.then(() =>
        addToReferrersTag(this.#repository, subject.digest, descriptor, content, signal),
      );
      this.#referrers = change.catch(() => {});
      await change;
    }
    return "done";
  }
}
