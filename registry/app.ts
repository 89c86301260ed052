import type { IncomingMessage, ServerResponse } from "node:http";
import { messageOf } from "../src/errors.ts";
import { checkWriter, isWrite, refuseBrowsers, type Writers } from "./access.ts";
import type { Htpasswd } from "./auth.ts";
import { SendBuffers } from "./buffers.ts";
import { ApiError } from "./errors.ts";
import { Exchange } from "./exchange.ts";
import { sendPath } from "./files.ts";
import type { Library } from "./library.ts";
import { Metrics } from "./metrics.ts";
import { type Authority, sendHome, sendNotFound } from "./page/page.ts";
import { Reader } from "./read.ts";
import { parseRoute, type Route } from "./routes.ts";
import { isDiskFull } from "./store/intake.ts";
import type { Store } from "./store/store.ts";
import { Uploader } from "./upload.ts";
import { Writer } from "./write.ts";

/** One line of the access log. */
export interface AccessEntry {
  /** When the request came, ISO 8601. */
  time: string;
  remote: string;
  user?: string;
  method: string;
  /** With the query; never a header. */
  url: string;
  status: number;
  /** Of the answer's body. */
  bytes: number;
  ms: number;
  agent?: string;
  /** Why the answer is an error, or ended early. */
  error?: string;
}

export interface AppOptions {
  library: Library;
  store?: Store | undefined;
  users?: Htpasswd | undefined;
  writers: Writers;
  scheme: "http" | "https";
  /** Of a certificate that we made: clients may fetch it. */
  authority?: Authority | undefined;
  log?: ((entry: AccessEntry) => void) | undefined;
}

interface Finished {
  req: IncomingMessage;
  res: ServerResponse;
  started: number;
  remote: string;
  exchange: Exchange | undefined;
  failure: string | undefined;
}

type Action = (exchange: Exchange) => Promise<void>;

/** From a request to its answer. */
export class App {
  readonly #options: AppOptions;
  readonly #buffers = new SendBuffers();
  readonly #metrics = new Metrics();
  readonly #reader: Reader;
  readonly #writer: { manifests: Writer; uploads: Uploader } | undefined;

  constructor(options: AppOptions) {
    const { library, store } = options;
    this.#options = options;
    this.#reader = new Reader(library);
    this.#writer = store && { manifests: new Writer(store, library), uploads: new Uploader(store, library) };
  }

  async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const started = Date.now();
    this.#metrics.begin();
    let exchange: Exchange | undefined;
    let failure: string | undefined;
    res.setHeader("x-content-type-options", "nosniff");
    // What was pushed says itself of which type it is: a browser must not run it.
    res.setHeader("content-security-policy", "default-src 'none'; sandbox");
    const remote = req.socket.remoteAddress ?? "";
    res.once("close", () => this.#log({ req, res, started, remote, exchange, failure }));
    try {
      exchange = new Exchange(req, res, this.#buffers);
      await this.#answer(exchange);
    } catch (error) {
      failure = messageOf(error);
      await fail(exchange, res, error);
    }
  }

  async #answer(exchange: Exchange): Promise<void> {
    if (exchange.path === "/healthz") return this.#health(exchange);
    if (exchange.path === "/metrics" && readOnly(exchange)) return this.#count(exchange);
    // Who does not trust us yet cannot log in.
    if (exchange.path === "/ca.crt" && exchange.method === "GET") return this.#authority(exchange);
    exchange.user = await this.#options.users?.check(exchange);
    const action = this.#action(exchange.path)[exchange.method];
    if (action === undefined) throw this.#notAllowed(exchange);
    await action(exchange);
  }

