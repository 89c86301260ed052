import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve as resolvePath } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { AirgapError, isAirgapError, messageOf } from "../errors.ts";
import { type Http, redactUrl } from "../http.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { FetchOptions, Range, Source } from "./types.ts";
import { verifiedStream } from "./verify.ts";

/** Tries after a stream broke off, each from where it stopped. */
const RESUMES = 5;

/** Whether `place` is reached over the network; otherwise it is a `file:` URL or a path. */
export const isRemote = (place: string): boolean => /^https?:/i.test(place);

/** How a place is named in messages and in a lock: without credentials. */
export function describePlace(place: string): string {
  return isRemote(place) ? redactUrl(place) : place;
}

/** The path that a `file:` URL or a plain path stands for. */
export function localPath(place: string): string {
  return /^file:/i.test(place) ? fileURLToPath(place) : resolvePath(place);
}

/**
 * Opens an https:, http: or file: URL, or a path, at an offset. A server that ignores the range is
 * read from its start and the bytes before it are dropped.
 * @throws AirgapError `not-found`, `unauthorized`, `refused`, `network`
 */
export async function openPlace(
  http: Http,
  place: string,
  range: Range = { offset: 0 },
  signal?: AbortSignal,
): Promise<Readable> {
  return isRemote(place) ? openUrl(http, place, range, signal) : openFile(place, range);
}

/** Opens a path or `file:` URL at an offset. @throws AirgapError `not-found`, `disk` */
export async function openFile(place: string, { offset, length }: Range): Promise<Readable> {
  const path = localPath(place);
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new AirgapError(
      cause.code === "ENOENT" || cause.code === "ENOTDIR" ? "not-found" : "disk",
      `${path} can't be read`,
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
): Promise<Readable> {
  const ranged = offset > 0 || length !== undefined;
  const end = length === undefined ? "" : String(offset + length - 1);
  const response = await http.request(url, {
    headers: { "accept-encoding": "identity", ...(ranged ? { range: `bytes=${offset}-${end}` } : {}) },
    ...(signal ? { signal } : {}),
  });
  if (response.status === 206 && response.headers["content-range"]?.startsWith(`bytes ${offset}-`))
    return response.body;
  if (response.status === 200) return ranged ? slice(response.body, offset, length) : response.body;
  await response.discard();
  throw statusError(url, response.status);
}

function statusError(url: string, status: number): AirgapError {
  const code =
    status === 404 || status === 410
      ? "not-found"
      : status === 401 || status === 403
        ? "unauthorized"
        : "refused";
  const hint = code === "unauthorized" ? "; the host may want credentials or a client certificate" : "";
  return new AirgapError(code, `GET ${redactUrl(url)} answered HTTP ${status}${hint}`);
}

/** The part of a stream that was asked for; the rest is not read. */
function slice(stream: Readable, offset: number, length = Number.POSITIVE_INFINITY): Readable {
  return Readable.from(
    (async function* () {
      let at = 0;
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        const from = Math.max(0, offset - at);
        const to = Math.min(chunk.length, offset + length - at);
        at += chunk.length;
        if (from < to) yield chunk.subarray(from, to);
        if (at >= offset + length) break;
      }
      stream.destroy();
    })(),
    { objectMode: false },
  );
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
  const stream = await openPlace(http, place, range, signal);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit)
        throw new AirgapError(
          "protocol",
          `${describePlace(place)} has more than ${limit} bytes, too many for what was asked`,
        );
      chunks.push(chunk);
    }
  } catch (cause) {
    if (isAirgapError(cause)) throw cause;
    throw new AirgapError(
      "network",
      `${describePlace(place)} broke off after ${size} bytes: ${messageOf(cause)}`,
      { cause },
    );
  }
  return Buffer.concat(chunks, size);
}

export interface UrlSourceOptions {
  /** Where the same content is, in the order to try: https:, http: and file: URLs or paths. */
  places: string[];
  descriptor: Descriptor;
  http: Http;
  /** Looks at the whole content as it passes, besides the check of its digest. */
  inspect?: (chunks: AsyncIterable<Buffer>) => AsyncIterable<Buffer>;
}

/**
 * One file whose digest and size are known before it is fetched. A transfer that breaks off goes
 * on where it stopped, at the next place when the same one fails again.
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

  /** Gives `size` bytes from `offset` on; a whole file is read to its real end, so that too many bytes are seen. */
  async *#read(offset: number, size: number, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const whole = offset + size === this.#descriptor.size;
    let done = 0;
    for (let attempt = 0; ; attempt++) {
      const place = this.#places[attempt % this.#places.length] as string;
      try {
        const range: Range = whole
          ? { offset: offset + done }
          : { offset: offset + done, length: size - done };
        for await (const chunk of (await openPlace(
          this.#http,
          place,
          range,
          signal,
        )) as AsyncIterable<Buffer>) {
          done += chunk.length;
          yield chunk;
        }
        if (done >= size) return;
        throw new Error(`it ended after ${offset + done} of ${this.#descriptor.size} bytes`);
      } catch (error) {
        signal?.throwIfAborted();
        if (done >= size) throw error;
        const last = attempt + 1 >= Math.max(RESUMES, this.#places.length);
        const hopeless = isAirgapError(error) && this.#places.length === 1;
        if (!last && !hopeless) continue;
        if (isAirgapError(error)) throw error;
        throw new AirgapError(
          "network",
          `${describePlace(place)} broke off ${attempt + 1} times: ${messageOf(error)}`,
          { cause: error },
        );
      }
    }
  }
}
