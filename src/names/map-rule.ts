import { AirgapError } from "../errors.ts";
import { isRepository, nameOf, type Reference } from "../oci/reference.ts";

/** One `--map FROM=TO`. */
export interface MapRule {
  /** As written. */
  text: string;
  /** One group for each wildcard. */
  pattern: RegExp;
  to: string;
  /** For each wildcard of TO, the group that replaces it. */
  places: number[];
}

const ANY_PLACE = /\*\*|\*/g;

function invalid(text: string, why: string): AirgapError {
  return new AirgapError("usage", `--map '${text}': ${why}`, {
    suggestions: ["--map 'registry.k8s.io/**=google_containers/*'", "--map 'quay.io/*/*=mirror/*/*'"],
  });
}

/** Spells out Docker's short names as in references: `nginx` means docker.io/library/nginx. */
function canonical(from: string): string {
  const [first = "", ...rest] = from.split("/");
  if (rest.length > 0 && (/[.:*]/.test(first) || first === "localhost")) return from;
  if (first.includes("*")) return from;
  return rest.length === 0 ? `docker.io/library/${from}` : `docker.io/${from}`;
}

/** `**` as a whole component matches any number of components; `*` matches within one. */
function toRegExp(glob: string): RegExp {
  const parts = glob.split("/").map((part) => {
    if (part === "**") return "(.*)";
    return part.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replace(/\*+/g, part === "*" ? "([^/]+)" : "([^/]*)");
  });
  // A `**` that matches nothing also matches the slash beside it.
  const source = parts
    .join("/")
    .replaceAll("(.*)/", "(?:(.*)/)?")
    .replace(/\/\(\.\*\)$/, "(?:/(.*))?");
  return new RegExp(`^${source}$`);
}

/** Pairs each wildcard of TO with the next one of its kind in FROM, or else with the next one left. */
function pair(from: string, to: string): number[] | undefined {
  const free = [...(from.match(ANY_PLACE) ?? [])].map((wildcard, i) => ({ wildcard, group: i + 1 }));
  const places: number[] = [];
  for (const wildcard of to.match(ANY_PLACE) ?? []) {
    const same = free.findIndex((each) => each.wildcard === wildcard);
    const [taken] = free.splice(Math.max(0, same), 1);
    if (taken === undefined) return undefined;
    places.push(taken.group);
  }
  return places;
}

/**
 * Reads a rule. FROM is compared with `host/repository`; in TO each `*` or `**` is replaced by what a
 * wildcard of FROM found: `*` for its last component, `**` for all of it. TO is a path at the
 * target, below its prefix.
 * @throws AirgapError `usage`
 */
export function parseMapRule(text: string): MapRule {
  const equals = text.indexOf("=");
  if (equals <= 0 || equals === text.length - 1) throw invalid(text, "FROM=TO is expected");
  const from = text.slice(0, equals);
  const to = text.slice(equals + 1).replace(/^\/+|\/+$/g, "");
  if (/[:@]/.test(from.slice(from.lastIndexOf("/") + 1)))
    throw invalid(text, "FROM is a repository, without tag and digest");
  const places = pair(from, to);
  if (places === undefined) throw invalid(text, "TO has more wildcards than FROM");
  if (!isRepository(to.replace(ANY_PLACE, "x")))
    throw invalid(text, `'${to}' is not a path (lower case, without host, tag and digest)`);
  return { text, pattern: toRegExp(canonical(from)), to, places };
}

/** The path from the first matching rule, or undefined. */
export function applyRules(reference: Reference, rules: MapRule[]): string | undefined {
  const name = nameOf(reference);
  for (const { pattern, to, places } of rules) {
    const match = pattern.exec(name);
    if (!match) continue;
    let place = 0;
    const filled = to.replace(ANY_PLACE, (wildcard) => {
      const found = match[places[place++] ?? 0] ?? "";
      return wildcard === "**" ? found : found.slice(found.lastIndexOf("/") + 1);
    });
    return filled
      .split("/")
      .filter((part) => part !== "")
      .join("/");
  }
  return undefined;
}
