import { AirgapError } from "../../errors.ts";
import type { Http } from "../../http.ts";
import { basicAuthorization } from "../../origin.ts";
import type { Credential, Credentials } from "../credential.ts";
import { parseChallenges } from "./challenge.ts";
import { requestToken, type ScopeText, type Token, type TokenService } from "./token.ts";

/** The rights that a request needs: on one repository, and for a mount on another. */
export interface Scope {
  /** Empty: the list of all repositories. */
  repository: string;
  actions: "pull" | "pull,push";
}

export interface AuthorizerOptions {
  /** As users write it: `docker.io`. */
  host: string;
  http: Http;
  credentials: Credentials;
  /** The host that serves the registry's API. */
  base(): Promise<URL>;
}

/** Harbor looks at rights project by project, so that one token serves all of a project's repositories. */
export const HARBOR_SERVICE = "harbor-registry";

const textOf = (scope: Scope): ScopeText =>
  scope.repository === "" ? "registry:catalog:*" : `repository:${scope.repository}:${scope.actions}`;
const isCatalog = ([scope]: Scope[]): boolean => scope?.repository === "";
const projectOf = (scope: Scope): string => scope.repository.split("/", 1)[0] as string;

/**
 * Knows how one registry wants requests to be authorised. Each token is for the repositories of one
 * request only: with many scopes, headers grow so large that proxies refuse them.
 */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  #bearer: TokenService | undefined;
  #basic = false;
  /** Harbor gives tokens for its catalog and takes none there. */
  #isCatalogBasic = false;
  readonly #tokens = new Map<string, Promise<Token>>();
  /** Scopes that the server named for a request, besides ours. */
  readonly #extra = new Map<string, ScopeText[]>();

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /** The `Authorization` for a request by all that is known so far; undefined for none. */
  async header(scopes: Scope[], signal?: AbortSignal): Promise<string | undefined> {
    const basic = this.#isCatalogBasic && isCatalog(scopes);
    if (this.#bearer && !basic) return `Bearer ${(await this.#token(scopes, signal)).value}`;
    if (!this.#basic && !basic) return undefined;
    const credential = await this.#credential(scopes);
    return credential && "username" in credential
      ? basicAuthorization(credential.username, credential.password)
      : undefined;
  }

  /**
   * Learns from a 401. True when asking again may help: `used` was not the best that we have.
   * A wrong clock does not matter here: the server's answer counts, not a token's dates.
   */
  async challenged(
    header: string | undefined,
    scopes: Scope[],
    used: string | undefined,
    signal?: AbortSignal,
  ): Promise<boolean> {
    this.learn(header, scopes);
    const key = this.#key(this.#needed(scopes));
    const held = await this.#tokens.get(key)?.catch(() => undefined);
    if (held === undefined || used === `Bearer ${held.value}`) this.#tokens.delete(key);
    const next = await this.header(scopes, signal);
    return next !== undefined && next !== used;
  }

  /** Whether a token for `scope` really allows a push; undefined when only a try can tell. */
  async mayPush(scope: Scope, signal?: AbortSignal): Promise<boolean | undefined> {
    if (!this.#bearer) return undefined;
    const { grants } = await this.#token([scope], signal);
    if (grants === undefined) return undefined;
    return [...grants.values()].some((actions) => actions.includes("push") || actions.includes("*"));
  }

  /** The token service that the registry named, if any. */
  get service(): string | undefined {
    return this.#bearer?.service;
  }

  /** Drops all tokens: Harbor refuses those that are older than the project that they are for. */
  forget(): void {
    this.#tokens.clear();
  }

  /** Who the user is at this registry. */
  async user(repository?: string): Promise<Credential | undefined> {
    return await this.#options.credentials.for(this.#options.host, repository);
  }

  /** Notes how the server wants requests to be authorised, by its `WWW-Authenticate` to a request with these scopes. */
  learn(header: string | undefined, scopes: Scope[] = []): void {
    const challenges = parseChallenges(header);
    const bearer = challenges.find(({ scheme, parameters }) => scheme === "bearer" && parameters["realm"]);
    if (bearer) {
      const { realm = "", service, scope = "" } = bearer.parameters;
      this.#bearer = { realm, ...(service === undefined ? {} : { service }) };
      const ours = new Set(scopes.map((each) => `repository:${each.repository}`));
      const further = scope
        .split(" ")
        .filter((text) => text !== "" && !ours.has(text.slice(0, text.lastIndexOf(":"))));
      if (further.length > 0 && scopes.length > 0) this.#extra.set(this.#key(this.#needed(scopes)), further);
    } else if (challenges.some(({ scheme }) => scheme === "basic")) {
      // Harbor names Basic also where a token gives no right: only for the catalog it means what it says.
      if (!this.#bearer) this.#basic = true;
      else if (isCatalog(scopes)) this.#isCatalogBasic = true;
    }
  }

  async #credential(scopes: Scope[]): Promise<Credential | undefined> {
    return await this.#options.credentials.for(this.#options.host, scopes[0]?.repository);
  }

  /** Requests with one key share a token. */
  #key(scopes: Scope[]): string {
    return scopes
      .map((scope) => (this.#perProject ? `${projectOf(scope)}:${scope.actions}` : textOf(scope)))
      .join(" ");
  }

  get #perProject(): boolean {
    return this.#bearer?.service === HARBOR_SERVICE;
  }

  /** Of scopes that one token covers, the first: within a Harbor project, the right to push includes the right to pull. */
  #needed(scopes: Scope[]): Scope[] {
    if (!this.#perProject) return scopes;
    const covered = (scope: Scope, i: number): boolean =>
      scopes.some(
        (other, j) =>
          projectOf(other) === projectOf(scope) &&
          i !== j &&
          (other.actions === scope.actions ? j < i : other.actions === "pull,push"),
      );
    return scopes.filter((scope, i) => !covered(scope, i));
  }

  async #token(asked: Scope[], signal?: AbortSignal): Promise<Token> {
    const scopes = this.#needed(asked);
    const key = this.#key(scopes);
    const held = this.#tokens.get(key);
    const token = await held?.catch(() => undefined);
    if (token && token.expiresAt > Date.now()) return token;
    // Another request may have started to renew it in the meantime.
    const current = this.#tokens.get(key);
    if (current !== undefined && current !== held) return await current;
    const fresh = this.#fetch(scopes, key, signal);
    this.#tokens.set(key, fresh);
    fresh.catch(() => this.#tokens.get(key) === fresh && this.#tokens.delete(key));
    return await fresh;
  }

  async #fetch(scopes: Scope[], key: string, signal?: AbortSignal): Promise<Token> {
    if (this.#bearer === undefined)
      throw new AirgapError("protocol", `${this.#options.host} did not name a token service`);
    const { host, http, base } = this.#options;
    return await requestToken(http, {
      service: this.#bearer,
      scopes: [...scopes.map(textOf), ...(this.#extra.get(key) ?? [])],
      credential: await this.#credential(scopes),
      registry: await base(),
      host,
      ...(signal ? { signal } : {}),
    });
  }
}
