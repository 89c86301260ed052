import type { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { AirgapError, messageOf } from "./errors.ts";
import { type Emit, silent } from "./events.ts";
import { headersFor, isSameOrigin, loginIn } from "./origin.ts";
import { allowedMs, paced, WINDOW_MS } from "./pace.ts";
import { certificateProblem, isRetryable, Tries } from "./retry.ts";
import { TlsTrust, type Trust, trustKey } from "./tls.ts";

export { type Trust, trustKey } from "./tls.ts";

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";
export type Headers = Record<string, string>;

export interface HttpOptions extends Trust {
  /** Connections a host at most. */
  connections?: number;
  /** Tries after the first, for requests that are safe to repeat. Default: that of retry.ts. */
  retries?: number;
  /** First wait; doubled each time. Milliseconds. */
  backoffMs?: number;
  /** The `Authorization` for a URL that the user named; undefined for none. */
  logins?: (url: URL) => string | undefined;
  /** How long a body may be too slow; see pace.ts. Milliseconds. */
  windowMs?: number;
  emit?: Emit;
}

export interface HttpRequest {
  method?: Method;
  headers?: Headers;
  /** Give a stream as a function, so that it can be sent again, and its length as `content-length`. */
  body?: Uint8Array | string | (() => Readable | AsyncIterable<Uint8Array> | Promise<Uint8Array>);
  signal?: AbortSignal;
  /** Tries after the first; 0 = none. Default: the client's. */
  retries?: number;
  /** A count that the request shares with others for the same content. */
  tries?: Tries;
  /** For an address from an answer: no login and no client certificate. */
  anonymous?: boolean;
  /** Follow redirects of GET and HEAD (default) or hand them to the caller. */
  redirect?: "follow" | "manual";
}

export interface HttpResponse {
  status: number;
  /** Lower-case names; of repeated ones all values joined with ", ". */
  headers: Headers;
  /** The URL that answered, after redirects. */
  url: string;
  /** The body; read it once. Fails when it comes too slowly. */
  chunks(): AsyncIterable<Buffer>;
  /** The whole body. @throws AirgapError `protocol` when it is larger than `limit` bytes, `network` when it breaks off */
  bytes(limit: number): Promise<Buffer>;
  json(limit: number): Promise<unknown>;
  /** Reads and discards the rest, so that the connection can be used again. */
  discard(): Promise<void>;
  /** Ends the connection: for an answer that is too long to read. */
  abandon(): void;
}

const CERTIFICATE_SUGGESTIONS = [
  "name the authority that signed it: `--ca-file FILE`; in a spec `caFile: FILE` for the host under `sources:`",
  "or do not check its certificate: `--insecure`; in a spec `insecure: true` there",
];
const NAME_SUGGESTIONS = ["use a name that its certificate has, or issue a certificate for this name"];
const MAX_REDIRECTS = 10;
/** How long to wait for the rest of an answer that is not needed. Milliseconds. */
const DISCARD_MS = 10_000;

/** Whether a parameter of this name in a URL is likely to hold a secret. */
export const isSecretParameter = (name: string): boolean =>
  /sig|token|secret|key|credential|password|auth|policy/i.test(name);

/** A URL without user, password and query values: safe to show in a message. */
export function redactUrl(url: string | URL): string {
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  for (const key of new Set(shown.searchParams.keys())) {
    if (isSecretParameter(key)) shown.searchParams.set(key, "***");
  }
  return shown.href;
}

function certificateSuggestions(error: unknown): string[] {
  const problem = certificateProblem(error);
  if (problem === undefined) return [];
  return problem === "ERR_TLS_CERT_ALTNAME_INVALID" ? NAME_SUGGESTIONS : CERTIFICATE_SUGGESTIONS;
}

function flatten(headers: Record<string, string | string[] | undefined>): Headers {
  const flat: Headers = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(", ") : value;
  return flat;
}

async function readAll(body: Readable, limit: number, url: string, windowMs: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  const late = setTimeout(
    () => {
      body.destroy(new Error(`it was not complete after ${Math.round(allowedMs(limit, windowMs) / 1000)} s`));
    },
    allowedMs(limit, windowMs),
  );
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit) {
        abandon(body);
        throw new AirgapError(
          "protocol",
          `${redactUrl(url)} answered with more than ${limit} bytes, more than airgap accepts here`,
        );
      }
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof AirgapError) throw cause;
    throw new AirgapError("network", `${redactUrl(url)} broke off after ${size} bytes: ${messageOf(cause)}`, {
      cause,
    });
  } finally {
    clearTimeout(late);
  }
  return Buffer.concat(chunks, size);
}

function abandon(body: Readable): void {
  // The abort is intended.
  body.on("error", () => {});
  body.destroy();
}

/** Whether the usual variables name a proxy. */
export function usesProxy(): boolean {
  return ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].some((name) => process.env[name]);
}

