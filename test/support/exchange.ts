import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** What a request is about, read from its path. */
export type Target =
  | { kind: "ping" }
  | { kind: "manifest"; repository: string; reference: string }
  | { kind: "blob"; repository: string; digest: string }
  | { kind: "start-upload"; repository: string }
  | { kind: "upload"; repository: string; id: string }
  | { kind: "tags"; repository: string }
  | { kind: "referrers"; repository: string; digest: string }
  | { kind: "other" };

const ROUTES: [RegExp, (match: string[]) => Target][] = [
  [/^\/v2\/?$/, () => ({ kind: "ping" })],
  [
    /^\/v2\/(.+)\/manifests\/([^/]+)$/,
    ([, repository = "", reference = ""]) => ({ kind: "manifest", repository, reference }),
  ],
  [/^\/v2\/(.+)\/blobs\/uploads\/?$/, ([, repository = ""]) => ({ kind: "start-upload", repository })],
  [
    /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/,
    ([, repository = "", id = ""]) => ({ kind: "upload", repository, id }),
  ],
  [
    /^\/v2\/(.+)\/blobs\/([^/]+)$/,
    ([, repository = "", digest = ""]) => ({ kind: "blob", repository, digest }),
  ],
  [/^\/v2\/(.+)\/tags\/list$/, ([, repository = ""]) => ({ kind: "tags", repository })],
  [
    /^\/v2\/(.+)\/referrers\/([^/]+)$/,
    ([, repository = "", digest = ""]) => ({ kind: "referrers", repository, digest }),
  ],
];

/** One request with its answer, as hooks and servers of the tests see it. */
export class Exchange {
  readonly method: string;
  readonly url: URL;
  readonly target: Target;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Kept here, since the request loses it when its body is not read to the end. */
  readonly #socket: Socket;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.request = request;
    this.response = response;
    this.#socket = request.socket;
    this.method = request.method ?? "GET";
    this.url = new URL(request.url ?? "/", `http://${request.headers.host}`);
    this.target = targetOf(decodeURIComponent(this.url.pathname));
  }

  /** `PUT manifest`, `POST start-upload`: for counting. */
  get label(): string {
    return `${this.method} ${this.target.kind}`;
  }

  query(name: string): string | null {
    return this.url.searchParams.get(name);
  }

  header(name: string): string {
    return String(this.request.headers[name] ?? "");
  }

  async body(): Promise<Buffer> {
    return Buffer.concat(await this.request.toArray());
  }

  send(status: number, headers: Record<string, string | number> = {}, body: string | Uint8Array = ""): true {
    this.response.writeHead(status, { "content-length": Buffer.byteLength(body), ...headers });
    this.response.end(this.method === "HEAD" ? undefined : body);
    return true;
  }

  json(status: number, value: unknown, headers: Record<string, string> = {}): true {
    return this.send(status, { "content-type": "application/json", ...headers }, JSON.stringify(value));
  }

  /** An error as the distribution specification wants it. */
  fail(status: number, code: string, message = code, headers: Record<string, string> = {}): true {
    return this.json(status, { errors: [{ code, message }] }, headers);
  }

  /** Promises more bytes than it sends, and ends the connection. */
  sendLess(status: number, headers: Record<string, string | number>, body: Uint8Array): true {
    this.response.writeHead(status, headers);
    this.response.write(body);
    this.response.flushHeaders();
    this.#socket.end();
    return true;
  }

  /** Breaks the connection off without a word. */
  drop(): true {
    this.#socket.resetAndDestroy();
    return true;
  }

  get dropped(): boolean {
    return this.#socket.destroyed;
  }
}

function targetOf(path: string): Target {
  for (const [pattern, make] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return make(match);
  }
  return { kind: "other" };
}
