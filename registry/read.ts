import type { Descriptor } from "../src/oci/descriptor.ts";
import { type Digest, isDigest } from "../src/oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../src/oci/manifest.ts";
import { MediaType } from "../src/oci/media-types.ts";
import { isTag } from "../src/oci/reference.ts";
import { unknownBlob, unknownManifest, unknownName } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Library, Repository } from "./library.ts";
import { pageOf } from "./pages.ts";
import { sendBlob } from "./send.ts";

/** Content never changes under its digest. */
const FOREVER = "max-age=31536000, immutable";

/** The reading half of the distribution API over a library. */
export class Reader {
  readonly #library: Library;

  constructor(library: Library) {
    this.#library = library;
  }

  async ping(exchange: Exchange): Promise<void> {
    await exchange.json(200, {}, { "docker-distribution-api-version": "registry/2.0" });
  }

  async catalog(exchange: Exchange): Promise<void> {
    const { entries, link } = pageOf(exchange, await this.#library.repositories(), "/v2/_catalog");
    await exchange.json(200, { repositories: entries }, link);
  }

  async tags(exchange: Exchange, name: string): Promise<void> {
    const repository = await this.#repository(exchange, name);
    const { entries, link } = pageOf(exchange, await repository.tags(), `/v2/${name}/tags/list`);
    await exchange.json(200, { name, tags: entries }, link);
  }

  async manifest(exchange: Exchange, name: string, reference: string): Promise<void> {
    const repository = await this.#repository(exchange, name);
    const descriptor =
      isDigest(reference) || isTag(reference) ? await repository.resolve(reference) : undefined;
    const blob = descriptor && (await repository.open(descriptor.digest));
    if (descriptor === undefined || blob === undefined) throw unknownManifest(name, reference);
    const headers = {
      ...namespace(exchange),
      ...(reference === descriptor.digest ? { "cache-control": FOREVER } : {}),
    };
    await sendBlob(exchange, blob, { mediaType: descriptor.mediaType, digest: descriptor.digest, headers });
  }

  async blob(exchange: Exchange, name: string, digest: Digest): Promise<void> {
    const repository = await this.#repository(exchange, name);
    const blob = await repository.open(digest);
    if (blob === undefined) throw unknownBlob(name, digest);
    await sendBlob(exchange, blob, {
      mediaType: "application/octet-stream",
      digest,
      headers: { "cache-control": FOREVER, ...namespace(exchange) },
    });
  }

  /** An unknown repository or subject has no referrers; that is not an error (distribution-spec v1.1, "Listing Referrers"). */
  async referrers(exchange: Exchange, name: string, digest: Digest): Promise<void> {
    const repository = await this.#library.repository(name, exchange.query.get("ns") ?? undefined);
    const all = (await repository?.referrers(digest)) ?? [];
    const wanted = exchange.query.get("artifactType");
    const matching =
      wanted === null || wanted === "" ? all : all.filter(({ artifactType }) => artifactType === wanted);
    const { page, last } = fitting(matching, exchange.query.get("last") ?? "");
    const headers: Record<string, string> = { "content-type": MediaType.ociIndex };
    if (wanted !== null && wanted !== "") headers["oci-filters-applied"] = "artifactType";
    if (last !== undefined) {
      const next = new URLSearchParams(exchange.query);
      next.set("last", last);
      headers["link"] = `</v2/${name}/referrers/${digest}?${next}>; rel="next"`;
    }
    await exchange.reply(
      200,
      headers,
      JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: page }),
    );
  }

  async #repository(exchange: Exchange, name: string): Promise<Repository> {
    const repository = await this.#library.repository(name, exchange.query.get("ns") ?? undefined);
    if (repository === undefined) throw unknownName(name);
    return repository;
  }
}

/** The upstream registry that the client asks us for; distribution-spec, "Registry Proxying". */
function namespace(exchange: Exchange): Record<string, string> {
  const ns = exchange.query.get("ns");
  return ns !== null && /^[A-Za-z0-9.:[\]-]{1,255}$/.test(ns) ? { "oci-namespace": ns } : {};
}

/** As many descriptors after `after` as fit into what clients take for a manifest; `last` when more follow. */
function fitting(descriptors: Descriptor[], after: string): { page: Descriptor[]; last?: string } {
  const sorted = descriptors
    .filter(({ digest }) => digest > after)
    .toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
  const page: Descriptor[] = [];
  let size = 200;
  for (const descriptor of sorted) {
    size += Buffer.byteLength(JSON.stringify(descriptor)) + 1;
    const previous = page.at(-1);
    if (size > MAX_MANIFEST_SIZE && previous) return { page, last: previous.digest };
    page.push(descriptor);
  }
  return { page };
}