/** The most frequent first failure in a company's network. */
function proxySuggestions(outcome: Error): string[] {
  const code = String((outcome as NodeJS.ErrnoException).code ?? messageOf(outcome));
  if (usesProxy() && !/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH/.test(code))
    return [];
  if (!usesProxy() && !/ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ENETUNREACH/.test(code)) return [];
  return usesProxy()
    ? ["look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY: what is inside the company belongs into NO_PROXY"]
    : ["behind a proxy: export HTTPS_PROXY=http://PROXY:PORT NO_PROXY=localhost,.company"];
}

/** An answer, or the error that came instead. */
type Outcome = HttpResponse | Error;

/**
 * The only HTTP client: HTTP/1.1 over several connections (one HTTP/2 connection is slower for
 * blobs), tries by the policy of retry.ts, proxies from the usual variables with NO_PROXY, extra
 * authorities, credentials for their own origin only, and no secret in any message.
 */
export class Http {
  readonly #options: HttpOptions;
  readonly #emit: Emit;
  readonly #windowMs: number;
  /** Loaded in parallel with the caller's work; commands without requests never load it. */
  readonly #undici = import("undici");
  readonly tls: TlsTrust;
  /** The version of `tls` that the dispatchers were made with. */
  #believed = 0;
  readonly #dispatchers = new Map<boolean, Dispatcher>();
  readonly #ended = new AbortController();

  constructor(options: HttpOptions = {}) {
    this.#options = options;
    this.#emit = options.emit ?? silent;
    this.#windowMs = options.windowMs ?? WINDOW_MS;
    this.tls = new TlsTrust(options);
  }

  /**
   * Sends a request and gives the final answer, whatever its status.
   * @throws AirgapError `network` when no answer came, after all tries; `interrupted` after `close`
   */
  async request(url: string | URL, options: HttpRequest = {}): Promise<HttpResponse> {
    const tries = options.tries ?? this.tries(url, options);
    for (;;) {
      const outcome = await this.attempt(url, options).catch((error: unknown) => error as Error);
      options.signal?.throwIfAborted();
      if (!this.mayRepeat(outcome)) return this.finish(outcome, url, options, tries);
      const waitMs = tries.next(setbackOf(outcome));
      if (waitMs === undefined) return this.finish(outcome, url, options, tries);
      if (!(outcome instanceof Error)) await outcome.discard();
      await tries.wait(waitMs, setbackOf(outcome));
    }
  }

  /** A new count for a request, with this client's number of tries. */
  tries(url: string | URL, { retries, signal }: Pick<HttpRequest, "retries" | "signal"> = {}): Tries {
    return new Tries({
      what: redactUrl(url),
      retries: retries ?? this.#options.retries,
      firstMs: this.#options.backoffMs,
      emit: this.#emit,
      signals: [signal, this.#ended.signal],
    });
  }

  /** Whether another try may help after an outcome of `attempt`. */
  mayRepeat(outcome: Outcome): boolean {
    if (!(outcome instanceof Error)) return isRetryable(outcome.status);
    return !(outcome instanceof AirgapError) && !this.#ended.signal.aborted;
  }

  /** The last outcome as the caller sees it. @throws AirgapError `network`, `interrupted` */
  finish(outcome: Outcome, url: string | URL, { method = "GET" }: HttpRequest, tries?: Tries): HttpResponse {
    if (!(outcome instanceof Error) || outcome instanceof AirgapError) return settled(outcome);
    if (this.#ended.signal.aborted) throw stopped(url);
    const count = Math.max(tries?.failed ?? 1, 1);
    const proxy = usesProxy() ? " through the proxy that HTTP_PROXY or HTTPS_PROXY names" : "";
    throw new AirgapError(
      "network",
      `${method} ${redactUrl(url)} got no answer${proxy} (${count} ${count === 1 ? "try" : "tries"}): ${messageOf(outcome)}`,
      { cause: outcome, suggestions: [...certificateSuggestions(outcome), ...proxySuggestions(outcome)] },
    );
  }

  /** Ends all requests: nothing is tried again, and nothing more is reported. */
  async close(): Promise<void> {
    this.#ended.abort(new AirgapError("interrupted", "The client was closed"));
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.destroy()));
  }

  /**
   * One try, redirects of GET and HEAD followed. Secrets for the first URL's origin are sent only there.
   * @throws Error from the connection, unchanged
   */
  async attempt(start: string | URL, options: HttpRequest = {}): Promise<HttpResponse> {
    const { version } = this.tls;
    try {
      return await this.#attempt(start, options);
    } catch (error) {
      if (!this.tls.widen(error, version)) throw error;
      return await this.#attempt(start, options);
    }
  }

