import pLimit from "p-limit";
import {
  type Http,
  type HttpRequest,
  type HttpResponse,
  setbackOf,
  type Trust,
  usesProxy,
} from "../../http.ts";
import { headersFor, isSameOrigin } from "../../origin.ts";
import type { Tries } from "../../retry.ts";
import type { Credential, Credentials } from "../credential.ts";
import { Authorizer, HARBOR_SERVICE, type Scope } from "./auth.ts";
import { findEndpoint } from "./endpoint.ts";
import { type BlobRequest, Lane } from "./lane.ts";
import { HostLimit, type LimitOptions } from "./limits.ts";
import { newPreferences, type UploadPreferences } from "./upload-preferences.ts";

const MAX_MOVES = 5;

const UPLOADS = 48;

export interface ClientOptions {
  /** The host in references: `docker.io`, `harbor.site.local:8443`. */
  host: string;
  http: Http;
  trust: Trust;
  credentials: Credentials;
  limits?: LimitOptions;
  /** Tries after the first. Default: the HTTP client's. */
  retries?: number;
}

export interface Ask extends Omit<HttpRequest, "retries"> {
  /** Rights that the request needs; for a mount also those on the other repository. */
  scopes: Scope[];
  /**
   * What may be sent again: `always` when repeating is harmless, `refused` when only a plain
   * "not now" (429) proves that nothing was done. Default `always`.
   */
  retry?: "always" | "refused" | "never";
}

/** How a registry behaves, as earlier requests have shown; it holds for the whole run. */
export interface RegistryTraits {
  /** Whether it lists referrers; undefined as long as nobody asked. */
  referrersApi?: boolean;
  /** The first request for referrers, while it runs: its answer makes others unnecessary. */
  firstReferrers?: Promise<unknown>;
  /** Tags of repositories that were listed. */
  tags: Map<string, Promise<string[]>>;
  /** Failed mounts in a row. */
  failedMounts: number;
  /** Whether a mount from the same repository tells that a blob exists. */
  probesByMount: boolean;
  upload: UploadPreferences;
}

/**
 * One registry: where it answers, how it wants to be asked, how much it bears. Repositories share
 * it, and with it connections, tokens and what earlier requests have shown of it.
 */
export class RegistryClient {
  readonly host: string;
  readonly trust: Trust;
  readonly http: Http;
  readonly limits: HostLimit;
  /** Uploads that are open at a time: a few more than requests, so that none is opened long before its turn. */
  readonly uploads = pLimit(UPLOADS);
  /** For blobs; not there behind a proxy or with a client certificate, which only the ordinary client knows. */
  readonly lane: Lane | undefined;
  readonly traits: RegistryTraits = {
    tags: new Map(),
    failedMounts: 0,
    probesByMount: true,
    upload: newPreferences(),
  };
  readonly #auth: Authorizer;
  readonly #retries: number | undefined;
  #base: Promise<URL> | undefined;

