import type { Exchange, Target } from "./exchange.ts";
import { type RegistryStore, sha } from "./registry-store.ts";

/** What a registry may lack or do in its own way, though rightly. */
export interface Manners {
  referrersApi?: boolean;
  mounts?: boolean;
  /** Refuses indexes with missing children, as distribution does. Default true. */
  whole?: boolean;
  /** Tags on one page. */
  page?: number;
}

type Of<K extends Target["kind"]> = Extract<Target, { kind: K }>;

/** A small registry that keeps to the distribution specification. */
export class Answers {
  readonly store: RegistryStore;
  readonly manners: Manners;

  constructor(store: RegistryStore, manners: Manners = {}) {
    this.store = store;
    this.manners = manners;
  }

  async answer(exchange: Exchange): Promise<void> {
    const { target } = exchange;
    if (target.kind === "ping") exchange.send(200);
    else if (target.kind === "manifest") await this.#manifest(exchange, target);
    else if (target.kind === "blob") this.#blob(exchange, target);
    else if (target.kind === "start-upload") await this.#start(exchange, target);
    else if (target.kind === "upload") await this.#upload(exchange, target);
    else if (target.kind === "tags") this.#tags(exchange, target);
    else if (target.kind === "referrers" && this.manners.referrersApi !== false)
      this.#referrers(exchange, target);
    else exchange.fail(404, "NOT_FOUND", "404 page not found");
  }

