/**
 * How Debian orders versions: `[epoch:]upstream[-revision]`.
 * https://www.debian.org/doc/debian-policy/ch-controlfields.html#version
 */

const isDigit = (code: number): boolean => code >= 48 && code <= 57;
const isAlpha = (code: number): boolean => (code >= 65 && code <= 90) || (code >= 97 && code <= 122);

/** `~` before the end, the end before letters, letters before the rest. */
function weight(code: number): number {
  if (Number.isNaN(code) || isDigit(code)) return 0;
  if (code === 126) return -1;
  return isAlpha(code) ? code : code + 256;
}

function comparePart(a: string, b: string): number {
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    while ((i < a.length && !isDigit(a.charCodeAt(i))) || (j < b.length && !isDigit(b.charCodeAt(j)))) {
      const order = weight(a.charCodeAt(i)) - weight(b.charCodeAt(j));
      if (order !== 0) return order;
      i++;
      j++;
    }
    const [x, y] = [numberAt(a, i), numberAt(b, j)];
    if (x.digits.length !== y.digits.length) return x.digits.length - y.digits.length;
    if (x.digits !== y.digits) return x.digits < y.digits ? -1 : 1;
    i = x.end;
    j = y.end;
  }
  return 0;
}

function numberAt(text: string, at: number): { digits: string; end: number } {
  let start = at;
  while (text.charCodeAt(start) === 48) start++;
  let end = start;
  while (end < text.length && isDigit(text.charCodeAt(end))) end++;
  return { digits: text.slice(start, end), end };
}

function split(version: string): { epoch: string; upstream: string; revision: string } {
  const colon = version.indexOf(":");
  const rest = colon < 0 ? version : version.slice(colon + 1);
  const dash = rest.lastIndexOf("-");
  return {
    epoch: colon < 0 ? "0" : version.slice(0, colon),
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? "" : rest.slice(dash + 1),
  };
}

/** Negative, 0 or positive, as `a` is older than, the same as, or newer than `b`. */
export function compareDebianVersions(a: string, b: string): number {
  if (a === b) return 0;
  const x = split(a);
  const y = split(b);
  return (
    comparePart(x.epoch, y.epoch) ||
    comparePart(x.upstream, y.upstream) ||
    comparePart(x.revision, y.revision)
  );
}

export type DebianOperator = "" | "<<" | "<=" | "=" | ">=" | ">>";

export function inRange(version: string, operator: DebianOperator, bound: string): boolean {
  if (operator === "") return true;
  const order = compareDebianVersions(version, bound);
  switch (operator) {
    case "<<":
      return order < 0;
    case "<=":
      return order <= 0;
    case "=":
      return order === 0;
    case ">=":
      return order >= 0;
    case ">>":
      return order > 0;
  }
}
