import type { IncomingMessage, ServerResponse } from "node:http";
import type { SendBuffers } from "./buffers.ts";
import { ApiError } from "./errors.ts";

type Headers = Record<string, string | number | string[]>;

/** Bytes of an unread body that we take in to be able to answer; beyond that the connection is closed. */
const MAX_DRAIN = 16 << 20;

/** One request and its answer. */
export class Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly buffers: SendBuffers;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Who is asking, once known. */
  user: string | undefined;
  /** Bytes of the body sent. */
  sent = 0;

  /** @throws ApiError 400 when the path cannot be decoded */
  constructor(req: IncomingMessage, res: ServerResponse, buffers: SendBuffers) {
    this.req = req;
    this.res = res;
    this.buffers = buffers;
    const target = req.url ?? "/";
    const mark = target.indexOf("?");
    this.query = new URLSearchParams(mark < 0 ? "" : target.slice(mark + 1));
    this.path = decodePath(mark < 0 ? target : target.slice(0, mark));
  }

  get method(): string {
    return this.req.method ?? "GET";
  }

  get isHead(): boolean {
    return this.method === "HEAD";
  }

  header(name: string): string | undefined {
    const value = this.req.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  }

  /** The declared length of the request's body; undefined for chunked encoding or none. */
  get contentLength(): number | undefined {
    const value = this.header("content-length");
    return value === undefined ? undefined : Number(value);
  }

  /** The request's body. Tells a client that waits for 100 Continue to go on. The answer may be sent before all of it is read. */
  body(): AsyncIterable<Buffer> {
    if (this.header("expect")?.toLowerCase() === "100-continue") this.res.writeContinue();
    return this.req.iterator({ destroyOnReturn: false });
  }

  /** The whole body. @throws ApiError `tooLarge` when it has more than `limit` bytes */
  async bytes(limit: number, tooLarge: () => ApiError): Promise<Buffer> {
    if ((this.contentLength ?? 0) > limit) throw tooLarge();
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.body()) {
      size += chunk.length;
      if (size > limit) throw tooLarge();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, size);
  }

  /** Does long work without a byte on the wire; the connection does not time out meanwhile. */
  async unhurried<T>(work: () => Promise<T>): Promise<T> {
    const { socket } = this.req;
    const timeout = socket.timeout ?? 0;
    socket.setTimeout(0);
    try {
      return await work();
    } finally {
      socket.setTimeout(timeout);
    }
  }

  /** Answers without a body, or with a small one. HEAD gets the headers only. */
  async reply(status: number, headers: Headers, body: string | Buffer = ""): Promise<void> {
    await this.drain();
    const bytes = typeof body === "string" ? Buffer.from(body) : body;
    const bodiless = status === 204 || status === 304;
    this.res.writeHead(status, bodiless ? headers : { "content-length": bytes.length, ...headers });
    if (bodiless || this.isHead) this.res.end();
    else {
      this.sent += bytes.length;
      this.res.end(bytes);
    }
  }

  async json(status: number, value: unknown, headers: Headers = {}): Promise<void> {
    await this.reply(status, { "content-type": "application/json", ...headers }, JSON.stringify(value));
  }

  async fail(error: ApiError): Promise<void> {
    if (this.res.headersSent) {
      this.res.destroy();
      return;
    }
    await this.reply(error.status, { "content-type": "application/json", ...error.headers }, error.body());
  }

  /**
   * Reads what the client is still sending, so that it gets our answer instead of a reset
   * connection; too much, and the connection ends with the answer.
   */
  private async drain(): Promise<void> {
    if (this.req.complete || this.req.destroyed) return;
    if (this.header("expect") !== undefined || (this.contentLength ?? 0) > MAX_DRAIN) {
      this.res.setHeader("connection", "close");
      return;
    }
    let size = 0;
    await new Promise<void>((resolve) => {
      const done = (): void => resolve();
      this.req.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_DRAIN) {
          this.req.pause();
          this.res.setHeader("connection", "close");
          done();
        }
      });
      this.req.once("end", done).once("close", done).once("error", done);
      this.req.resume();
    });
  }
}

function decodePath(raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch {
    throw new ApiError(400, "NAME_INVALID", "the path is not properly encoded");
  }
}
