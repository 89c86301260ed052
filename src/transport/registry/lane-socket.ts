import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { AirgapError } from "../../errors.ts";
import { redactUrl } from "../../http.ts";
import { Pace } from "../../pace.ts";
import type { TlsTrust } from "../../tls.ts";

/**
 * All connections read into this buffer in turn: a consumer has finished with
 * its bytes before the next are read. The buffer stays in the processor's cache.
 */
const BUFFER = Buffer.allocUnsafeSlow(256 * 1024);
const MAX_HEAD = 64 * 1024;
const SILENCE_MS = 60_000;

/** The head of an answer. Header names in lower case. */
export interface LaneHead {
  status: number;
  headers: Record<string, string>;
}

/** The error of an exchange that broke before its head came, on an idle connection: the server had closed it. */
export class StaleConnection extends Error {}

interface Exchange {
  head(head: LaneHead): number;
  sink(chunk: Uint8Array): void;
  resolve(): void;
  reject(error: Error): void;
}

/**
 * One HTTP/1.1 connection that reads into one reused buffer: it does not allocate each chunk, which
 * costs most when reading blobs. Accepts only plain answers: those with Content-Length.
 */
export class LaneSocket {
  readonly #socket: Socket;
  readonly #url: URL;
  #exchange: Exchange | undefined;
  /** The bytes of an incomplete head. */
  #head: Buffer | undefined;
  /** Bytes of the body still to come; undefined while the head is read. */
  #left: number | undefined;
  #used = false;
  #keepAlive = true;
  #closed = false;
  #pace = new Pace();
  #readAt = 0;

  /** @param onClose told once, when the connection is gone */
  constructor(url: URL, tls: TlsTrust, onClose: () => void = () => {}) {
    this.#url = url;
    const onread = {
      buffer: BUFFER,
      callback: (count: number, bytes: Uint8Array): boolean => this.#read(bytes as Buffer, count),
    };
    const { version } = tls;
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
    this.#socket =
      url.protocol === "https:"
        ? connectTls({
            host,
            port,
            onread,
            ALPNProtocols: ["http/1.1"],
            ...tls.options(),
            ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
          } as unknown as ConnectionOptions)
        : connectTcp({ host, port, onread });
    this.#socket.setNoDelay(true);
    this.#socket.setTimeout(SILENCE_MS, () =>
      this.#socket.destroy(new Error(`nothing came for ${SILENCE_MS / 1000} s`)),
    );
    this.#socket.on("error", (error) => {
      // The next connection believes more.
      tls.widen(error, version);
      this.#fail(error);
    });
    this.#socket.on("end", () => this.#fail(new Error("the connection was closed")));
    this.#socket.on("close", () => {
      onClose();
      this.#fail(new Error("the connection was closed"));
    });
  }

  /** Whether another request may follow. */
  get reusable(): boolean {
    return this.#keepAlive && !this.#closed && this.#exchange === undefined;
  }

  /**
   * Sends a GET and reads the answer.
   * @param onHead gives the number of body bytes to read (all of Content-Length), or throws
   * @param sink gets the body; a chunk is valid during the call only
   */
  get(
    url: URL,
    headers: Record<string, string>,
    onHead: (head: LaneHead) => number,
    sink: (chunk: Uint8Array) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const lines = Object.entries({
      host: url.host,
      "user-agent": "airgap",
      accept: "*/*",
      "accept-encoding": "identity",
      ...headers,
    });
    for (const [name, value] of lines)
      if (/[\r\n]/.test(value))
        throw new AirgapError("protocol", `the header ${name} for ${redactUrl(url)} has a line break`);
    return new Promise<void>((resolve, reject) => {
      const abort = (): void =>
        this.#fail(signal?.reason instanceof Error ? signal.reason : new Error("aborted"));
      const settled = (): void => signal?.removeEventListener("abort", abort);
      this.#exchange = {
        head: onHead,
        sink,
        resolve: () => {
          settled();
          resolve();
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      };
      this.#head = undefined;
      this.#left = undefined;
      this.#pace = new Pace();
      this.#readAt = performance.now();
      signal?.addEventListener("abort", abort, { once: true });
      if (this.#closed) return this.#fail(new StaleConnection("closed"));
      this.#socket.ref();
      this.#socket.write(
        `GET ${url.pathname}${url.search} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`,
        "latin1",
      );
    });
  }

  /** An idle connection does not keep the process alive. */
  rest(): void {
    this.#socket.unref();
  }

  destroy(): void {
    this.#closed = true;
    this.#socket.destroy();
  }

  #read(buffer: Buffer, count: number): boolean {
    let chunk = buffer.subarray(0, count);
    try {
      if (this.#exchange === undefined) throw new Error("the server sent bytes without a request");
      const now = performance.now();
      this.#pace.count(count, now - this.#readAt);
      this.#readAt = now;
      if (this.#left === undefined) {
        const body = this.#readHead(chunk);
        if (body === undefined) return true;
        chunk = body;
      }
      this.#readBody(chunk);
    } catch (error) {
      this.#fail(error as Error);
    }
    return true;
  }

  /** Gives the bytes after the head, once the head is complete. */
  #readHead(chunk: Buffer): Buffer | undefined {
    const bytes = this.#head === undefined ? chunk : Buffer.concat([this.#head, chunk]);
    const end = bytes.indexOf("\r\n\r\n");
    if (end < 0) {
      if (bytes.length > MAX_HEAD)
        throw new AirgapError(
          "protocol",
          `${redactUrl(this.#url)} answered with more than ${MAX_HEAD} bytes of headers`,
        );
      // The chunk's memory will be overwritten.
      this.#head = Buffer.from(bytes);
      return undefined;
    }
    const head = parseHead(bytes.toString("latin1", 0, end), this.#url);
    const rest = bytes.subarray(end + 4);
    this.#head = undefined;
    if (head.status >= 100 && head.status < 200) return this.#readHead(rest);
    this.#keepAlive =
      !/\bclose\b/i.test(head.headers["connection"] ?? "") && head.headers["transfer-encoding"] === undefined;
    this.#left = this.#exchange?.head(head) ?? 0;
    return rest;
  }

  #readBody(chunk: Buffer): void {
    const exchange = this.#exchange as Exchange;
    const left = this.#left as number;
    if (chunk.length > left)
      throw new AirgapError("protocol", `${redactUrl(this.#url)} sent more bytes than it announced`);
    if (chunk.length > 0) exchange.sink(chunk);
    this.#left = left - chunk.length;
    if (this.#left > 0) return;
    this.#used = true;
    this.#exchange = undefined;
    exchange.resolve();
  }

  #fail(error: Error): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#keepAlive = false;
    this.#closed = true;
    this.#socket.destroy();
    const stale =
      this.#used && this.#left === undefined && this.#head === undefined && !(error instanceof AirgapError);
    exchange?.reject(stale ? new StaleConnection(error.message) : error);
  }
}

function parseHead(text: string, url: URL): LaneHead {
  const [first = "", ...lines] = text.split("\r\n");
  const match = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first);
  if (match === null)
    throw new AirgapError(
      "protocol",
      `${redactUrl(url)} does not answer in HTTP/1.1: ${JSON.stringify(first.slice(0, 80))}`,
    );
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return { status: Number(match[1]), headers };
}
