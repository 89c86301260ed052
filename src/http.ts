import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Dispatcher } from "undici";
import { AirgapError, messageOf } from "./errors.ts";
import { type Emit, silent } from "./events.ts";

/** Two parts of undici; all of it, which proxies need, costs a start 35 ms and 15 MB more. */
const require = createRequire(import.meta.url);
const Agent = require("undici/lib/dispatcher/agent.js") as typeof import("undici").Agent;
const request = require("undici/lib/api/api-request.js") as (
  this: Dispatcher,
  options: Dispatcher.RequestOptions,
) => Promise<Dispatcher.ResponseData>;
const all = (): typeof import("undici") => require("undici") as typeof import("undici");

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";
export type Headers = Record<string, string>;

/** How a host is reached and believed. */
export interface Trust {
  /** PEM file with further certificate authorities. */
  caFile?: string;
  /** No certificate check. */
  insecure?: boolean;
  /** PEM files of a client certificate, as RHEL's CDN wants one. */
  clientCert?: string;
  clientKey?: string;
}

export interface HttpOptions extends Trust {
  /** Connections a host at most. */
  connections?: number;
  /** Tries after the first, for what is safe to send again. Default 5. */
  retries?: number;
  /** First wait; doubled each time. Milliseconds. */
  backoffMs?: number;
  emit?: Emit;
}

export interface HttpRequest {
  method?: Method;
  headers?: Headers;
  /** What is read for the request alone is given as a function, so that it can be sent again; a stream's length as `content-length`. */
  body?: Uint8Array | string | (() => Readable | AsyncIterable<Uint8Array> | Promise<Uint8Array>);
  signal?: AbortSignal;
  /** Tries after the first; 0 = none. Default: the client's. */
  retries?: number;
  /** Follow redirects of GET and HEAD (default) or hand them to the caller. */
  redirect?: "follow" | "manual";
}

export interface HttpResponse {
  status: number;
  /** Lower-case names; of repeated ones all values joined with ", ". */
  headers: Headers;
  /** Where the answer came from, after redirects. */
  url: string;
  body: Readable;
  /** The whole body. @throws AirgapError `protocol` when it is larger than `limit` bytes */
  bytes(limit: number): Promise<Buffer>;
  json(limit: number): Promise<unknown>;
  /** Reads the rest and throws it away, so that the connection can be used again. */
  discard(): Promise<void>;
  /** Ends the connection: for an answer that is too long to be read. */
  abandon(): void;
}

const RETRY_STATUS = new Set([408, 429, 500, 502, 503, 504]);
const CERTIFICATE_SUGGESTIONS = [
  "name the authority that signed it: `--ca-file FILE`, or `caFile: FILE` for the host under `sources:`",
  "or let its certificate go unchecked: `--insecure`, or `insecure: true` there",
];
const NAME_SUGGESTIONS = ["ask for it by a name that its certificate has, or have one made for this name"];
const MAX_REDIRECTS = 10;
const MAX_WAIT_MS = 120_000;

/** A URL without user, password and query values: what may stand in a message. */
export function redactUrl(url: string | URL): string {
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  for (const key of new Set(shown.searchParams.keys())) {
    if (/sig|token|secret|key|credential|password|auth|policy/i.test(key)) shown.searchParams.set(key, "***");
  }
  return shown.href;
}

/** `Retry-After` in milliseconds: seconds or a date. RFC 9110, 10.2.3. */
export function retryAfterMs(value: string | undefined, now = Date.now()): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Whether a status says that the same request may succeed later. */
export const isRetryable = (status: number): boolean => RETRY_STATUS.has(status);

/**
 * How long to wait before the next try: what the server asks for, else doubling from `firstMs`, with jitter.
 * @param attempt 1 after the first failure
 */
export function backoffMs(attempt: number, retryAfter?: string, firstMs = 500): number {
  const asked = retryAfterMs(retryAfter);
  return Math.min(asked ?? firstMs * 2 ** (attempt - 1) * (0.75 + Math.random() / 2), MAX_WAIT_MS);
}

/** Why a certificate is not believed, as Node names it. */
function certificateProblem(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    if (/^(?:CERT_|ERR_TLS_CERT|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code)) return code;
  }
  return undefined;
}

/** Whether the other side spoke TLS, but with a certificate that is not believed. */
export const isCertificateProblem = (error: unknown): boolean => certificateProblem(error) !== undefined;

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

async function readAll(body: Readable, limit: number, url: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) {
      abandon(body);
      throw new AirgapError(
        "protocol",
        `${redactUrl(url)} answered with more than ${limit} bytes, too many for what was asked`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

function abandon(body: Readable): void {
  // That it is aborted is the purpose.
  body.on("error", () => {});
  body.destroy();
}

/** Reads a PEM file that the user named. @throws AirgapError `usage` */
export function readPem(file: string, what: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new AirgapError("usage", `${what} ${file} can't be read`, { cause });
  }
}

/** Whether the usual variables name a proxy. */
export function usesProxy(): boolean {
  return ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].some((name) => process.env[name]);
}

/**
 * The only HTTP client: HTTP/1.1 over several connections (one HTTP/2 connection is slower for
 * blobs), retries with Retry-After, proxies from the usual variables with NO_PROXY, extra
 * authorities, and no secret in any message.
 */
export class Http {
  readonly #dispatcher: Dispatcher;
  readonly #retries: number;
  readonly #backoffMs: number;
  readonly #emit: Emit;

