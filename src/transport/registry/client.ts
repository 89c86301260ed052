import { setTimeout as sleep } from "node:timers/promises";
import pLimit from "p-limit";
import { isAirgapError, messageOf } from "../../errors.ts";
import { type Emit, silent } from "../../events.ts";
import {
  backoffMs,
  type Http,
  type HttpRequest,
  type HttpResponse,
  isCertificateProblem,
  isRetryable,
  redactUrl,
  type Trust,
  usesProxy,
} from "../../http.ts";
import type { Credential, Credentials } from "../credentials.ts";
import { Authorizer, type Scope } from "./auth.ts";
import { findEndpoint } from "./endpoint.ts";
import { type BlobRequest, Lane } from "./lane.ts";
import { HostLimit, type LimitOptions } from "./limits.ts";
import { newManners, type UploadManners } from "./upload-manners.ts";

const MAX_MOVES = 5;

const UPLOADS = 48;

export interface ClientOptions {
  /** As references write it: `docker.io`, `harbor.site.local:8443`. */
  host: string;
  http: Http;
  trust: Trust;
  credentials: Credentials;
  limits?: LimitOptions;
  emit?: Emit;
  /** Tries after the first. Default 5. */
  retries?: number;
}

export interface Ask extends Omit<HttpRequest, "retries"> {
  /** Rights that the request needs; for a mount those on the other repository too. */
  scopes: Scope[];
  /**
   * What may be sent again: `always` where repeating does no harm, `refused` where only a plain
   * "not now" (429) tells that nothing was done. Default `always`.
   */
  retry?: "always" | "refused" | "never";
}

/** What was found out about a registry and holds for the whole run. */
export interface Learned {
  /** Whether it lists referrers; undefined as long as nobody asked. */
  referrersApi?: boolean;
  /** The first question for referrers, under way: its answer spares the others. */
  firstReferrers?: Promise<unknown>;
  /** Tags of repositories, where somebody asked for all of them. */
  tags: Map<string, Promise<string[]>>;
  /** Mounts in a row that did not work. */
  failedMounts: number;
  /** Whether a mount from the very repository tells that a blob is there. */
  probesByMount: boolean;
  upload: UploadManners;
}

/**
 * One registry: where it answers, how it wants to be asked, how much it bears. Repositories share
 * it, and with it connections, tokens and what was learned.
 */
export class RegistryClient {
  readonly host: string;
  readonly trust: Trust;
  readonly http: Http;
  readonly limits: HostLimit;
  /** Uploads that are open at a time: a few more than requests, so that none is opened long before its turn. */
  readonly uploads = pLimit(UPLOADS);
  /** For blobs; not there behind a proxy, which only the ordinary client knows how to ask. */
  readonly lane: Lane | undefined;
  readonly learned: Learned = { tags: new Map(), failedMounts: 0, probesByMount: true, upload: newManners() };
  readonly #auth: Authorizer;
  readonly #emit: Emit;
  readonly #retries: number;
  #base: Promise<URL> | undefined;
  #closed = false;