  async #authority(exchange: Exchange): Promise<void> {
    const { authority } = this.#options;
    if (authority === undefined)
      throw new ApiError(404, "UNSUPPORTED", "this server has no authority of its own");
    await exchange.reply(200, { "content-type": "application/x-pem-file" }, authority.cert);
  }

  async #health(exchange: Exchange): Promise<void> {
    try {
      await this.#options.library.check?.();
    } catch (error) {
      return exchange.json(503, { status: "failing", reason: messageOf(error) });
    }
    await exchange.json(200, { status: "ok" });
  }

  async #count(exchange: Exchange): Promise<void> {
    const check = this.#options.library.check?.() ?? Promise.resolve();
    const healthy = await check.then(
      () => true,
      () => false,
    );
    const type = "text/plain; version=0.0.4; charset=utf-8";
    await exchange.reply(200, { "content-type": type }, this.#metrics.text(healthy));
  }

  #action(path: string): Record<string, Action> {
    const { library, scheme, authority } = this.#options;
    if (path === "/v2" || path.startsWith("/v2/")) return this.#guarded(parseRoute(path));
    if (/^\/(?:files|packages|manifests|charts)(?:\/|$)/.test(path))
      return readable((exchange) => sendPath(exchange, library.files, scheme));
    if (path === "/") return readable((exchange) => sendHome(exchange, library, scheme, authority));
    throw new ApiError(404, "UNSUPPORTED", `nothing is at ${path}`);
  }

  /** The actions of an endpoint, those that write for writers only. */
  #guarded(route: Route): Record<string, Action> {
    const { writers } = this.#options;
    const guard = (method: string, action: Action): Action =>
      isWrite(route, method)
        ? async (exchange) => {
            if (writers === "everybody") refuseBrowsers(exchange.header("origin"));
            checkWriter(writers, exchange.user);
            await action(exchange);
          }
        : action;
    return Object.fromEntries(
      Object.entries(this.#apiAction(route)).map(([method, action]) => [method, guard(method, action)]),
    );
  }

  #apiAction(route: Route): Record<string, Action> {
    const reader = this.#reader;
    const writer = this.#writer;
    switch (route.kind) {
      case "ping":
        return readable((x) => reader.ping(x));
      case "catalog":
        return readable((x) => reader.catalog(x));
      case "tags":
        return readable((x) => reader.tags(x, route.name));
      case "referrers":
        return readable((x) => reader.referrers(x, route.name, route.digest));
      case "manifest": {
        const { name, reference } = route;
        const read = readable((x) => reader.manifest(x, name, reference));
        if (!writer) return read;
        return {
          ...read,
          PUT: (x) => writer.manifests.putManifest(x, name, reference),
          DELETE: (x) => writer.manifests.deleteManifest(x, name, reference),
        };
      }
      case "blob": {
        const { name, digest } = route;
        const read = readable((x) => reader.blob(x, name, digest));
        return writer ? { ...read, DELETE: (x) => writer.manifests.deleteBlob(x, name, digest) } : read;
      }
      case "uploads":
        return writer ? { POST: (x) => writer.uploads.start(x, route.name) } : {};
      case "upload": {
        const { name, id } = route;
        if (!writer) return {};
        return {
          GET: (x) => writer.uploads.status(x, name, id),
          PATCH: (x) => writer.uploads.chunk(x, name, id),
          PUT: (x) => writer.uploads.finish(x, name, id),
          DELETE: (x) => writer.uploads.cancel(x, name, id),
        };
      }
    }
  }

  #notAllowed(exchange: Exchange): ApiError {
    const allow = Object.keys(this.#action(exchange.path)).join(", ");
    const why = this.#writer
      ? `${exchange.method} is not possible here`
      : "this registry is read-only: it was started without --store";
    return new ApiError(405, "UNSUPPORTED", why, { headers: { allow } });
  }

  #log({ req, res, started, remote, exchange, failure }: Finished): void {
    const agent = req.headers["user-agent"];
    const error = failure ?? (res.writableFinished ? undefined : "the client went away");
    const entry: AccessEntry = {
      time: new Date(started).toISOString(),
      remote,
      ...(exchange?.user === undefined ? {} : { user: exchange.user }),
      method: req.method ?? "",
      url: req.url ?? "",
      status: res.headersSent ? res.statusCode : 499,
      bytes: exchange?.sent ?? 0,
      ms: Date.now() - started,
      ...(agent === undefined ? {} : { agent: agent.slice(0, 200) }),
      ...(error === undefined ? {} : { error }),
    };
    this.#metrics.end(entry);
    this.#options.log?.(entry);
  }
}

const readOnly = ({ method }: Exchange): boolean => method === "GET" || method === "HEAD";

const readable = (action: Action): Record<string, Action> => ({ GET: action, HEAD: action });

/** Answers with the error; an error of any other class is our fault, and the client learns nothing of it. */
async function fail(exchange: Exchange | undefined, res: ServerResponse, error: unknown): Promise<void> {
  const known = error instanceof ApiError ? error : fromSystem(error);
  if (exchange === undefined) {
    res
      .writeHead(known.status, { "content-type": "application/json", connection: "close" })
      .end(known.body());
    return;
  }
  if (res.destroyed) return;
  const sent = isPerson(exchange) && known.status === 404 && !res.headersSent;
  await (sent ? sendNotFound(exchange) : exchange.fail(known)).catch(() => res.destroy());
}

/** A browser that shows a page; programs read the JSON of the specification. */
const isPerson = (exchange: Exchange): boolean =>
  readOnly(exchange) &&
  !/^\/v2(?:\/|$)/.test(exchange.path) &&
  (exchange.header("accept") ?? "").includes("text/html");

function fromSystem(error: unknown): ApiError {
  const { code } = error as NodeJS.ErrnoException;
  if (isDiskFull(error)) return new ApiError(507, "UNKNOWN", "the registry's disk is full");
  if (code === "EROFS" || code === "EACCES")
    return new ApiError(500, "UNKNOWN", "the registry cannot write to its store");
  if (code === "EMFILE" || code === "ENFILE")
    return new ApiError(503, "UNKNOWN", "too many open files", { headers: { "retry-after": "1" } });
  return new ApiError(500, "UNKNOWN", "the registry failed; its log says why");
}