  constructor(options: HttpOptions = {}) {
    const connect = {
      ...(options.caFile ? { ca: readPem(options.caFile, "the CA file") } : {}),
      ...(options.clientCert ? { cert: readPem(options.clientCert, "the client certificate") } : {}),
      ...(options.clientKey ? { key: readPem(options.clientKey, "the client key") } : {}),
      rejectUnauthorized: options.insecure !== true,
    };
    const common = {
      connections: options.connections ?? 32,
      allowH2: false,
      connect,
      headersTimeout: 120_000,
      bodyTimeout: 120_000,
    };
    this.#dispatcher = usesProxy()
      ? new (all().EnvHttpProxyAgent)({ ...common, requestTls: connect })
      : new Agent(common);
    this.#retries = options.retries ?? 5;
    this.#backoffMs = options.backoffMs ?? 500;
    this.#emit = options.emit ?? silent;
  }

  /**
   * Sends a request and gives the final answer, whatever its status.
   * @throws AirgapError `network` when no answer came, after the retries
   */
  async request(url: string | URL, options: HttpRequest = {}): Promise<HttpResponse> {
    const retries = options.retries ?? this.#retries;
    for (let attempt = 0; ; attempt++) {
      const outcome = await this.#once(new URL(url), options).catch((error: unknown) => error as Error);
      options.signal?.throwIfAborted();
      const failed = outcome instanceof Error;
      if (!failed && !isRetryable(outcome.status)) return outcome;
      if (failed && outcome instanceof AirgapError) throw outcome;
      if (attempt >= retries || isCertificateProblem(outcome)) {
        if (!failed) return outcome;
        throw this.#unreachable(url, options, outcome, attempt + 1);
      }
      if (!failed) await outcome.discard();
      const waitMs = backoffMs(
        attempt + 1,
        failed ? undefined : outcome.headers["retry-after"],
        this.#backoffMs,
      );
      this.#emit({
        type: "retry",
        what: redactUrl(url),
        reason: failed ? messageOf(outcome) : `HTTP ${outcome.status}`,
        attempt: attempt + 1,
        waitMs,
      });
      await sleep(waitMs, undefined, options.signal ? { signal: options.signal } : {});
    }
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }

  #unreachable(url: string | URL, options: HttpRequest, cause: Error, tries: number): AirgapError {
    return new AirgapError(
      "network",
      `${options.method ?? "GET"} ${redactUrl(url)} got no answer (${tries} ${tries === 1 ? "try" : "tries"}): ${messageOf(cause)}`,
      { cause, suggestions: certificateSuggestions(cause) },
    );
  }

  async #once(start: URL, options: HttpRequest): Promise<HttpResponse> {
    let url = start;
    let headers = options.headers ?? {};
    for (let hop = 0; ; hop++) {
      const { method = "GET", body, signal } = options;
      const answer = await request.call(this.#dispatcher, {
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method,
        headers: { "user-agent": "airgap", ...headers },
        body:
          ((typeof body === "function" ? await body() : body) as
            | Readable
            | Uint8Array
            | string
            | undefined) ?? null,
        ...(signal ? { signal } : {}),
      });
      const response = wrap(answer, url.href);
      const location = response.headers.location;
      const redirects = [301, 302, 303, 307, 308].includes(response.status) && location !== undefined;
      if (!redirects || options.redirect === "manual" || (method !== "GET" && method !== "HEAD"))
        return response;
      await response.discard();
      if (hop >= MAX_REDIRECTS)
        throw new AirgapError("protocol", `${redactUrl(start)} redirects more than ${MAX_REDIRECTS} times`);
      const next = new URL(location, url);
      if (next.origin !== url.origin) headers = withoutCredentials(headers);
      url = next;
    }
  }
}

/** Clients by the way they trust hosts: those that trust alike share their connections. */
export class HttpClients {
  readonly #options: Omit<HttpOptions, keyof Trust>;
  readonly #clients = new Map<string, Http>();

  constructor(options: Omit<HttpOptions, keyof Trust> = {}) {
    this.#options = options;
  }

  for(trust: Trust = {}): Http {
    const key = JSON.stringify([trust.caFile, trust.insecure, trust.clientCert, trust.clientKey]);
    const client = this.#clients.get(key) ?? new Http({ ...this.#options, ...trust });
    this.#clients.set(key, client);
    return client;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
  }
}

/** Credentials are for the host that they were given for, never for where it redirects to. */
function withoutCredentials(headers: Headers): Headers {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !/^(authorization|cookie)$/i.test(name)),
  );
}

function wrap(answer: Dispatcher.ResponseData, url: string): HttpResponse {
  const body = answer.body as unknown as Readable;
  const bytes = (limit: number): Promise<Buffer> => readAll(body, limit, url);
  return {
    status: answer.statusCode,
    headers: flatten(answer.headers as Record<string, string | string[] | undefined>),
    url,
    body,
    bytes,
    async json(limit) {
      const text = (await bytes(limit)).toString("utf8");
      try {
        return JSON.parse(text) as unknown;
      } catch (cause) {
        throw new AirgapError("protocol", `${redactUrl(url)} answered with something that is not JSON`, {
          cause,
        });
      }
    },
    async discard() {
      await answer.body.dump({ limit: 1 << 20 });
    },
    abandon: () => abandon(body),
  };
}
