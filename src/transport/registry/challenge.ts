/** One challenge of a `WWW-Authenticate` header. RFC 9110, 11.6.1. */
export interface Challenge {
  /** Lower case: `basic`, `bearer`. */
  scheme: string;
  /** Lower-case names. */
  parameters: Record<string, string>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const VALUE = /"((?:[^"\\]|\\.)*)"|([^\s,"]+)/y;

/** Reads the pattern at `at`; gives the match and where it ends. */
function take(
  pattern: RegExp,
  text: string,
  at: number,
): { match: RegExpExecArray; end: number } | undefined {
  pattern.lastIndex = at;
  const match = pattern.exec(text);
  return match === null ? undefined : { match, end: pattern.lastIndex };
}

const skip = (text: string, at: number, characters: string): number => {
  let end = at;
  while (end < text.length && characters.includes(text[end] as string)) end++;
  return end;
};

/** `name=value` at `at`, or undefined when a new challenge starts. */
function parameterAt(text: string, at: number): { name: string; value: string; end: number } | undefined {
  const name = take(TOKEN, text, at);
  if (name === undefined) return undefined;
  const equals = skip(text, name.end, " \t");
  if (text[equals] !== "=") return undefined;
  const value = take(VALUE, text, skip(text, equals + 1, " \t"));
  if (value === undefined) return undefined;
  return {
    name: name.match[0].toLowerCase(),
    value: value.match[1]?.replace(/\\(.)/g, "$1") ?? value.match[2] ?? "",
    end: value.end,
  };
}

/**
 * All challenges of a header, also of several headers joined with commas. What cannot be read is
 * left out: a server may offer schemes that are not known here.
 */
export function parseChallenges(header: string | undefined): Challenge[] {
  const found: Challenge[] = [];
  const text = header ?? "";
  for (let at = skip(text, 0, " \t,"); at < text.length; at = skip(text, at, " \t,")) {
    const parameter = parameterAt(text, at);
    const current = found.at(-1);
    if (parameter && current) {
      current.parameters[parameter.name] ??= parameter.value;
      at = parameter.end;
      continue;
    }
    const scheme = take(TOKEN, text, at);
    if (scheme) found.push({ scheme: scheme.match[0].toLowerCase(), parameters: {} });
    at = scheme ? scheme.end : at + 1;
  }
  return found;
}
