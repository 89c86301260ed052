import type { ServerResponse } from "node:http";
import { fillFrom, slice } from "../src/transport/region.ts";
import type { Region } from "../src/transport/types.ts";
import type { Exchange } from "./exchange.ts";
import type { OpenBlob } from "./library.ts";
import { type ByteRange, parseRange } from "./range.ts";

/** @throws Error when the file is shorter than it should be */
async function fill(region: Region, buffer: Buffer, at: number): Promise<number> {
  const { length } = await fillFrom(region, buffer, at);
  if (length === buffer.length) return length;
  throw new Error(`the file ends at ${at + length}, within content that should be there`);
}

/** Writes in turn; a client that has gone away ends the write, which may otherwise never call back. */
class Sink {
  readonly #res: ServerResponse;
  #fail: ((error: Error) => void) | undefined;
  #gone = false;

  constructor(res: ServerResponse) {
    this.#res = res;
    res.once("close", () => {
      this.#gone = true;
      this.#fail?.(new Error("the client went away"));
    });
  }

  /** Resolves when the buffer can be used again. */
  write(chunk: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#gone) {
        reject(new Error("the client went away"));
        return;
      }
      this.#fail = reject;
      this.#res.write(chunk, (error) => {
        this.#fail = undefined;
        if (error) reject(error);
        else resolve();
      });
    });
  }
}

/**
 * Sends bytes of an open file, with two buffers in turn, and no more memory for a slow client. @throws Error when the file is shorter than it should be, or the client goes away
 */
async function sendRegion(exchange: Exchange, region: Region): Promise<void> {
  const { size: length } = region;
  const buffers = exchange.buffers.take(length);
  const step = buffers[0].length;
  const sink = new Sink(exchange.res);
  let writing: Promise<void> = Promise.resolve();
  try {
    for (let done = 0, turn = 0; done < length; turn ^= 1) {
      const buffer = buffers[turn as 0 | 1];
      const count = await fill(region, buffer.subarray(0, Math.min(step, length - done)), done);
      await writing;
      writing = sink.write(count === buffer.length ? buffer : buffer.subarray(0, count));
      writing.catch(() => {});
      done += count;
      exchange.sent += count;
    }
    await writing;
  } catch (error) {
    // Before the buffers go to somebody else: what waits in this connection must not be sent any more.
    exchange.res.destroy();
    throw error;
  } finally {
    exchange.buffers.giveBack(buffers);
  }
}

/** Whether `If-None-Match` names the tag. RFC 9110, 13.1.2: weak comparison, `*` names all. */
function matchesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(",").some((entry) => entry.trim() === "*" || entry.trim().replace(/^W\//, "") === etag);
}

export interface Sendable {
  mediaType: string;
  /** Of the whole content. */
  digest: string;
  headers?: Record<string, string>;
}

/**
 * Answers a GET or HEAD with content that never changes under its digest: ETag, If-None-Match,
 * If-Range and single ranges. Closes the blob.
 */
export async function sendBlob(exchange: Exchange, blob: OpenBlob, about: Sendable): Promise<void> {
  try {
    const etag = `"${about.digest}"`;
    const headers = {
      "content-type": about.mediaType,
      "docker-content-digest": about.digest,
      etag,
      "accept-ranges": "bytes",
      ...about.headers,
    };
    if (matchesEtag(exchange.header("if-none-match"), etag)) return await exchange.reply(304, headers);
    const ifRange = exchange.header("if-range");
    const range =
      ifRange === undefined || ifRange === etag ? parseRange(exchange.header("range"), blob.size) : undefined;
    if (range === "unsatisfiable")
      return await exchange.reply(416, { "content-range": `bytes */${blob.size}`, etag });
    await sendRange(exchange, blob, range, headers);
  } finally {
    blob.close();
  }
}

async function sendRange(
  exchange: Exchange,
  blob: OpenBlob,
  range: ByteRange | undefined,
  headers: Record<string, string>,
): Promise<void> {
  const { start, end } = range ?? { start: 0, end: blob.size - 1 };
  const length = end - start + 1;
  const partial = range ? { "content-range": `bytes ${start}-${end}/${blob.size}` } : {};
  exchange.res.writeHead(range ? 206 : 200, { ...headers, ...partial, "content-length": length });
  if (!exchange.isHead && length > 0) await sendRegion(exchange, slice(blob, start, length));
  exchange.res.end();
}
