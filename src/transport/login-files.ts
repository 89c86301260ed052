import { readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { AirgapError } from "../errors.ts";

/** One `machine` of a netrc file. */
export interface Machine {
  /** `host`; in apt's files also `scheme://host:port/path`. Undefined for `default`. */
  name?: string;
  login?: string;
  password?: string;
}

const MAX_TOKEN = 64 * 1024;

/** A word, or a `"quoted one"`. */
interface Word {
  text: string;
  quoted: boolean;
}

/** Words of a text, one at a time. A `#` begins a comment only where a keyword may stand: passwords have some. */
function reader(text: string): (comments: boolean) => Word | undefined {
  let at = 0;
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) at = pattern.lastIndex;
    return found;
  };
  return (comments) => {
    match(/\s*/y);
    while (comments && match(/#[^\n]*/y)) match(/\s*/y);
    const found = match(/"((?:[^"\\]|\\.)*)"|(\S+)/y);
    if (found === null) return undefined;
    const quoted = found[1] !== undefined;
    return { text: found[1]?.replace(/\\(.)/g, "$1") ?? (found[2] as string), quoted };
  };
}

const KEYWORDS = new Set(["machine", "default", "login", "password", "account", "macdef"]);

/**
 * Reads a file in netrc format, such as `~/.netrc` or apt's auth.conf. Macros are ignored.
 * https://everything.curl.dev/usingcurl/netrc.html, apt_auth.conf(5)
 */
export function parseNetrc(text: string): Machine[] {
  const machines: Machine[] = [];
  const next = reader(
    text.slice(0, MAX_TOKEN * 16).replace(/^\s*macdef\b[\s\S]*?(?:\n[ \t]*\n|$(?![\s\S]))/gm, ""),
  );
  const value = (keyword: string): string | undefined => {
    const word = next(false);
    if (word !== undefined && !word.quoted && KEYWORDS.has(word.text))
      throw new AirgapError("spec", `A netrc file has '${keyword}' without a value`, {
        suggestions: [`write a value that is the word ${word.text} in quotes`],
      });
    return word?.text;
  };
  for (let word = next(true); word !== undefined; word = next(true)) {
    const current = machines.at(-1);
    const keyword = word.text;
    if (keyword === "default") machines.push({});
    else if (keyword === "machine") {
      const name = value(keyword);
      if (name !== undefined) machines.push({ name });
    } else if (keyword === "login" || keyword === "password") {
      const given = value(keyword);
      if (current && given !== undefined) current[keyword] = given;
    } else if (keyword === "account") value(keyword);
  }
  return machines;
}

/** Whether an entry of apt's is for this URL: https only, unless the entry names another scheme. apt_auth.conf(5) */
export function fitsApt({ name }: Machine, url: URL): boolean {
  if (name === undefined) return false;
  const match = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(\[[^\]]*\]|[^:/]*)(?::(\d+))?(\/.*)?$/i.exec(name);
  if (match === null) return false;
  const [, scheme = "https", host = "", port, path = "/"] = match;
  return (
    url.protocol === `${scheme.toLowerCase()}:` &&
    url.hostname === host.toLowerCase() &&
    (port === undefined || port === portOf(url)) &&
    url.pathname.startsWith(path)
  );
}

/** Whether an entry of `~/.netrc` is for this URL: by the host's name alone, or as `default`. */
export const fitsNetrc = ({ name }: Machine, url: URL): boolean =>
  name === undefined || name.toLowerCase() === url.hostname || name.toLowerCase() === url.host;

const portOf = (url: URL): string => url.port || (url.protocol === "https:" ? "443" : "80");

function read(path: string, required: boolean): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if (!required) return undefined;
    throw new AirgapError("usage", `Cannot read ${path}, which NETRC names`, { cause });
  }
}

/** `$NETRC`, or `~/.netrc` if it is not set. @throws AirgapError `usage` when the named one cannot be read */
export function netrcMachines(env: NodeJS.ProcessEnv): Machine[] {
  const named = env["NETRC"];
  const text = read(named || join(env["HOME"] || homedir(), ".netrc"), Boolean(named));
  return text === undefined ? [] : parseNetrc(text);
}

/** apt's `auth.conf` and `auth.conf.d/*.conf`, as far as they are readable. */
export function aptMachines(etc = "/etc/apt"): Machine[] {
  const folder = join(etc, "auth.conf.d");
  let names: string[] = [];
  try {
    names = readdirSync(folder)
      .filter((name) => /^[\w.-]+\.conf$/.test(name))
      .toSorted();
  } catch {
    // Most machines do not have the folder.
  }
  return [join(etc, "auth.conf"), ...names.map((name) => join(folder, name))].flatMap((path) =>
    parseNetrc(read(path, false) ?? ""),
  );
}
