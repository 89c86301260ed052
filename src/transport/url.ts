import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve as resolvePath } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import { type Http, type HttpResponse, redactUrl } from "../http.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { isSameOrigin } from "../origin.ts";
import type { Tries } from "../retry.ts";
import type { FetchOptions, Range, Source } from "./types.ts";
import { verifiedStream } from "./verify.ts";

/** Whether `place` is reached over the network; otherwise it is a `file:` URL or a path. */
export const isRemote = (place: string): boolean => /^https?:/i.test(place);

/** The name of a place in messages and in a lock: without credentials. */
export function describePlace(place: string): string {
  return isRemote(place) ? redactUrl(place) : place;
}

/** The path that a `file:` URL or a plain path stands for. */
export function localPath(place: string): string {
  return /^file:/i.test(place) ? fileURLToPath(place) : resolvePath(place);
}

/**
 * Opens an https:, http: or file: URL, or a path, at an offset. When a server ignores the range, it is
 * read from its start and the bytes before it are dropped.
 * @throws AirgapError `not-found`, `unauthorized`, `refused`, `network`
 */
export async function openAddress(
  http: Http,
  place: string,
  range: Range = { offset: 0 },
  signal?: AbortSignal,
  tries?: Tries,
): Promise<AsyncIterable<Buffer>> {
  return isRemote(place) ? openUrl(http, place, range, signal, tries) : openFile(place, range);
}

/** Opens a path or `file:` URL at an offset. @throws AirgapError `not-found`, `disk` */
export async function openFile(place: string, { offset, length }: Range): Promise<Readable> {
  const path = localPath(place);
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new AirgapError(
      cause.code === "ENOENT" || cause.code === "ENOTDIR" ? "not-found" : "disk",
      `Cannot read ${path}: ${messageOf(cause)}`,
      { cause },
    );
  });
  if (!found.isFile()) throw new AirgapError("not-found", `${path} is not a file`);
  if (length === 0) return Readable.from([]);
  return createReadStream(path, {
    start: offset,
    ...(length === undefined ? {} : { end: offset + length - 1 }),
  });
}

async function openUrl(
  http: Http,
  url: string,
  { offset, length }: Range,
  signal?: AbortSignal,
  tries?: Tries,
): Promise<AsyncIterable<Buffer>> {
  const ranged = offset > 0 || length !== undefined;
  const end = length === undefined ? "" : String(offset + length - 1);
  const response = await http.request(url, {
    headers: { "accept-encoding": "identity", ...(ranged ? { range: `bytes=${offset}-${end}` } : {}) },
    ...(signal ? { signal } : {}),
    ...(tries ? { tries } : {}),
  });
  if (response.status === 206 && response.headers["content-range"]?.startsWith(`bytes ${offset}-`))
    return response.chunks();
  if (response.status === 200) return ranged ? slice(response.chunks(), offset, length) : response.chunks();
  await response.discard();
  throw statusError(url, response);
}

function statusError(asked: string, { status, url }: HttpResponse): AirgapError {
  const code =
    status === 404 || status === 410
      ? "not-found"
      : status === 401 || status === 403
        ? "unauthorized"
        : status >= 500
          ? "network"
          : "refused";
  const moved = isSameOrigin(new URL(asked), new URL(url))
    ? ""
    : ` from ${redactUrl(url)}, the target of its redirect`;
  return new AirgapError(code, `GET ${redactUrl(asked)} answered HTTP ${status}${moved}`, {
    suggestions: code === "unauthorized" ? loginSuggestions(moved !== "") : [],
  });
}

function loginSuggestions(moved: boolean): string[] {
  return moved
    ? ["write the target of the redirect into the spec: a login is only sent to its own host"]
    : ["give a login: `user:` and `passwordEnv:` beside the URL in the spec, or an entry in ~/.netrc"];
}

/** The wanted part of a stream; the rest is not read. */
async function* slice(
  chunks: AsyncIterable<Buffer>,
  offset: number,
  length = Number.POSITIVE_INFINITY,
): AsyncGenerator<Buffer> {
  let at = 0;
  for await (const chunk of chunks) {
    const from = Math.max(0, offset - at);
    const to = Math.min(chunk.length, offset + length - at);
    at += chunk.length;
    if (from < to) yield chunk.subarray(from, to);
    if (at >= offset + length) return;
  }
}

