import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import pLimit from "p-limit";
import { replaceFile } from "../atomic.ts";
import { AirgapError, isAirgapError } from "../errors.ts";
import type { ResolveContext } from "../lock/resolved.ts";
import type { Digest } from "../oci/digest.ts";
import type { Source } from "../transport/types.ts";
import { UrlSource } from "../transport/url.ts";
import { checkedContent } from "./locations.ts";
import { fromMirrors } from "./mirrors.ts";
import type { ChosenPackage } from "./types.ts";

const CONCURRENCY = 8;
/** Missing packages that an error names. */
const MAX_NAMED = 20;

/** A stretch of a package that must be what its head says. Bytes. */
export interface Part {
  what: string;
  from: number;
  /** To the end of the file when absent. */
  to?: number;
  algorithm: string;
  value: string;
}

export interface Placed {
  digest: Digest;
  /** A copy that had to be fetched whole already. */
  copy?: string;
}

/**
 * Does something for each of many packages, a few at a time. Packages that are missing are named
 * together; any other failure ends it at once.
 */
export async function forEachPackage<In, Out>(items: In[], work: (item: In) => Promise<Out>): Promise<Out[]> {
  const limit = pLimit(CONCURRENCY);
  const missing: AirgapError[] = [];
  const unlessMissing = (error: unknown): undefined => {
    if (!isAirgapError(error, "not-found")) throw error;
    missing.push(error);
  };
  try {
    const done = await Promise.all(items.map((item) => limit(() => work(item).catch(unlessMissing))));
    if (missing.length === 0) return done as Out[];
  } finally {
    limit.clearQueue();
  }
  throw missing.length === 1 ? missing[0] : severalMissing(missing);
}

function severalMissing(missing: AirgapError[]): AirgapError {
  const messages = missing.map(({ message }) => message).toSorted();
  const more = messages.length > MAX_NAMED ? `; and ${messages.length - MAX_NAMED} more` : "";
  return new AirgapError(
    "not-found",
    `${messages.length} packages are missing: ${messages.slice(0, MAX_NAMED).join("; ")}${more}`,
    {
      suggestions: [
        "build again when the repository has been updated: its metadata name packages that it does not have",
      ],
    },
  );
}

/**
 * The digest under which a package is carried. Metadata of old repositories give sha1 or md5 only:
 * those packages are fetched now, checked, and kept.
 */
export async function placePackage(chosen: ChosenPackage, context: ResolveContext): Promise<Placed> {
  const { algorithm, value } = chosen.checksum;
  if (algorithm === "sha256" || algorithm === "sha512") return { digest: `${algorithm}:${value}` };
  const dir = join(context.cacheDir, "packages", "files");
  const copy = join(dir, `${algorithm}-${value}`);
  await mkdir(dir, { recursive: true });
  const present = await stat(copy).catch(() => undefined);
  if (present?.isFile()) return { digest: await fetchWhole(chosen, copy, undefined, context.signal), copy };
  if (chosen.places.length === 0)
    throw new AirgapError("not-found", `${chosen.id} has no place to fetch it from`);
  return {
    digest: await fromMirrors(
      chosen.places,
      (place) => fetchWhole(chosen, place, copy, context.signal),
      context.signal,
    ),
    copy,
  };
}

/** Reads and checks a package; what is read is kept in `copy`. @returns the digest of its content */
async function fetchWhole(
  chosen: ChosenPackage,
  place: string,
  copy: string | undefined,
  signal: AbortSignal | undefined,
): Promise<Digest> {
  const hash = createHash("sha256");
  const content = checkedContent(
    chosen.http,
    place,
    { checksums: [chosen.checksum], size: chosen.size },
    signal,
  );
  const hashed = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of content) {
      hash.update(chunk);
      yield chunk;
    }
  };
  if (copy === undefined) for await (const _ of hashed());
  else await replaceFile(copy, (draft) => pipeline(hashed, createWriteStream(draft)), { durable: false });
  return `sha256:${hash.digest("hex")}`;
}

/** Where the bytes of a package come from, with every check that can be made while they pass. */
export function packageSource(
  of: { id: string; places: string[]; http: ChosenPackage["http"]; size: number },
  placed: Placed,
  parts: Part[],
): Source {
  const descriptor = { mediaType: "application/octet-stream", digest: placed.digest, size: of.size };
  const places = placed.copy ? [placed.copy, ...of.places] : of.places;
  return new UrlSource({
    places,
    descriptor,
    http: of.http,
    inspect: (chunks) => checkParts(chunks, parts, of.id),
  });
}

/** Passes content through and compares its parts: a mirror may hand out another file than the one whose head was looked at. */
async function* checkParts(chunks: AsyncIterable<Buffer>, parts: Part[], id: string): AsyncGenerator<Buffer> {
  const open = parts.map((part) => ({ ...part, hash: createHash(part.algorithm) }));
  let at = 0;
  for await (const chunk of chunks) {
    for (const { from, to = Number.POSITIVE_INFINITY, hash } of open) {
      const start = Math.max(0, from - at);
      const end = Math.min(chunk.length, to - at);
      if (start < end) hash.update(chunk.subarray(start, end));
    }
    at += chunk.length;
    yield chunk;
  }
  for (const { what, algorithm, value, hash } of open) {
    const found = hash.digest("hex");
    if (found !== value)
      throw new AirgapError(
        "corrupt",
        `${id}: its ${what} is not what its signed header says: expected ${algorithm} ${value}, found ${found}`,
      );
  }
}
