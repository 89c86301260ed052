import { AirgapError } from "../../errors.ts";
import type { HttpResponse } from "../../http.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { algorithmOf, type Digest, digestOf, isDigest } from "../../oci/digest.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../../oci/manifest.ts";
import { ACCEPT_MANIFESTS } from "../../oci/media-types.ts";
import { failure } from "./answer.ts";
import type { Scope } from "./auth.ts";
import type { RegistryClient } from "./client.ts";

export interface FetchedManifest {
  descriptor: Descriptor;
  bytes: Buffer;
}

/** A repository and the rights that requests to it need. */
export interface Repository {
  client: RegistryClient;
  name: string;
  scopes: Scope[];
}

export const pathOf = (
  { name }: Repository,
  kind: "manifests" | "blobs" | "referrers",
  reference: string,
): string => `/v2/${name}/${kind}/${reference}`;

/** `registry.k8s.io/pause:3.9`, `…@sha256:…`: for messages. */
export function nameFor({ client, name }: Repository, reference: string): string {
  return `${client.host}/${name}${isDigest(reference) ? "@" : ":"}${reference}`;
}

const contentType = (response: HttpResponse): string | undefined =>
  response.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();

/** Checks the content against the requested digest and the digest that the registry states. */
function digestChecked(bytes: Buffer, reference: string, stated: string | undefined, what: string): Digest {
  const asked = isDigest(reference) ? reference : undefined;
  const found = digestOf(
    bytes,
    asked ? algorithmOf(asked) : isDigest(stated) ? algorithmOf(stated) : "sha256",
  );
  if (asked !== undefined && found !== asked) {
    throw new AirgapError("corrupt", `${what}: the registry sent the wrong content, ${found}`, {
      data: { expected: asked, found },
    });
  }
  if (isDigest(stated) && algorithmOf(stated) === algorithmOf(found) && stated !== found) {
    throw new AirgapError("corrupt", `${what}: the registry calls it ${stated}, but its bytes are ${found}`, {
      data: { expected: stated, found },
    });
  }
  return found;
}

/**
 * GET of a manifest by tag or digest; checks everything that can be checked.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests
 * @throws AirgapError `not-found`, `unauthorized`, `corrupt`, `unsupported` (schema 1)
 */
export async function getManifest(
  repository: Repository,
  reference: string,
  signal?: AbortSignal,
): Promise<FetchedManifest> {
  const { client, scopes } = repository;
  const what = nameFor(repository, reference);
  const response = await client.send(pathOf(repository, "manifests", reference), {
    headers: { accept: ACCEPT_MANIFESTS },
    scopes,
    ...(signal ? { signal } : {}),
  });
  if (response.status !== 200) throw await failure(response, what, client.host);
  const bytes = await response.bytes(MAX_MANIFEST_SIZE);
  const digest = digestChecked(bytes, reference, response.headers["docker-content-digest"], what);
  const { mediaType, artifactType } = parseManifest(bytes, contentType(response), what);
  return {
    bytes,
    descriptor: {
      mediaType,
      digest,
      size: bytes.length,
      ...(artifactType === undefined ? {} : { artifactType }),
    },
  };
}

/**
 * What a tag or digest stands for, by HEAD alone; undefined when it does not exist. If a registry
 * does not state the digest, the whole manifest is read.
 */
export async function headManifest(
  repository: Repository,
  reference: string,
  signal?: AbortSignal,
): Promise<{ digest: Digest } | undefined> {
  const { client, scopes } = repository;
  const response = await client.send(pathOf(repository, "manifests", reference), {
    method: "HEAD",
    headers: { accept: ACCEPT_MANIFESTS },
    scopes,
    ...(signal ? { signal } : {}),
  });
  await response.discard();
  if (response.status === 404) return undefined;
  if (response.status !== 200) throw await failure(response, nameFor(repository, reference), client.host);
  const stated = response.headers["docker-content-digest"];
  if (isDigest(stated) && (!isDigest(reference) || algorithmOf(stated) === algorithmOf(reference)))
    return { digest: stated };
  return { digest: (await getManifest(repository, reference, signal)).descriptor.digest };
}