  async #attempt(start: string | URL, options: HttpRequest): Promise<HttpResponse> {
    const first = new URL(start);
    let url = first;
    let headers = this.#greeting(first, options);
    for (let hop = 0; ; hop++) {
      const { method = "GET", redirect } = options;
      const response = await this.#send(url, first, headers, options);
      const location = response.headers.location;
      const redirects = [301, 302, 303, 307, 308].includes(response.status) && location !== undefined;
      if (!redirects || redirect === "manual" || (method !== "GET" && method !== "HEAD")) return response;
      await response.discard();
      if (hop >= MAX_REDIRECTS)
        throw new AirgapError("protocol", `${redactUrl(first)} redirects more than ${MAX_REDIRECTS} times`);
      const next = URL.parse(location, url);
      if (next === null || !/^https?:$/.test(next.protocol))
        throw new AirgapError("protocol", `${redactUrl(first)} redirects to an address that is not http(s)`);
      headers = headersFor(next, url, headers);
      url = next;
    }
  }

  /** The headers of a request to the first URL: with the login of that URL, unless the caller has one. */
  #greeting(url: URL, { headers = {}, anonymous }: HttpRequest): Headers {
    const given = anonymous || headers["authorization"] !== undefined;
    const login = given ? undefined : (loginIn(url) ?? this.#options.logins?.(url));
    return { "user-agent": "airgap", ...(login === undefined ? {} : { authorization: login }), ...headers };
  }

  async #send(url: URL, first: URL, headers: Headers, options: HttpRequest): Promise<HttpResponse> {
    const { method = "GET", body, signal } = options;
    // It may be closed while this loads.
    await this.#undici;
    if (this.#ended.signal.aborted) throw stopped(url);
    const dispatcher = await this.#dispatcher(!options.anonymous && this.#identified(url, first));
    const answer = await dispatcher.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method,
      headers,
      body:
        ((typeof body === "function" ? await body() : body) as Readable | Uint8Array | string | undefined) ??
        null,
      ...(signal ? { signal } : {}),
    });
    return wrap(answer, url.href, this.#windowMs);
  }

  /** Whether a URL may see the client certificate. */
  #identified(url: URL, first: URL): boolean {
    const { clientOrigins } = this.#options;
    return isSameOrigin(first, url) && (clientOrigins === undefined || clientOrigins.includes(url.origin));
  }

  async #dispatcher(identified: boolean): Promise<Dispatcher> {
    const withCertificate = identified && this.tls.hasClientCertificate;
    const known = this.#believed === this.tls.version ? this.#dispatchers.get(withCertificate) : undefined;
    if (known) return known;
    const undici = await this.#undici;
    if (this.#believed !== this.tls.version) {
      this.#believed = this.tls.version;
      // Requests that are under way on them end in their own time.
      for (const dispatcher of this.#dispatchers.values()) void dispatcher.close().catch(() => {});
      this.#dispatchers.clear();
    }
    const connect = this.tls.options(withCertificate);
    const common = {
      connections: this.#options.connections ?? 32,
      allowH2: false,
      connect,
      headersTimeout: 120_000,
      bodyTimeout: 120_000,
    };
    // Another request may have made one in the meantime.
    const dispatcher =
      this.#dispatchers.get(withCertificate) ??
      (usesProxy()
        ? new undici.EnvHttpProxyAgent({ ...common, requestTls: connect })
        : new undici.Agent(common));
    this.#dispatchers.set(withCertificate, dispatcher);
    return dispatcher;
  }
}

const stopped = (url: string | URL): AirgapError =>
  new AirgapError("interrupted", `${redactUrl(url)} was not requested: the run has ended`);

/** What to count for an outcome. */
export const setbackOf = (outcome: Outcome) =>
  outcome instanceof Error
    ? { reason: messageOf(outcome), error: outcome }
    : { reason: `HTTP ${outcome.status}`, retryAfter: outcome.headers["retry-after"] };

function settled(outcome: Outcome): HttpResponse {
  if (outcome instanceof Error) throw outcome;
  return outcome;
}

/** Clients by the way they trust hosts: those that trust alike share their connections. */
export class HttpClients {
  readonly #options: Omit<HttpOptions, keyof Trust>;
  readonly #clients = new Map<string, Http>();
  #closed = false;

  constructor(options: Omit<HttpOptions, keyof Trust> = {}) {
    this.#options = options;
  }

  /** @throws AirgapError `interrupted` after `close`: work that is still running must not get a new client */
  for(trust: Trust = {}): Http {
    if (this.#closed) throw new AirgapError("interrupted", "The run has ended");
    const key = trustKey(trust);
    const client = this.#clients.get(key) ?? new Http({ ...this.#options, ...trust });
    this.#clients.set(key, client);
    return client;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
  }
}

function wrap(answer: Dispatcher.ResponseData, url: string, windowMs: number): HttpResponse {
  const body = answer.body as unknown as Readable;
  const bytes = (limit: number): Promise<Buffer> => readAll(body, limit, url, windowMs);
  return {
    status: answer.statusCode,
    headers: flatten(answer.headers as Record<string, string | string[] | undefined>),
    url,
    chunks: () => paced(body, windowMs),
    bytes,
    async json(limit) {
      const text = (await bytes(limit)).toString("utf8");
      try {
        return JSON.parse(text) as unknown;
      } catch (cause) {
        throw new AirgapError("protocol", `${redactUrl(url)} sent an answer that is not JSON`, {
          cause,
        });
      }
    },
    async discard() {
      const signal = AbortSignal.timeout(DISCARD_MS);
      await answer.body.dump({ limit: 1 << 20, signal }).catch(() => abandon(body));
    },
    abandon: () => abandon(body),
  };
}
