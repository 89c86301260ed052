import { AirgapError } from "../../errors.ts";
import type { Http } from "../../http.ts";
import { redactUrl } from "../../http.ts";
import { digestOf } from "../../oci/digest.ts";
import { readPlace } from "../../transport/url.ts";
import { get, itemsOf, type Node, stringAt } from "../documents/node.ts";
import { parseOne } from "../documents/parse.ts";
import { Text } from "../documents/text.ts";
import { newest } from "./semver.ts";

/** Largest index: a large repository has all versions of hundreds of charts. */
const MAX_INDEX = 128 * 1024 * 1024;
export const MAX_ARCHIVE = 100 * 1024 * 1024;

/**
 * The versions of one chart in an index. Indexes are large and only one chart is needed: only its section
 * is parsed when the index has the form that Helm writes, otherwise all of it.
 */
function versionsOf(index: string, name: string, url: string): Node[] {
  const text = new Text(redactUrl(url), index);
  const heading = new RegExp(`^( +)["']?${name.replace(/[^A-Za-z0-9]/g, "\\$&")}["']?:[ \\t]*\\r?\\n`, "m");
  const entries = /^entries:[ \t]*\r?$/m.exec(index);
  const match = entries && heading.exec(index.slice(entries.index));
  if (!entries || !match) return itemsOf(get(parseOne(text), "entries", name));
  const start = entries.index + match.index;
  const rest = index.slice(start + match[0].length);
  const end = new RegExp(`^(?: {0,${(match[1] as string).length}})[^ \\-\\r\\n#]`, "m").exec(rest);
  const stop = start + match[0].length + (end?.index ?? rest.length);
  return itemsOf(get(parseOne(text, start, stop), name));
}

/** A packaged chart as a repository sent it. */
export interface Packaged {
  bytes: Buffer;
  version: string;
  /** For the lock: where it came from. */
  origin: string;
}

/**
 * Fetches a chart from a repository by name and version or range, checked against the index.
 * https://helm.sh/docs/topics/chart_repository/
 * @throws AirgapError `not-found` with the available versions, `corrupt`, `network`
 */
export async function fetchFromRepository(
  http: Http,
  repository: string,
  name: string,
  range: string | undefined,
  signal?: AbortSignal,
): Promise<Packaged> {
  const base = repository.replace(/\/*$/, "/");
  const indexUrl = new URL("index.yaml", base).href;
  const index = (await readPlace(http, indexUrl, MAX_INDEX, undefined, signal)).toString("utf8");
  const entries = versionsOf(index, name, indexUrl);
  const versions = entries.flatMap((entry) => stringAt(entry, "version") ?? []);
  if (versions.length === 0) throw new AirgapError("not-found", `${redactUrl(base)} has no chart '${name}'`);
  const version = newest(versions, range);
  const entry = entries.find((candidate) => stringAt(candidate, "version") === version);
  const [place] = itemsOf(get(entry, "urls"));
  if (version === undefined || place?.kind !== "scalar") {
    throw new AirgapError(
      "not-found",
      `${redactUrl(base)} has no version of '${name}' that fits '${range ?? "*"}'; it has ${versions.slice(0, 10).join(", ")}`,
    );
  }
  const url = URL.parse(place.value, base)?.href;
  if (url === undefined)
    throw new AirgapError("protocol", `${redactUrl(base)} does not give a URL for ${name} ${version}`);
  const bytes = await readPlace(http, url, MAX_ARCHIVE, undefined, signal);
  const digest = stringAt(entry, "digest")?.replace(/^sha256:/, "");
  if (digest !== undefined && /^[0-9a-f]{64}$/.test(digest) && digestOf(bytes) !== `sha256:${digest}`) {
    throw new AirgapError(
      "corrupt",
      `${redactUrl(url)} has the wrong content: the index says sha256:${digest}, found ${digestOf(bytes)}`,
    );
  }
  return { bytes, version, origin: redactUrl(url) };
}
