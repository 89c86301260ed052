import { AirgapError } from "../src/errors.ts";
import { type Digest, digestOf, isDigest } from "../src/oci/digest.ts";
import {
  childrenOf,
  type Index,
  MAX_MANIFEST_SIZE,
  type Manifest,
  parseManifest,
} from "../src/oci/manifest.ts";
import { isForeignLayer } from "../src/oci/media-types.ts";
import { isTag } from "../src/oci/reference.ts";
import { adopt } from "./adopt.ts";
import { ApiError, unknownBlob, unknownManifest } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Library, Repository } from "./library.ts";
import type { Store } from "./store/store.ts";

/** Tags that one manifest may be given at once; the specification asks for ten at least. */
const MAX_TAGS = 100;

/** Manifests into the store, and things out of it. */
export class Writer {
  readonly #store: Store;
  /** Everything served, store included. */
  readonly #library: Library;

  constructor(store: Store, library: Library) {
    this.#store = store;
    this.#library = library;
  }

  async putManifest(exchange: Exchange, name: string, reference: string): Promise<void> {
    checkReference(reference);
    const bytes = await exchange.bytes(
      MAX_MANIFEST_SIZE,
      () => new ApiError(413, "SIZE_INVALID", `a manifest may have ${MAX_MANIFEST_SIZE} bytes at most`),
    );
    const content = parse(bytes, exchange.header("content-type"), `${name}:${reference}`);
    const digest = isDigest(reference) ? checked(bytes, reference) : digestOf(bytes);
    const tags = [...(isDigest(reference) ? [] : [reference]), ...tagParameters(exchange)];
    const missing = await this.#store.pushing(name, async () => {
      const lacking = await exchange.unhurried(() => this.#complete(name, content));
      await this.#store.putManifest(name, bytes, digest, content, tags);
      return lacking;
    });
    await exchange.reply(201, {
      location: `/v2/${name}/manifests/${digest}`,
      "docker-content-digest": digest,
      ...(content.subject ? { "oci-subject": content.subject.digest } : {}),
      ...(exchange.query.has("tag") ? { "oci-tag": tags.join(", ") } : {}),
      ...(missing.length > 0
        ? {
            warning: `299 - "${missing.length} of the manifests that this index names are not in ${name}, ${missing[0]} first"`,
          }
        : {}),
    });
  }

  /**
   * Makes sure that the repository has what a manifest names, and copies what a bundle holds:
   * the store stays complete when it is served without that bundle. An index may name manifests
   * that were not carried; an image without its blobs is of no use to anybody.
   * @returns the manifests of an index that are missing
   */
  async #complete(name: string, content: Manifest | Index): Promise<Digest[]> {
    const repository: Repository | undefined = await this.#library.repository(name);
    const missing: Digest[] = [];
    for (const child of childrenOf(content)) {
      if (await adopt(this.#store, name, child, repository)) continue;
      if (!isForeignLayer(child.mediaType)) missing.push(child.digest);
    }
    if (missing.length === 0 || content.kind === "index") return missing;
    const detail = missing.map((digest) => ({ digest }));
    throw new ApiError(
      400,
      "MANIFEST_BLOB_UNKNOWN",
      `${name} does not have ${missing.join(", ")}, which the manifest names`,
      { detail },
    );
  }

  async deleteManifest(exchange: Exchange, name: string, reference: string): Promise<void> {
    checkReference(reference);
    const done = isDigest(reference)
      ? await this.#store.deleteManifest(name, reference)
      : await this.#store.deleteTag(name, reference);
    const repository = await this.#library.repository(name);
    if (!done)
      throw (await repository?.resolve(reference)) ? carried(reference) : unknownManifest(name, reference);
    await exchange.reply(202, {});
  }

  async deleteBlob(exchange: Exchange, name: string, digest: Digest): Promise<void> {
    if (!(await this.#store.deleteBlob(name, digest))) {
      const blob = await (await this.#library.repository(name))?.open(digest);
      blob?.close();
      throw blob ? carried(digest) : unknownBlob(name, digest);
    }
    await exchange.reply(202, { "docker-content-digest": digest });
  }
}

const carried = (what: string): ApiError =>
  new ApiError(405, "UNSUPPORTED", `${what} comes from a bundle, which is never changed`);

function checkReference(reference: string): void {
  if (isDigest(reference) || isTag(reference)) return;
  const code = reference.includes(":") ? "DIGEST_INVALID" : "MANIFEST_INVALID";
  throw new ApiError(400, code, `'${reference}' is neither a tag nor a sha256 or sha512 digest`);
}

function parse(bytes: Buffer, contentType: string | undefined, where: string): Manifest | Index {
  const declared = contentType?.split(";")[0]?.trim();
  try {
    return parseManifest(bytes, declared, where);
  } catch (error) {
    if (error instanceof AirgapError) throw new ApiError(400, "MANIFEST_INVALID", error.message);
    throw error;
  }
}

function checked(bytes: Buffer, digest: Digest): Digest {
  const found = digestOf(bytes, digest.startsWith("sha512:") ? "sha512" : "sha256");
  if (found !== digest) throw new ApiError(400, "DIGEST_INVALID", `the manifest is ${found}, not ${digest}`);
  return digest;
}

/** `?tag=a&tag=b` of a push by digest. distribution-spec, "Pushing Manifests" (1.1+dev). */
function tagParameters(exchange: Exchange): string[] {
  const tags = exchange.query.getAll("tag");
  if (tags.length > MAX_TAGS)
    throw new ApiError(414, "UNSUPPORTED", `a manifest can be given ${MAX_TAGS} tags at once`);
  for (const tag of tags)
    if (!isTag(tag)) throw new ApiError(400, "MANIFEST_INVALID", `'${tag}' is not a tag`);
  return tags;
}
