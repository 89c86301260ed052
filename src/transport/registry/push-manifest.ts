import { AirgapError, isAirgapError } from "../../errors.ts";
import { canonicalJson } from "../../oci/canonical-json.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Digest, digestOf, isDigest } from "../../oci/digest.ts";
import { artifactTypeOf, type Index, type Manifest, parseManifest } from "../../oci/manifest.ts";
import { MediaType } from "../../oci/media-types.ts";
import { failure, type RegistryError } from "./answer.ts";
import { getManifest, nameFor, pathOf, type Repository } from "./manifests.ts";
import { referrersTag } from "./referrers.ts";

/**
 * PUT of a manifest under a tag or its digest, byte for byte.
 * @returns whether the registry lists referrers itself, by its `OCI-Subject`
 * @throws RegistryError with the registry's own words, AirgapError `protocol` when it gives the content another digest
 */
export async function putManifest(
  repository: Repository,
  descriptor: Descriptor,
  reference: string,
  bytes: Buffer,
  signal?: AbortSignal,
): Promise<boolean> {
  const { client, scopes } = repository;
  const what = nameFor(repository, reference);
  const response = await client.send(pathOf(repository, "manifests", reference), {
    method: "PUT",
    headers: { "content-type": descriptor.mediaType },
    body: bytes,
    scopes,
    ...(signal ? { signal } : {}),
  });
  if (response.status < 200 || response.status >= 300)
    throw withAdvice(await failure(response, what, client.host), descriptor.mediaType);
  await response.discard();
  const stated = response.headers["docker-content-digest"];
  // With a tag, the registry chooses the digest's algorithm.
  if (
    isDigest(stated) &&
    stated.split(":")[0] === descriptor.digest.split(":")[0] &&
    stated !== descriptor.digest
  ) {
    throw new AirgapError(
      "protocol",
      `${what}: ${client.host} accepted ${descriptor.digest}, but says that its digest is ${stated}`,
    );
  }
  return response.headers["oci-subject"] !== undefined;
}

/** Registries for OCI content only refuse Docker's types without saying why. */
function withAdvice(error: RegistryError, mediaType: string): RegistryError {
  if (
    mediaType.startsWith("application/vnd.docker.") &&
    [400, 415].includes(error.status) &&
    error.data?.["missing"] !== true
  ) {
    error.suggestions.push(
      `if it is a zot, allow Docker's manifests: "compat": ["docker2s2"] under "http" in its configuration`,
    );
  }
  return error;
}

/** The entry of a manifest in a list of referrers. distribution-spec v1.1, "Listing Referrers". */
function entryFor({ mediaType, digest, size }: Descriptor, content: Manifest | Index): Descriptor {
  const artifactType = artifactTypeOf(content);
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === "" ? {} : { artifactType }),
    ...(content.annotations ? { annotations: content.annotations } : {}),
  };
}

async function listed(repository: Repository, tag: string, signal?: AbortSignal): Promise<Descriptor[]> {
  try {
    const { bytes, descriptor } = await getManifest(repository, tag, signal);
    const list = parseManifest(bytes, descriptor.mediaType, nameFor(repository, tag));
    return list.kind === "index" ? list.manifests : [];
  } catch (error) {
    if (isAirgapError(error, "not-found")) return [];
    throw error;
  }
}

/**
 * Adds a manifest to the list that replaces the referrers API, for a registry without it.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-manifests-with-subject
 */
export async function addToReferrersTag(
  repository: Repository,
  subject: Digest,
  descriptor: Descriptor,
  content: Manifest | Index,
  signal?: AbortSignal,
): Promise<void> {
  const tag = referrersTag(subject);
  const others = await listed(repository, tag, signal);
  if (others.some(({ digest }) => digest === descriptor.digest)) return;
  const bytes = Buffer.from(
    canonicalJson({
      schemaVersion: 2,
      mediaType: MediaType.ociIndex,
      manifests: [...others, entryFor(descriptor, content)],
    }),
  );
  await putManifest(
    repository,
    { mediaType: MediaType.ociIndex, digest: digestOf(bytes), size: bytes.length },
    tag,
    bytes,
    signal,
  );
}
