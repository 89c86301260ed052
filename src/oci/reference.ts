import { AirgapError } from "../errors.ts";
import { type Digest, isDigest } from "./digest.ts";

/**
 * A canonical image reference: always with a host, Docker's short names spelled out.
 * Grammar: https://github.com/distribution/reference (the `reference` package's doc comment).
 */
export interface Reference {
  /** `docker.io`, `registry.k8s.io`, `localhost:5000` */
  host: string;
  /** `library/nginx` */
  repository: string;
  tag?: string;
  digest?: Digest;
}

const HOST =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const MAX_NAME = 255;

export const isTag = (text: string): boolean => TAG.test(text);
export const isRepository = (text: string): boolean =>
  text.length <= MAX_NAME && text.split("/").every((part) => COMPONENT.test(part));
export const isHost = (text: string): boolean => HOST.test(text);

/** A host as one path component, for the `host` layout: `localhost:5000` → `localhost-5000`. */
export function hostComponent(host: string): string {
  return host.replace(/[^a-z0-9.-]+/g, "-").replace(/^[.-]+|[.-]+$/g, "");
}

/** Docker's rule: the first component is a host if it has a dot, a port or an upper-case letter, or is `localhost`. */
function splitHost(name: string): [host: string, repository: string] {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  if (slash < 0 || !(/[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase()))
    return ["docker.io", name];
  return [first === "index.docker.io" ? "docker.io" : first, name.slice(slash + 1)];
}

function invalid(text: string, why: string): AirgapError {
  return new AirgapError("usage", `'${text}' is not an image reference: ${why}`, {
    suggestions: [
      "write it as [host[:port]/]repository[:tag][@sha256:…], for example registry.k8s.io/pause:3.10",
    ],
  });
}

/**
 * Parses and canonicalises as Docker does: `nginx` is `docker.io/library/nginx`. The tag stays
 * absent when none is written; see `withDefaultTag`.
 * @throws AirgapError `usage`
 */
export function parseReference(text: string): Reference {
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest))
    throw invalid(text, `'${digest}' is not a sha256 or sha512 digest`);
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !isTag(tag)) throw invalid(text, `'${tag}' is not a tag`);
  let [host, repository] = splitHost(colon < 0 ? named : named.slice(0, colon));
  if (!isHost(host)) throw invalid(text, `'${host}' is not a host`);
  if (host === "docker.io" && repository !== "" && !repository.includes("/"))
    repository = `library/${repository}`;
  if (!isRepository(repository))
    throw invalid(
      text,
      repository === ""
        ? "it has no repository"
        : `'${repository}' is not a repository name (lower case, digits, single separators)`,
    );
  host = host.toLowerCase();
  return {
    host,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** Like `parseReference`, but undefined instead of an error. */
export function tryParseReference(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

/** Adds `latest` when neither tag nor digest is written, as every runtime does. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined
    ? { ...reference, tag: "latest" }
    : reference;
}

/** The full canonical form: `docker.io/library/nginx:1.27@sha256:…` */
export function formatReference(reference: Reference): string {
  const { host, repository, tag, digest } = reference;
  return `${host}/${repository}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** `host/repository`, without tag and digest. */
export function nameOf(reference: Reference): string {
  return `${reference.host}/${reference.repository}`;
}
