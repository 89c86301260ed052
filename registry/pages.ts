import { ApiError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";

/** Part of a sorted list, and the address of the next part. */
export interface Page {
  entries: string[];
  link: Record<string, string>;
}

/**
 * The part of a list that `n` and `last` ask for, with RFC 5988's `Link` when there is more.
 * distribution-spec v1.1, "Listing Tags": n=0 gives nothing and no Link.
 * @param sorted by code unit
 * @throws ApiError 400 when `n` is not a number
 */
export function pageOf(exchange: Exchange, sorted: string[], path: string): Page {
  const { query } = exchange;
  const last = query.get("last") ?? "";
  const n = query.get("n");
  if (n !== null && !/^\d{1,9}$/.test(n))
    throw new ApiError(400, "PAGINATION_NUMBER_INVALID", `n=${n} is not a number of entries`);
  const from = last === "" ? 0 : firstAfter(sorted, last);
  if (n === null || n === "") return { entries: sorted.slice(from), link: {} };
  const entries = sorted.slice(from, from + Number(n));
  const final = entries.at(-1);
  if (final === undefined || from + entries.length >= sorted.length) return { entries, link: {} };
  const next = new URLSearchParams(query);
  next.set("last", final);
  return { entries, link: { link: `<${path}?${next}>; rel="next"` } };
}

function firstAfter(sorted: string[], last: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? "") > last) high = middle;
    else low = middle + 1;
  }
  return low;
}
