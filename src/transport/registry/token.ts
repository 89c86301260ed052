import { AirgapError } from "../../errors.ts";
import { type Http, type HttpResponse, redactUrl } from "../../http.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { basicAuthorization, isSameOrigin, tokenServiceFor } from "../../origin.ts";
import type { Credential } from "../credential.ts";
import { failure, protocolError } from "./answer.ts";

/** A requested right in the form of the token protocol: `repository:library/nginx:pull,push`. */
export type ScopeText = string;

/** The token service: the parameters of a Bearer challenge. */
export interface TokenService {
  realm: string;
  service?: string;
}

export interface Token {
  value: string;
  /** Milliseconds of our own clock; the server's `issued_at` is never used. */
  expiresAt: number;
  /** The rights that it gives, if its content is readable: `repository:library/nginx` → actions. */
  grants?: Map<string, string[]>;
}

const MAX_ANSWER = 1024 * 1024;
/** https://distribution.github.io/distribution/spec/auth/token/ : the default when the answer does not say. */
const DEFAULT_SECONDS = 60;
/** Tokens are renewed this long before they expire. */
const MARGIN_MS = 5_000;

function form(service: TokenService, scopes: ScopeText[], refreshToken: string): string {
  const body = new URLSearchParams({
    grant_type: "refresh_token",
    client_id: "airgap",
    refresh_token: refreshToken,
  });
  if (service.service !== undefined) body.set("service", service.service);
  if (scopes.length > 0) body.set("scope", scopes.join(" "));
  return body.toString();
}

function query(service: TokenService, scopes: ScopeText[]): URL {
  const url = new URL(service.realm);
  if (service.service !== undefined) url.searchParams.set("service", service.service);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  return url;
}

/**
 * The rights that a token names. Only used to report a refusal early; the registry decides.
 * https://distribution.github.io/distribution/spec/auth/jwt/ : the claim `access`
 */
function grantsOf(token: string): Map<string, string[]> | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
    if (!isRecord(claims) || !("access" in claims)) return undefined;
    const list = Array.isArray(claims.access) ? claims.access.filter(isRecord) : [];
    return new Map(
      list.map(({ type, name, actions }) => [
        `${type}:${name}`,
        Array.isArray(actions) ? actions.map(String) : [],
      ]),
    );
  } catch {
    return undefined;
  }
}

async function read(response: HttpResponse): Promise<Token> {
  const value = await response.json(MAX_ANSWER);
  const token = isRecord(value) ? value.token || value.access_token : undefined;
  if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token))
    throw protocolError(response, "answered without a token");
  const seconds =
    isRecord(value) && typeof value.expires_in === "number" && value.expires_in > 0
      ? value.expires_in
      : DEFAULT_SECONDS;
  const grants = grantsOf(token);
  return {
    value: token,
    expiresAt: Date.now() + Math.max(seconds * 1000 - MARGIN_MS, 1_000),
    ...(grants ? { grants } : {}),
  };
}

/** The realm as a URL that may receive credentials. @throws AirgapError `protocol` */
function checkedRealm(service: TokenService, registry: URL): TokenService {
  const realm = URL.parse(service.realm);
  if (realm === null || !/^https?:$/.test(realm.protocol)) {
    throw new AirgapError(
      "protocol",
      `${registry.host} names ${JSON.stringify(service.realm)} as its token service, which is not an http(s) address`,
    );
  }
  const allowed = tokenServiceFor(registry, realm);
  if (allowed === undefined) {
    throw new AirgapError(
      "protocol",
      `${registry.host} uses https, but its token service ${redactUrl(realm)} does not: the password would be sent unencrypted`,
      { suggestions: ["ask the registry's administrator to set its token realm to https"] },
    );
  }
  return { ...service, realm: allowed.href };
}

export interface TokenRequest {
  service: TokenService;
  scopes: ScopeText[];
  credential: Credential | undefined;
  /** The registry itself; messages name it. */
  registry: URL;
  host: string;
  signal?: AbortSignal;
}

/**
 * Gets a token: GET with Basic or nothing, POST with an identity token.
 * https://distribution.github.io/distribution/spec/auth/token/ and …/auth/oauth/
 * @throws AirgapError `unauthorized` when the service refuses
 */
export async function requestToken(http: Http, request: TokenRequest): Promise<Token> {
  const { scopes, credential, host } = request;
  const service = checkedRealm(request.service, request.registry);
  // A client certificate is the registry's: a service elsewhere sees none.
  const anonymous = !isSameOrigin(request.registry, new URL(service.realm));
  const common = { anonymous, ...(request.signal ? { signal: request.signal } : {}) };
  const response =
    credential && "identityToken" in credential
      ? await http.request(service.realm, {
          method: "POST",
          headers: { "content-type": "application/x-www-form-urlencoded" },
          body: form(service, scopes, credential.identityToken),
          ...common,
        })
      : await http.request(query(service, scopes), {
          headers: credential
            ? { authorization: basicAuthorization(credential.username, credential.password) }
            : {},
          ...common,
        });
  if (response.status === 200) return await read(response);
  const who =
    credential === undefined
      ? "without a login"
      : "username" in credential
        ? `for user ${credential.username}`
        : "for the stored identity token";
  throw await failure(response, `a token for ${host} ${who}`, host, new URL(service.realm).host);
}
