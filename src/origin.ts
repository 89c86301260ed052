/** Header names in any case. */
type HeaderMap = Record<string, string>;

const CREDENTIAL_HEADERS = /^(?:authorization|cookie|proxy-authorization)$/i;

/**
 * The rule for every secret that is sent: it belongs to the origin (scheme, host, port) that it is
 * for. RFC 6454, 4. An address that this origin names by a redirect, a `Location` or a `Link` is
 * another origin, even when only the scheme differs.
 */
export const isSameOrigin = (owner: URL, target: URL): boolean => owner.origin === target.origin;

/** Of the headers for `owner`, those that may be sent to `target`. */
export function headersFor(target: URL, owner: URL, headers: HeaderMap): HeaderMap {
  if (isSameOrigin(owner, target)) return headers;
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !CREDENTIAL_HEADERS.test(name)));
}

/**
 * The only exception: a token service that the registry itself names. It must use
 * https, unless the registry itself is plain http.
 * @returns undefined when the password would be sent unencrypted
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

/** Decodes percent-encoding in a URL; a lone `%` is part of the text. */
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
