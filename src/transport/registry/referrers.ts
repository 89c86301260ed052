import { isAirgapError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { parseManifest } from "../../oci/manifest.ts";
import { MediaType } from "../../oci/media-types.ts";
import { failure } from "./answer.ts";
import { getManifest, pathOf, type Repository } from "./manifests.ts";
import { pages } from "./pages.ts";

const MAX_PAGE = 4 * 1024 * 1024;
/** The statuses of registries without the API, and of those that hide what does not exist. */
const NO_API = new Set([400, 401, 403, 404, 405, 406, 501]);

/** The tag under which clients keep the list when the registry does not have the API: `sha256-<hex>`. */
export const referrersTag = (digest: Digest): string => digest.replace(":", "-").slice(0, 128);

async function byApi(
  repository: Repository,
  digest: Digest,
  signal?: AbortSignal,
): Promise<Descriptor[] | undefined> {
  const { client } = repository;
  const what = `the referrers of ${client.host}/${repository.name}@${digest}`;
  const found: Descriptor[] = [];
  for await (const response of pages(repository, pathOf(repository, "referrers", digest), signal)) {
    const { status } = response;
    if (NO_API.has(status)) {
      await response.discard();
      if (status === 404 || status === 405) client.traits.referrersApi = false;
      return undefined;
    }
    if (status !== 200) throw await failure(response, what, client.host);
    // Some registries answer this path with a page of their own.
    if (!response.headers["content-type"]?.includes("json")) {
      await response.discard();
      return undefined;
    }
    const list = parseManifest(await response.bytes(MAX_PAGE), MediaType.ociIndex, what);
    if (list.kind === "index") found.push(...list.manifests);
    client.traits.referrersApi = true;
  }
  return found;
}

async function byTag(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<Descriptor[]> {
  try {
    const { bytes, descriptor } = await getManifest(repository, referrersTag(digest), signal);
    const list = parseManifest(bytes, descriptor.mediaType, `${repository.name}:${referrersTag(digest)}`);
    return list.kind === "index" ? list.manifests : [];
  } catch (error) {
    if (isAirgapError(error, "not-found", "unauthorized")) return [];
    throw error;
  }
}

/** Whether the registry lists referrers itself; it is asked once. */
export async function hasReferrersApi(
  repository: Repository,
  digest: Digest,
  signal?: AbortSignal,
): Promise<boolean> {
  const { traits } = repository.client;
  traits.referrersApi ??= (await byApi(repository, digest, signal)) !== undefined;
  return traits.referrersApi;
}

/** The list under its tag; skipped when all tags are known and it is not one of them. */
async function byKnownTag(
  repository: Repository,
  digest: Digest,
  signal?: AbortSignal,
): Promise<Descriptor[]> {
  const tags = await repository.client.traits.tags.get(repository.name)?.catch(() => undefined);
  return tags === undefined || tags.includes(referrersTag(digest))
    ? await byTag(repository, digest, signal)
    : [];
}

/** By the API, unless the registry is known not to have it. Calls wait while the first one finds that out. */
async function byKnownApi(
  repository: Repository,
  digest: Digest,
  signal?: AbortSignal,
): Promise<Descriptor[] | undefined> {
  const { traits } = repository.client;
  if (traits.referrersApi === undefined && traits.firstReferrers === undefined) {
    const first = byApi(repository, digest, signal);
    traits.firstReferrers = first;
    return await first;
  }
  await traits.firstReferrers?.catch(() => undefined);
  return traits.referrersApi === false ? undefined : await byApi(repository, digest, signal);
}

/**
 * Manifests whose subject is `digest`, by the API or by the tag that replaces it; each once.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers
 */
export async function listReferrers(
  repository: Repository,
  digest: Digest,
  signal?: AbortSignal,
): Promise<Descriptor[]> {
  const answered = await byKnownApi(repository, digest, signal);
  // A registry that got the API later keeps older lists under the tag.
  const found =
    answered === undefined || answered.length === 0 ? await byKnownTag(repository, digest, signal) : answered;
  return [...new Map(found.map((descriptor) => [descriptor.digest, descriptor])).values()];
}
