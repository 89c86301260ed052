import { createHash } from "node:crypto";
import { resolve as resolvePath } from "node:path";
import { pathToFileURL } from "node:url";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import type { Http } from "../http.ts";
import { describePlace, isRemote, localPath, openAddress } from "../transport/url.ts";

/** A place as the spec gives it, seen from the spec's folder: a URL, or an absolute path. */
export function placeOf(baseDir: string, given: string): string {
  // apt writes `file:/path`, which is a URL too. RFC 8089
  if (/^file:\/(?!\/)/i.test(given)) return given.replace(/^file:/i, "file://");
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(given) ? given : resolvePath(baseDir, given);
}

/**
 * Where a file of a repository is: `href` is what its metadata say, a path as it stands on the disk,
 * so every character with a meaning in URLs is encoded, `%` too, as apt and dnf do it. It must stay
 * below the base, so that no metadata can make us read another host or the rest of the disk.
 * @throws AirgapError `corrupt`
 */
export function below(base: string, href: string, what: string): string {
  checkHref(href, what);
  return isRemote(base) ? joined(base, href, encodeSegment) : resolvePath(localPath(base), href);
}

/**
 * Where a file may be, in the order to try: some repositories list names that are encoded already,
 * so on a 404 the name is tried as it stands.
 * @param bases the same repository at several mirrors
 * @throws AirgapError `corrupt`
 */
export function placesBelow(bases: string[], href: string, what: string): string[] {
  const encoded = bases.map((base) => below(base, href, what));
  const asItStands = /%[0-9A-Fa-f]{2}/.test(href) ? bases.filter(isRemote) : [];
  return [...encoded, ...asItStands.map((base) => joined(base, href, keepEncoded))];
}

function checkHref(href: string, what: string): void {
  const refuse = (why: string): never => {
    throw new AirgapError(
      "corrupt",
      `${what} names ${JSON.stringify(href.slice(0, 200))}, which ${why}: its repository is not to be trusted`,
    );
  };
  let decoded = href;
  try {
    decoded = decodeURIComponent(href);
  } catch {
    // A lone % is part of the name.
  }
  if (href === "" || /^[a-z][a-z0-9+.-]*:\/\//i.test(href) || href.startsWith("//"))
    refuse("points to another place");
  if (href.startsWith("/") || decoded.includes("\\") || decoded.includes("\0"))
    refuse("is not a path below the repository");
  if ([href, decoded].some((path) => path.split(/[/\\]/).includes("..")))
    refuse("leads out of the repository");
}

function joined(base: string, href: string, encode: (segment: string) => string): string {
  const url = new URL(base);
  const path = href.replace(/^(\.\/+)+/, "").split("/");
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/${path.map(encode).join("/")}`;
  return url.href;
}

/** `+` too, since S3 and CloudFront read it as a space; `~`, since apt does. */
function encodeSegment(segment: string): string {
  return segment
    .toWellFormed()
    .replace(/[^A-Za-z0-9\-._!$&'()*,;=:@]/gu, (char) => (char === "~" ? "%7e" : encodeURIComponent(char)));
}

const keepEncoded = (segment: string): string =>
  segment
    .toWellFormed()
    .replace(/[^A-Za-z0-9\-._~!$&'()*+,;=:@%]/gu, (char) => encodeURIComponent(char))
    .replace(/%(?![0-9A-Fa-f]{2})/g, "%25");

/** What content must be, as metadata promise it. */
export interface Expected {
  checksums: { algorithm: string; value: string }[];
  /** Bytes. */
  size?: number | undefined;
}

/**
 * The content of a place, checked while it is read: fails before its end when it is not what was
 * promised. @throws AirgapError `corrupt` naming file, expected and found; `network`
 */
export async function* checkedContent(
  http: Http,
  place: string,
  expected: Expected,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const hashes = expected.checksums.map(({ algorithm, value }) => ({
    hash: createHash(algorithm),
    algorithm,
    value,
  }));
  const what = describePlace(place);
  let size = 0;
  try {
    for await (const chunk of (await openAddress(http, place, undefined, signal)) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (expected.size !== undefined && size > expected.size)
        throw changed(what, `${expected.size} bytes`, "more");
      for (const { hash } of hashes) hash.update(chunk);
      yield chunk;
    }
  } catch (cause) {
    signal?.throwIfAborted();
    if (isAirgapError(cause)) throw cause;
    throw new AirgapError("network", `${what} broke off after ${size} bytes: ${messageOf(cause)}`, { cause });
  }
  if (expected.size !== undefined && size !== expected.size)
    throw changed(what, `${expected.size} bytes`, `${size}`);
  for (const { hash, algorithm, value } of hashes) {
    const found = hash.digest("hex");
    if (found !== value) throw changed(what, `${algorithm} ${value}`, found);
  }
}

function changed(what: string, expected: string, found: string): AirgapError {
  return new AirgapError(
    "corrupt",
    `${what} is not what its repository's metadata say: expected ${expected}, found ${found}`,
    {
      suggestions: [
        "run the same command again: a mirror that was just being updated is whole soon",
        "name another mirror of the repository in the spec",
      ],
    },
  );
}

/** The `file:` form of an absolute path; URLs stay. */
export function asUrl(place: string): string {
  return isRemote(place) || place.startsWith("file:") ? place : pathToFileURL(place).href;
}