/** At most `limit` bytes of a place. @throws AirgapError `protocol` when there are more */
export async function readPlace(
  http: Http,
  place: string,
  limit: number,
  range?: Range,
  signal?: AbortSignal,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of streamPlace(http, place, range, signal)) {
    size += chunk.length;
    if (size > limit)
      throw new AirgapError(
        "protocol",
        `${describePlace(place)} has more than ${limit} bytes, more than airgap accepts here`,
      );
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** The bytes of a place whose content is not known yet. @throws AirgapError `network` when it breaks off */
export async function* streamPlace(
  http: Http,
  place: string,
  range?: Range,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  let size = 0;
  const chunks = await openAddress(http, place, range, signal);
  try {
    for await (const chunk of chunks) {
      size += chunk.length;
      yield chunk;
    }
  } catch (cause) {
    signal?.throwIfAborted();
    if (isAirgapError(cause)) throw cause;
    throw new AirgapError(
      "network",
      `${describePlace(place)} broke off after ${size} bytes: ${messageOf(cause)}`,
      { cause },
    );
  }
}

export interface UrlSourceOptions {
  /** Places that have the same content, in the order to try: https:, http: and file: URLs or paths. */
  places: string[];
  descriptor: Descriptor;
  http: Http;
  /** A further check of the whole content while it is read, besides the check of its digest. */
  inspect?: (chunks: AsyncIterable<Buffer>) => AsyncIterable<Buffer>;
}

/**
 * One file whose digest and size are known before it is fetched. A transfer that breaks off is
 * resumed where it stopped, from the next place when the same place fails again.
 */
export class UrlSource implements Source {
  readonly name: string;
  readonly #places: string[];
  readonly #descriptor: Descriptor;
  readonly #http: Http;
  readonly #inspect: NonNullable<UrlSourceOptions["inspect"]>;

  constructor({ places, descriptor, http, inspect = (chunks) => chunks }: UrlSourceOptions) {
    this.name = describePlace(places[0] ?? "nowhere");
    this.#places = places;
    this.#descriptor = descriptor;
    this.#http = http;
    this.#inspect = inspect;
  }

  async resolve(reference: string): Promise<Descriptor> {
    if (reference === this.#descriptor.digest) return this.#descriptor;
    throw new AirgapError("not-found", `${this.name} is not ${reference}`);
  }

  async fetch(descriptor: Descriptor, options: FetchOptions = {}): Promise<Readable> {
    const { offset = 0, length } = options.range ?? {};
    const size = Math.min(length ?? descriptor.size, descriptor.size - offset);
    const chunks = this.#read(offset, size, options.signal);
    return options.range
      ? Readable.from(chunks, { objectMode: false })
      : verifiedStream(this.#inspect(chunks), descriptor, this.name);
  }

  /** Gives `size` bytes from `offset` on; a whole file is read to its real end, so that surplus bytes are detected. */
  async *#read(offset: number, size: number, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const whole = offset + size === this.#descriptor.size;
    let done = 0;
    let failure: unknown;
    for (const place of this.#places) {
      const rest = (): Range =>
        whole ? { offset: offset + done } : { offset: offset + done, length: size - done };
      try {
        for await (const chunk of this.#readPlace(place, rest, signal)) {
          done += chunk.length;
          yield chunk;
        }
        return;
      } catch (error) {
        signal?.throwIfAborted();
        if (done >= size || isAirgapError(error, "interrupted")) throw error;
        failure ??= error;
      }
    }
    throw failure;
  }

  /** The missing bytes, from one place; resumed there as long as that may help. */
  async *#readPlace(place: string, rest: () => Range, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const tries = isRemote(place) ? this.#http.tries(place, signal ? { signal } : {}) : undefined;
    const end = this.#descriptor.size;
    for (;;) {
      const { offset, length = end - offset } = rest();
      let came = 0;
      let broken: unknown;
      try {
        for await (const chunk of await openAddress(this.#http, place, rest(), signal, tries)) {
          came += chunk.length;
          yield chunk;
        }
      } catch (error) {
        signal?.throwIfAborted();
        if (isAirgapError(error) || came >= length) throw error;
        broken = error;
      }
      if (came >= length) return;
      const reason =
        broken === undefined ? `it ended after ${offset + came} of ${end} bytes` : messageOf(broken);
      const setback = { reason, ...(broken instanceof Error ? { error: broken } : {}) };
      if (await tries?.resume(came, setback)) continue;
      throw new AirgapError(
        "network",
        `${describePlace(place)} broke off${tries === undefined ? "" : ` ${tries.failed} times`}: ${reason}`,
        { cause: broken },
      );
    }
  }
}
