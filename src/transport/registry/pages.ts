import type { Headers, HttpResponse } from "../../http.ts";
import { protocolError } from "./answer.ts";
import type { Repository } from "./manifests.ts";

const MAX_PAGES = 10_000;

/** The `rel="next"` target of a Link header. RFC 8288. */
export function nextLink(headers: Headers): string | undefined {
  for (const match of (headers["link"] ?? "").matchAll(/<([^>]*)>([^<]*)/g)) {
    if (/;\s*rel\s*=\s*"?(?:[^";,]*\s)?next(?:\s[^";,]*)?"?\s*(?:[;,]|$)/i.test(match[2] as string))
      return match[1];
  }
  return undefined;
}

/**
 * A listing page by page; ends at the first answer that is not 200. Only the path and query of a
 * link count: registries behind proxies write addresses that clients cannot reach.
 */
export async function* pages(
  { client, scopes }: Repository,
  path: string,
  signal?: AbortSignal,
): AsyncGenerator<HttpResponse> {
  const seen = new Set<string>();
  for (let next: string | undefined = path; next !== undefined && seen.size < MAX_PAGES; ) {
    seen.add(next);
    const response: HttpResponse = await client.send(next, { scopes, ...(signal ? { signal } : {}) });
    yield response;
    const link = response.status === 200 ? nextLink(response.headers) : undefined;
    if (link === undefined) return;
    const linked = URL.parse(link, response.url);
    if (linked === null) throw protocolError(response, "links to a next page whose address is invalid");
    next = linked.pathname + linked.search;
    if (seen.has(next)) throw protocolError(response, "links to a page that was read already");
  }
}