  async #manifest(exchange: Exchange, { repository, reference }: Of<"manifest">): Promise<void> {
    if (exchange.method === "PUT") return await this.#putManifest(exchange, repository, reference);
    const found = this.store.manifest(repository, reference);
    if (exchange.method === "DELETE") {
      const deleted = found !== undefined && this.store.repository(repository).manifests.delete(reference);
      return void exchange.send(deleted ? 202 : 404);
    }
    if (!found) exchange.fail(404, "MANIFEST_UNKNOWN", "manifest unknown");
    else
      exchange.send(
        200,
        { "content-type": found.manifest.mediaType, "docker-content-digest": found.digest },
        found.manifest.bytes,
      );
  }

  async #putManifest(exchange: Exchange, repository: string, reference: string): Promise<void> {
    const bytes = await exchange.body();
    const digest = sha(bytes, reference);
    if (reference.includes(":") && reference !== digest) return void exchange.fail(400, "DIGEST_INVALID");
    const content = JSON.parse(bytes.toString("utf8")) as Record<"config" | "subject", { digest: string }> &
      Record<"layers" | "manifests", { digest: string }[]>;
    const stored = this.store.repository(repository);
    const blobs = [content.config, ...(content.layers ?? [])].filter((blob) => blob !== undefined);
    if (blobs.some((blob) => !stored.blobs.has(blob.digest)))
      return void exchange.fail(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
    const children = content.manifests ?? [];
    if (this.manners.whole !== false && children.some((child) => !stored.manifests.has(child.digest))) {
      return void exchange.fail(400, "MANIFEST_BLOB_UNKNOWN", "manifest unknown to registry");
    }
    stored.manifests.set(digest, { mediaType: exchange.header("content-type"), bytes });
    if (!reference.includes(":")) stored.tags.set(reference, digest);
    const subject =
      content.subject && this.manners.referrersApi !== false ? { "oci-subject": content.subject.digest } : {};
    exchange.send(201, {
      location: `/v2/${repository}/manifests/${digest}`,
      "docker-content-digest": digest,
      ...subject,
    });
  }

  #blob(exchange: Exchange, { repository, digest }: Of<"blob">): void {
    const bytes = this.store.repositories.get(repository)?.blobs.get(digest);
    if (!bytes) return void exchange.fail(404, "BLOB_UNKNOWN", "blob unknown to registry");
    const headers = {
      "content-type": "application/octet-stream",
      "docker-content-digest": digest,
      "accept-ranges": "bytes",
    };
    const range = /^bytes=(\d+)-(\d*)$/.exec(exchange.header("range"));
    if (!range) return void exchange.send(200, headers, bytes);
    const from = Number(range[1]);
    const to = Math.min(range[2] === "" ? bytes.length - 1 : Number(range[2]), bytes.length - 1);
    if (from > to) return void exchange.send(416);
    exchange.send(
      206,
      { ...headers, "content-range": `bytes ${from}-${to}/${bytes.length}` },
      bytes.subarray(from, to + 1),
    );
  }

  async #start(exchange: Exchange, { repository }: Of<"start-upload">): Promise<void> {
    const [mount, from, digest] = [exchange.query("mount"), exchange.query("from"), exchange.query("digest")];
    const body = await exchange.body();
    const mounted =
      mount && from && this.manners.mounts !== false
        ? this.store.repositories.get(from)?.blobs.get(mount)
        : undefined;
    const given = mounted ?? (digest !== null && sha(body, digest) === digest ? body : undefined);
    if (given) {
      this.store.repository(repository).blobs.set(mount ?? (digest as string), given);
      return void exchange.send(201, { location: `/v2/${repository}/blobs/${mount ?? digest}` });
    }
    this.#accepted(exchange, repository, this.store.begin(repository));
  }

  async #upload(exchange: Exchange, { repository, id }: Of<"upload">): Promise<void> {
    const upload = this.store.uploads.get(id);
    if (upload?.repository !== repository)
      return void exchange.fail(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    if (exchange.method === "GET") return this.#accepted(exchange, repository, id, 204);
    if (exchange.method === "DELETE") return void (this.store.uploads.delete(id) && exchange.send(204));
    const range = /^(\d+)-(\d+)$/.exec(exchange.header("content-range"));
    if (range && Number(range[1]) !== upload.bytes.length)
      return this.#accepted(exchange, repository, id, 416);
    upload.bytes = Buffer.concat([upload.bytes, await exchange.body()]);
    if (exchange.method === "PATCH") return this.#accepted(exchange, repository, id);
    const digest = exchange.query("digest") ?? "";
    this.store.uploads.delete(id);
    if (sha(upload.bytes, digest) !== digest)
      return void exchange.fail(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
    this.store.repository(repository).blobs.set(digest, upload.bytes);
    exchange.send(201, { location: `/v2/${repository}/blobs/${digest}`, "docker-content-digest": digest });
  }

  #accepted(exchange: Exchange, repository: string, id: string, status = 202): void {
    const end = (this.store.uploads.get(id)?.bytes.length ?? 0) - 1;
    exchange.send(status, {
      location: `/v2/${repository}/blobs/uploads/${id}`,
      range: `0-${Math.max(0, end)}`,
      "docker-upload-uuid": id,
    });
  }

  #tags(exchange: Exchange, { repository }: Of<"tags">): void {
    const stored = this.store.repositories.get(repository);
    if (!stored) return void exchange.fail(404, "NAME_UNKNOWN");
    const all = [...stored.tags.keys()].sort();
    const last = exchange.query("last");
    const rest = last === null ? all : all.filter((tag) => tag > last);
    const shown = rest.slice(0, Math.min(Number(exchange.query("n") ?? 1e9), this.manners.page ?? 1e9));
    const more =
      shown.length < rest.length
        ? { link: `</v2/${repository}/tags/list?last=${shown.at(-1)}>; rel="next"` }
        : {};
    exchange.json(
      200,
      { name: repository, tags: shown.length > 0 ? shown : null },
      more as Record<string, string>,
    );
  }

  #referrers(exchange: Exchange, { repository, digest }: Of<"referrers">): void {
    const manifests = this.store.referrers(repository, digest);
    const mediaType = "application/vnd.oci.image.index.v1+json";
    exchange.json(200, { schemaVersion: 2, mediaType, manifests }, { "content-type": mediaType });
  }
}
