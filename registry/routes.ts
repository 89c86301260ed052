import { type Digest, isDigest } from "../src/oci/digest.ts";
import { isRepository } from "../src/oci/reference.ts";
import { ApiError } from "./errors.ts";

/** What a path asks for. https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#endpoints */
export type Route =
  | { kind: "ping" }
  | { kind: "catalog" }
  | { kind: "tags"; name: string }
  | { kind: "referrers"; name: string; digest: Digest }
  /** The reference may be anything: what is neither a tag nor a digest is not found. */
  | { kind: "manifest"; name: string; reference: string }
  | { kind: "blob"; name: string; digest: Digest }
  | { kind: "uploads"; name: string }
  | { kind: "upload"; name: string; id: string };

const PATTERNS: [pattern: RegExp, make: (name: string, last: string) => Route][] = [
  [/^(.+)\/tags\/list$/, (name) => ({ kind: "tags", name })],
  [/^(.+)\/referrers\/([^/]+)$/, (name, last) => ({ kind: "referrers", name, digest: asDigest(last) })],
  [/^(.+)\/manifests\/([^/]+)$/, (name, reference) => ({ kind: "manifest", name, reference })],
  [/^(.+)\/blobs\/uploads\/?$/, (name) => ({ kind: "uploads", name })],
  [/^(.+)\/blobs\/uploads\/([^/]+)$/, (name, last) => ({ kind: "upload", name, id: last })],
  [/^(.+)\/blobs\/([^/]+)$/, (name, last) => ({ kind: "blob", name, digest: asDigest(last) })],
];

function asDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new ApiError(400, "DIGEST_INVALID", `'${text}' is not a sha256 or sha512 digest`);
}

/**
 * Reads a decoded path below `/v2`. Components such as `blobs` may be part of a repository's
 * name, so paths are read from their end.
 * @throws ApiError NAME_INVALID, DIGEST_INVALID; 404 for what no endpoint has
 */
export function parseRoute(path: string): Route {
  if (path === "/v2" || path === "/v2/") return { kind: "ping" };
  if (path === "/v2/_catalog") return { kind: "catalog" };
  const rest = path.slice("/v2/".length);
  for (const [pattern, make] of PATTERNS) {
    const match = pattern.exec(rest);
    if (match === null) continue;
    const name = match[1] ?? "";
    if (!isRepository(name)) throw new ApiError(400, "NAME_INVALID", `'${name}' is not a repository name`);
    return make(name, match[2] ?? "");
  }
  throw new ApiError(404, "UNSUPPORTED", `no endpoint of the distribution API is at ${path}`);
}