  constructor(options: ClientOptions) {
    this.host = options.host;
    this.http = options.http;
    this.lane = usesProxy() ? undefined : new Lane(options.limits);
    this.trust = options.trust;
    this.limits = new HostLimit(options.limits);
    this.#emit = options.emit ?? silent;
    this.#retries = options.retries ?? 5;
    const { host, http, credentials, trust } = options;
    this.#auth = new Authorizer({
      host,
      http,
      credentials,
      insecure: trust.insecure === true,
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

  /** Ends what is under way: nothing is tried again. */
  close(): void {
    this.#closed = true;
    this.lane?.close();
  }

  /** Who asks, as far as credentials are known. */
  async credential(): Promise<Credential | undefined> {
    return await this.#auth.user();
  }

  /** Whether the user may push to a repository, as far as that can be told without trying. */
  async mayPush(repository: string, signal?: AbortSignal): Promise<boolean | undefined> {
    return await this.#auth.mayPush({ repository, actions: "pull,push" }, signal);
  }

  /** Forgets all tokens, as a project was made that they are too old for. */
  forgetTokens(): void {
    this.#auth.forget();
  }

  /** URL and current headers for a request that somebody else sends. */
  async prepare(path: string, scopes: Scope[], signal?: AbortSignal): Promise<BlobRequest> {
    const base = await this.base();
    const authorization = await this.#auth.header(scopes, signal);
    return { url: new URL(path, base), headers: authorization === undefined ? {} : { authorization } };
  }

  /** After a 401 to such a request; true when `prepare` gives something better now. */
  async refresh(
    scopes: Scope[],
    used: BlobRequest,
    challenge: string | undefined,
    signal?: AbortSignal,
  ): Promise<boolean> {
    return await this.#auth.challenged(challenge, scopes, used.headers["authorization"], signal);
  }

  /**
   * Asks the registry: authorised, within its limits, again where that may help. Gives the final
   * answer whatever its status.
   * @param target a path (`/v2/…`) or a full address that the registry itself gave
   * @throws AirgapError `network` without an answer, `unauthorized` where no token is given
   */
  async send(target: string | URL, ask: Ask): Promise<HttpResponse> {
    let url = target instanceof URL ? target : new URL(target, await this.base());
    for (let attempt = 1, moves = 0; ; attempt++) {
      const answer = await this.#authorized(url, ask).catch((error: unknown) => error as Error);
      ask.signal?.throwIfAborted();
      const failed = answer instanceof Error;
      const moved =
        failed || ask.redirect === "manual" || moves++ >= MAX_MOVES ? undefined : movedTo(answer, url);
      if (moved !== undefined && !failed) {
        await answer.discard();
        url = moved;
        continue;
      }
      if (failed ? !this.#mayRepeat(answer, ask) : !isRetryable(answer.status)) return settle(answer);
      const plainRefusal = !failed && answer.status === 429;
      const allowed = ask.retry === "never" ? false : ask.retry === "refused" ? plainRefusal : true;
      if (!allowed || attempt > this.#retries) return settle(answer);
      await this.#wait(url, answer, attempt, ask.signal);
    }
  }

  #mayRepeat(error: Error, ask: Ask): boolean {
    return (
      !this.#closed &&
      isAirgapError(error, "network") &&
      ask.retry !== "refused" &&
      !isCertificateProblem(error)
    );
  }

  async #wait(url: URL, answer: HttpResponse | Error, attempt: number, signal?: AbortSignal): Promise<void> {
    const failed = answer instanceof Error;
    const waitMs = backoffMs(attempt, failed ? undefined : answer.headers["retry-after"]);
    if (!failed) await answer.discard();
    const loaded = !failed && (answer.status === 429 || answer.status === 503);
    if (loaded) this.limits.pause(waitMs);
    this.#emit({
      type: "retry",
      what: redactUrl(url),
      reason: failed ? messageOf(answer) : `HTTP ${answer.status}`,
      attempt,
      waitMs,
    });
    await sleep(waitMs, undefined, signal ? { signal } : {});
  }

  /** One request; with a 401 once more, with what that taught and the body from its start. */
  async #authorized(url: URL, ask: Ask): Promise<HttpResponse> {
    const used = await this.#authorization(url, ask);
    const answer = await this.#once(url, ask, used);
    if (answer.status !== 401) return answer;
    const challenge = answer.headers["www-authenticate"];
    if (!(await this.#auth.challenged(challenge, ask.scopes, used, ask.signal))) return answer;
    await answer.discard();
    return await this.#once(url, ask, await this.#auth.header(ask.scopes, ask.signal));
  }

  /** Another host than the registry's gets our authorisation only when it asks for it. */
  async #authorization(url: URL, ask: Ask): Promise<string | undefined> {
    if (url.origin !== (await this.base()).origin) return undefined;
    return await this.#auth.header(ask.scopes, ask.signal);
  }

  async #once(url: URL, ask: Ask, authorization: string | undefined): Promise<HttpResponse> {
    const { scopes: _, retry: __, ...request } = ask;
    const headers = { ...ask.headers, ...(authorization === undefined ? {} : { authorization }) };
    const small = ask.body === undefined;
    return await this.limits.run(async () => {
      const startedAt = performance.now();
      const value = await this.http.request(url, { ...request, headers, retries: 0 });
      const overloaded = value.status === 429 || value.status === 503;
      return {
        value,
        outcome: small ? { overloaded, latencyMs: performance.now() - startedAt } : { overloaded },
      };
    }, ask.signal);
  }
}

/** Where a request with a body is to be sent instead, method and body as they are. RFC 9110, 15.4.8 and 15.4.9. */
function movedTo({ status, headers }: HttpResponse, from: URL): URL | undefined {
  const location = status === 307 || status === 308 ? headers["location"] : undefined;
  const url = location === undefined ? null : URL.parse(location, from);
  return url !== null && /^https?:$/.test(url.protocol) ? url : undefined;
}

function settle(answer: HttpResponse | Error): HttpResponse {
  if (answer instanceof Error) throw answer;
  return answer;
}
