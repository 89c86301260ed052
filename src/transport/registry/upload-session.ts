import { isAirgapError } from "../../errors.ts";
import type { HttpResponse } from "../../http.ts";
import type { Digest } from "../../oci/digest.ts";
import { failure, protocolError } from "./answer.ts";
import type { Scope } from "./auth.ts";
import { nameFor, type Repository } from "./manifests.ts";

/** An upload that a registry has opened. */
export interface UploadSession {
  /** Where the next request goes; each answer may name another place. */
  location: URL;
  /** Smallest piece that the registry accepts, except the last one. Bytes. */
  minPiece: number;
}

/** How a request for a mount ended. */
export type MountAnswer = { mounted: true } | { mounted: false; session?: UploadSession };

/**
 * `Location` of an answer, made absolute. It may be relative, name another host, or say http even if the
 * registry is reached by https, as behind proxies that end TLS.
 */
export function locationOf(response: HttpResponse): URL {
  const { location } = response.headers;
  const here = new URL(response.url);
  const url = location === undefined ? null : URL.parse(location, here);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw protocolError(response, "opened an upload, but did not say where");
  if (here.protocol === "https:" && url.protocol === "http:" && url.hostname === here.hostname) {
    url.protocol = "https:";
    if (here.port !== "" && url.port === "") url.port = here.port;
  }
  return url;
}

/** The address that closes an upload. The registry's own query stays byte for byte. */
export function closing(location: URL, digest: Digest): URL {
  const separator = location.search === "" ? "?" : "&";
  return new URL(`${location.href.replace(/[?&]$/, "")}${separator}digest=${encodeURIComponent(digest)}`);
}

function sessionOf(response: HttpResponse): UploadSession {
  const minPiece = Number(response.headers["oci-chunk-min-length"] ?? 0);
  return {
    location: locationOf(response),
    minPiece: Number.isSafeInteger(minPiece) && minPiece > 0 ? minPiece : 0,
  };
}

const uploadsOf = ({ name }: Repository): string => `/v2/${name}/blobs/uploads/`;

/** Opens an upload. https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-blobs */
export async function startUpload(
  repository: Repository,
  digest: Digest,
  signal?: AbortSignal,
): Promise<UploadSession> {
  const { client, scopes } = repository;
  const response = await client.send(uploadsOf(repository), {
    method: "POST",
    headers: { "content-length": "0" },
    scopes,
    ...(signal ? { signal } : {}),
  });
  if (response.status !== 202)
    throw await failure(response, `an upload of ${nameFor(repository, digest)}`, client.host);
  await response.discard();
  return sessionOf(response);
}

/**
 * Asks for a blob of another repository of the same registry. If the mount fails, by a
 * refusal or a dropped connection, that is not an error: the blob can be uploaded, and a 202 has opened
 * that upload already.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#mounting-a-blob-from-another-repository
 */
export async function askMount(
  repository: Repository,
  digest: Digest,
  from: string,
  signal?: AbortSignal,
): Promise<MountAnswer> {
  const { client, scopes } = repository;
  const query = new URLSearchParams({ mount: digest, from });
  const other: Scope[] = scopes.some((scope) => scope.repository === from)
    ? []
    : [{ repository: from, actions: "pull" }];
  try {
    const response = await client.send(`${uploadsOf(repository)}?${query}`, {
      method: "POST",
      headers: { "content-length": "0" },
      scopes: [...scopes, ...other],
      retry: "refused",
      ...(signal ? { signal } : {}),
    });
    await response.discard();
    if (response.status === 201) return { mounted: true };
    return response.status === 202 ? { mounted: false, session: sessionOf(response) } : { mounted: false };
  } catch (error) {
    signal?.throwIfAborted();
    if (isAirgapError(error, "network", "unauthorized", "protocol", "refused", "not-found"))
      return { mounted: false };
    throw error;
  }
}

/**
 * Asks how far an upload has come.
 * @returns the next byte that the registry wants, or undefined when it does not know the upload any more
 */
export async function progressOf(
  session: UploadSession,
  { client, scopes }: Repository,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const response = await client.send(session.location, { scopes, ...(signal ? { signal } : {}) });
  await response.discard();
  if (response.status < 200 || response.status >= 300) return undefined;
  if (response.headers["location"] !== undefined) session.location = locationOf(response);
  return endOf(response);
}

/**
 * The byte after the last one that an answer's `Range` counts. `0-0` stands for nothing as well as
 * for one byte; nothing is the usual meaning.
 */
export function endOf(response: HttpResponse): number | undefined {
  const match = /^(?:bytes[= ])?0-(\d+)$/.exec((response.headers["range"] ?? "").trim());
  if (match === null) return undefined;
  const last = Number(match[1]);
  return last === 0 ? 0 : last + 1;
}