  constructor(options: ClientOptions) {
    this.host = options.host;
    this.http = options.http;
    this.lane = usesProxy() || options.http.tls.hasClientCertificate ? undefined : new Lane(options.limits);
    this.trust = options.trust;
    this.limits = new HostLimit(options.limits);
    this.#retries = options.retries;
    const { host, http, credentials } = options;
    this.#auth = new Authorizer({
      host,
      http,
      credentials,
      base: () => this.base(),
    });
  }

  /** The address of the API, found out once. */
  base(): Promise<URL> {
    if (this.#base === undefined) {
      const base = findEndpoint(this.host, this.trust, this.http).then((endpoint) => {
        this.#auth.learn(endpoint.challenge);
        return endpoint.base;
      });
      base.catch(() => (this.#base = undefined));
      this.#base = base;
    }
    return this.#base;
  }

  /** Ends the transfers on its own connections; the HTTP client is closed by its owner. */
  close(): void {
    this.lane?.close();
  }

  /** Who asks, as far as credentials are known. */
  async credential(repository?: string): Promise<Credential | undefined> {
    return await this.#auth.user(repository);
  }

  /** Whether the registry's greeting names Harbor's token service. */
  async greetsAsHarbor(): Promise<boolean> {
    await this.base();
    return this.#auth.service === HARBOR_SERVICE;
  }

  /** Whether the user may push to a repository, as far as that is known without a try. */
  async mayPush(repository: string, signal?: AbortSignal): Promise<boolean | undefined> {
    return await this.#auth.mayPush({ repository, actions: "pull,push" }, signal);
  }

  /** Forgets all tokens, because they are older than a project that was just created. */
  forgetTokens(): void {
    this.#auth.forget();
  }

  /** URL and current headers for a request that another client sends. */
  async prepare(path: string, scopes: Scope[], signal?: AbortSignal): Promise<BlobRequest> {
    const base = await this.base();
    const authorization = await this.#auth.header(scopes, signal);
    return { url: new URL(path, base), headers: authorization === undefined ? {} : { authorization } };
  }

  /** After a 401 of the registry itself to such a request; true when `prepare` gives something better now. */
  async refresh(
    scopes: Scope[],
    used: BlobRequest,
    challenge: string | undefined,
    signal?: AbortSignal,
  ): Promise<boolean> {
    return await this.#auth.challenged(challenge, scopes, used.headers["authorization"], signal);
  }

  /** A new count of tries for a transfer with this registry. */
  tries(target: string | URL, signal?: AbortSignal): Tries {
    return this.http.tries(new URL(target, `https://${this.host}`), {
      ...(this.#retries === undefined ? {} : { retries: this.#retries }),
      ...(signal ? { signal } : {}),
    });
  }

  /**
   * Sends a request to the registry: authorised, within its limits, again when that may help. Gives the final
   * answer whatever its status.
   * @param target a path (`/v2/…`) or a full address that the registry itself gave
   * @throws AirgapError `network` without an answer, `unauthorized` when the service does not give a token
   */
  async send(target: string | URL, ask: Ask): Promise<HttpResponse> {
    const url = target instanceof URL ? target : new URL(target, await this.base());
    const tries = ask.tries ?? this.tries(url, ask.signal);
    for (;;) {
      const outcome = await this.#moved(url, ask).catch((error: unknown) => error as Error);
      ask.signal?.throwIfAborted();
      const answer = outcome instanceof Error ? undefined : outcome;
      if (!this.http.mayRepeat(outcome)) return this.http.finish(outcome, url, ask);
      const waitMs = mayRepeat(ask, answer) ? tries.next(setbackOf(outcome)) : undefined;
      if (waitMs === undefined) return this.http.finish(outcome, url, ask, tries);
      if (answer?.status === 429 || answer?.status === 503) this.limits.pause(waitMs);
      await answer?.discard();
      await tries.wait(waitMs, setbackOf(outcome));
    }
  }

  /** One try; a request with a body follows redirects. */
  async #moved(start: URL, ask: Ask): Promise<HttpResponse> {
    let url = start;
    for (let moves = 0; ; moves++) {
      const answer = await this.#authorized(url, ask);
      const next = ask.redirect === "manual" || moves >= MAX_MOVES ? undefined : movedTo(answer, url);
      if (next === undefined) return answer;
      await answer.discard();
      url = next;
    }
  }

  /**
   * One request; after a 401 of the registry itself once more, with what that taught and the body
   * from its start. The target of a redirect gets no authorisation, and nothing is learned from its 401.
   */
  async #authorized(url: URL, ask: Ask): Promise<HttpResponse> {
    const base = await this.base();
    if (!isSameOrigin(base, url)) {
      const headers = headersFor(url, base, ask.headers ?? {});
      return await this.#once(url, { ...ask, headers }, undefined, true);
    }
    const used = await this.#auth.header(ask.scopes, ask.signal);
    const answer = await this.#once(url, ask, used);
    if (answer.status !== 401 || !isSameOrigin(base, new URL(answer.url))) return answer;
    const challenge = answer.headers["www-authenticate"];
    if (!(await this.#auth.challenged(challenge, ask.scopes, used, ask.signal))) return answer;
    await answer.discard();
    return await this.#once(url, ask, await this.#auth.header(ask.scopes, ask.signal));
  }

  async #once(
    url: URL,
    ask: Ask,
    authorization: string | undefined,
    anonymous = false,
  ): Promise<HttpResponse> {
    const { scopes: _, retry: __, tries: ___, ...request } = ask;
    const headers = { ...ask.headers, ...(authorization === undefined ? {} : { authorization }) };
    const small = ask.body === undefined;
    return await this.limits.run(async () => {
      const startedAt = performance.now();
      const value = await this.http.attempt(url, { ...request, headers, anonymous });
      const overloaded = value.status === 429 || value.status === 503;
      return {
        value,
        outcome: small ? { overloaded, latencyMs: performance.now() - startedAt } : { overloaded },
      };
    }, ask.signal);
  }
}

/** Whether the request may be sent again after this status; `undefined` stands for no answer. */
function mayRepeat({ retry = "always" }: Ask, answer: HttpResponse | undefined): boolean {
  return retry === "always" || (retry === "refused" && answer?.status === 429);
}

/** Where to send a request with a body instead, with the same method and body. RFC 9110, 15.4.8 and 15.4.9. */
function movedTo({ status, headers }: HttpResponse, from: URL): URL | undefined {
  const location = status === 307 || status === 308 ? headers["location"] : undefined;
  const url = location === undefined ? null : URL.parse(location, from);
  return url !== null && /^https?:$/.test(url.protocol) ? url : undefined;
}
