import { algorithmOf, type Digest, isDigest } from "../src/oci/digest.ts";
import { isRepository } from "../src/oci/reference.ts";
import { copyBlob } from "./adopt.ts";
import { ApiError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Library } from "./library.ts";
import { parseChunkRange } from "./range.ts";
import { isDiskFull } from "./store/intake.ts";
import type { Store } from "./store/store.ts";
import type { UploadSession } from "./store/upload-session.ts";

/**
 * Blobs into the store: in one POST, POST and PUT, or in chunks; or by mounting.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-blobs
 */
export class Uploader {
  readonly #store: Store;
  /** Everything served, store included: blobs are mounted from bundles too. */
  readonly #library: Library;

  constructor(store: Store, library: Library) {
    this.#store = store;
    this.#library = library;
  }

  /** POST: a session, a whole blob with `digest`, or a mount. */
  async start(exchange: Exchange, name: string): Promise<void> {
    const digest = digestParameter(exchange, "digest");
    const mount = digestParameter(exchange, "mount");
    if (mount && (await exchange.unhurried(() => this.#mount(name, mount, exchange.query.get("from")))))
      return this.#created(exchange, name, mount);
    const { uploads } = this.#store;
    // The client never learned its address: when it fails, nobody can resume it.
    if (digest)
      return uploads.once(name, algorithmOf(digest), (session) =>
        this.#receiveLast(exchange, session, digest),
      );
    const session = await uploads.create(name, algorithmParameter(exchange));
    await this.#accepted(exchange, session, 202);
  }

  /** GET of an upload's address: how far it is. */
  async status(exchange: Exchange, name: string, id: string): Promise<void> {
    await this.#accepted(exchange, await this.#session(name, id), 204);
  }

  /** PATCH: a chunk at its place, or a stream without a `Content-Range`. */
  async chunk(exchange: Exchange, name: string, id: string): Promise<void> {
    await this.#alone(exchange, id, async () => {
      const session = await this.#session(name, id);
      this.#checkPlace(exchange, session);
      await this.#unlessFull(session, () => session.append(exchange.body()));
      await this.#accepted(exchange, session, 202);
    });
  }

  /** PUT: the last chunk if there is one, then the blob is checked and becomes visible. */
  async finish(exchange: Exchange, name: string, id: string): Promise<void> {
    const digest = digestParameter(exchange, "digest");
    if (digest === undefined)
      throw new ApiError(
        400,
        "DIGEST_INVALID",
        "an upload is finished with ?digest=<digest of the whole blob>",
      );
    await this.#alone(exchange, id, async () => {
      const session = await this.#store.uploads.find(name, id);
      // The answer to an earlier PUT may have been lost: asked again, it is the same.
      if (session === undefined && (await (await this.#store.repository(name))?.hasBlob(digest)))
        return this.#created(exchange, name, digest);
      await this.#receiveLast(exchange, session ?? unknownUpload(name, id), digest);
    });
  }

  async cancel(exchange: Exchange, name: string, id: string): Promise<void> {
    await this.#alone(exchange, id, async () => {
      await this.#store.uploads.end(await this.#session(name, id));
      await exchange.reply(204, {});
    });
  }

  async #receiveLast(exchange: Exchange, session: UploadSession, digest: Digest): Promise<void> {
    session.expect(algorithmOf(digest));
    this.#checkPlace(exchange, session);
    const found = await this.#unlessFull(session, async () => {
      await session.append(exchange.body());
      return exchange.unhurried(() => this.#store.commit(session, digest));
    });
    if (found !== digest)
      throw new ApiError(400, "DIGEST_INVALID", `what was uploaded is ${found}, not ${digest}`);
    await this.#created(exchange, session.repository, digest);
  }

  /** An upload that does not fit gives its space back at once: going on would fail again. */
  async #unlessFull<T>(session: UploadSession, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (isDiskFull(error)) await this.#store.uploads.end(session);
      throw error;
    }
  }

  async #alone(exchange: Exchange, id: string, work: () => Promise<void>): Promise<void> {
    await this.#store.uploads.exclusively(id, () => void exchange.req.destroy(), work);
  }

  /** @throws ApiError 416 for a chunk that does not follow what is there, 400 for one that is not as long as it says */
  #checkPlace(exchange: Exchange, session: UploadSession): void {
    const header = exchange.header("content-range");
    if (header === undefined) return;
    const range = parseChunkRange(header);
    if (range?.start !== session.size) {
      const headers = progressOf(session);
      throw new ApiError(
        416,
        "BLOB_UPLOAD_INVALID",
        `the next chunk starts at byte ${session.size}, not as in ${JSON.stringify(header)}`,
        { headers },
      );
    }
    const length = exchange.contentLength;
    if (length !== undefined && length !== range.end - range.start + 1) {
      throw new ApiError(400, "SIZE_INVALID", `a chunk of ${length} bytes cannot be ${header}`);
    }
  }

  async #mount(name: string, digest: Digest, from: string | null): Promise<boolean> {
    if (await (await this.#store.repository(name))?.has(digest)) return true;
    if (from === null && (await this.#store.link(name, digest))) return true;
    const sources = from === null ? await this.#library.repositories() : [from];
    for (const source of sources) {
      if (!isRepository(source)) continue;
      const blob = await (await this.#library.repository(source))?.open(digest);
      if (blob === undefined) continue;
      try {
        return (await this.#store.link(name, digest)) || (await copyBlob(this.#store, name, digest, blob));
      } finally {
        blob.close();
      }
    }
    return false;
  }

  async #session(name: string, id: string): Promise<UploadSession> {
    const session = await this.#store.uploads.find(name, id);
    return session ?? unknownUpload(name, id);
  }

  async #accepted(exchange: Exchange, session: UploadSession, status: 202 | 204): Promise<void> {
    await exchange.reply(status, progressOf(session));
  }

  async #created(exchange: Exchange, name: string, digest: Digest): Promise<void> {
    await exchange.reply(201, { location: `/v2/${name}/blobs/${digest}`, "docker-content-digest": digest });
  }
}

function unknownUpload(name: string, id: string): never {
  throw new ApiError(404, "BLOB_UPLOAD_UNKNOWN", `${name} has no upload ${id}`);
}

/** `Range: 0-0` also stands for nothing yet, as distribution writes it: the grammar has no other form. */
function progressOf(session: UploadSession): Record<string, string> {
  return {
    location: `/v2/${session.repository}/blobs/uploads/${session.id}`,
    range: `0-${Math.max(0, session.size - 1)}`,
    "docker-upload-uuid": session.id,
  };
}

function digestParameter(exchange: Exchange, name: "digest" | "mount"): Digest | undefined {
  const value = exchange.query.get(name);
  if (value === null || isDigest(value)) return value ?? undefined;
  throw new ApiError(400, "DIGEST_INVALID", `'${value}' is not a sha256 or sha512 digest`);
}

function algorithmParameter(exchange: Exchange): "sha256" | "sha512" {
  const value = exchange.query.get("digest-algorithm") ?? "sha256";
  if (value === "sha256" || value === "sha512") return value;
  throw new ApiError(400, "DIGEST_INVALID", `digests of kind '${value}' are not supported`);
}
