/** Header names in any case. */
type HeaderMap = Record<string, string>;

const CREDENTIAL_HEADERS = /^(?:authorization|cookie|proxy-authorization)$/i;

/**
 * The rule for every secret that is sent: it belongs to the origin (scheme, host, port) that it was
 * given for. RFC 6454, 4. Where that origin points to, by a redirect, a `Location` or a `Link`, is
 * somebody else, also when only the scheme differs.
 */
export const isSameOrigin = (owner: URL, target: URL): boolean => owner.origin === target.origin;

/** The headers that may be sent to `target` of those that were meant for `owner`. */
export function headersFor(target: URL, owner: URL, headers: HeaderMap): HeaderMap {
  if (isSameOrigin(owner, target)) return headers;
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !CREDENTIAL_HEADERS.test(name)));
}

/**
 * The one exception to the rule: a token service that the registry itself names. It is asked by
 * https, unless the registry itself is plain http.
 * @returns undefined where the password would have to go out in the clear
 */
export function tokenServiceFor(registry: URL, realm: URL): URL | undefined {
  if (registry.protocol !== "https:" || realm.protocol === "https:") return realm;
  if (realm.hostname !== registry.hostname) return undefined;
  // Behind a proxy that ends TLS, registries often write their own address with http.
  const secure = new URL(realm);
  secure.protocol = "https:";
  if (realm.port === "" && registry.port !== "") secure.port = registry.port;
  return secure;
}

/** The `Authorization` of a user. RFC 7617. */
export const basicAuthorization = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`;

/** What is percent-encoded in a URL; a lone `%` is part of the text. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The `Authorization` that a URL itself carries (`user:password@`), as one on a command line may. */
export function loginIn({ username, password }: URL): string | undefined {
  if (username === "" && password === "") return undefined;
  return basicAuthorization(decoded(username), decoded(password));
}
