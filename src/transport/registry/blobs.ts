import { AirgapError, messageOf } from "../../errors.ts";
import type { HttpResponse } from "../../http.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { isManifestLike } from "../../oci/media-types.ts";
import type { Tries } from "../../retry.ts";
import type { Range } from "../types.ts";
import { failure, protocolError } from "./answer.ts";
import { nameFor, pathOf, type Repository } from "./manifests.ts";

export interface BlobAsk {
  repository: Repository;
  descriptor: Descriptor;
  range?: Range;
  /** The publisher's URL of a foreign layer; fetched without credentials. */
  urls?: string[];
  /** The count of tries, when some were made already. */
  tries?: Tries;
  signal?: AbortSignal;
}

const rangeHeader = (from: number, end: number): string => `bytes=${from}-${end - 1}`;

/** A 206 is accepted only when it starts at the requested byte. RFC 9110, 15.3.7. */
function startsAt(response: HttpResponse, from: number): boolean {
  const match = /^bytes (\d+)-(\d+)\/(?:\d+|\*)$/.exec(response.headers["content-range"] ?? "");
  return match !== null && Number(match[1]) === from;
}

/** Leaves out the first `skip` bytes, and everything after `length` more. */
async function* cut(
  chunks: AsyncIterable<Uint8Array>,
  skip: number,
  length: number,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const chunk of chunks) {
    const part = chunk.subarray(Math.max(0, skip - at), Math.max(0, skip + length - at));
    at += chunk.length;
    if (part.length > 0) yield part;
    if (at >= skip + length) return;
  }
}

async function ask(
  target: string | URL,
  request: BlobAsk,
  headers: Record<string, string>,
  foreign: boolean,
  tries: Tries,
): Promise<HttpResponse> {
  const { client, scopes } = request.repository;
  const signal = request.signal ? { signal: request.signal } : {};
  return foreign
    ? await client.http.request(target, { headers, tries, anonymous: true, ...signal })
    : await client.send(target, { headers, scopes, tries, ...signal });
}

/** Bytes `from` … `end - 1` as one answer gives them; the answer may break off. */
async function* once(
  target: string | URL,
  request: BlobAsk,
  from: number,
  end: number,
  foreign: boolean,
  tries: Tries,
): AsyncGenerator<Uint8Array> {
  const { descriptor, repository } = request;
  const whole = from === 0 && end === descriptor.size;
  const response = await ask(target, request, whole ? {} : { range: rangeHeader(from, end) }, foreign, tries);
  if (response.status === 200) {
    // A whole blob is not cut, so that surplus bytes are detected.
    yield* whole ? response.chunks() : cut(response.chunks(), from, end - from);
    return;
  }
  if (response.status !== 206)
    throw await failure(response, nameFor(repository, descriptor.digest), repository.client.host);
  if (whole || !startsAt(response, from)) {
    response.abandon();
    throw protocolError(
      response,
      `answered with ${response.headers["content-range"] ?? "no range"} when asked for bytes from ${from}`,
    );
  }
  yield* cut(response.chunks(), 0, end - from);
}

/**
 * The bytes of a blob or of a range of it. A transfer that breaks off is resumed where it stopped,
 * also against servers that ignore Range. Nothing is hashed here.
 */
export async function* blobBytes(
  target: string | URL,
  request: BlobAsk,
  foreign = false,
): AsyncGenerator<Uint8Array> {
  const { descriptor, range = { offset: 0 }, repository, signal } = request;
  const end = range.length === undefined ? descriptor.size : range.offset + range.length;
  const tries = request.tries ?? repository.client.tries(target, signal);
  for (let at = range.offset; ; ) {
    const before = at;
    let broken: unknown;
    try {
      for await (const chunk of once(target, request, at, end, foreign, tries)) {
        at += chunk.length;
        yield chunk;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof AirgapError) throw error;
      broken = error;
    }
    // An answer that ends early, for example in chunked encoding, counts as one that breaks off.
    if (at >= end || (at === before && broken === undefined)) return;
    const reason = broken === undefined ? "it ended early" : messageOf(broken);
    const setback = { reason, ...(broken instanceof Error ? { error: broken } : {}) };
    if (await tries.resume(at - before, setback)) continue;
    throw new AirgapError(
      "network",
      `${nameFor(repository, descriptor.digest)} broke off ${tries.failed} times, the last time at byte ${at}: ${reason}`,
      { cause: broken },
    );
  }
}

/** The path of a descriptor's content: manifests and blobs are kept apart. */
export function contentPath(repository: Repository, descriptor: Descriptor): string {
  return pathOf(repository, isManifestLike(descriptor.mediaType) ? "manifests" : "blobs", descriptor.digest);
}
