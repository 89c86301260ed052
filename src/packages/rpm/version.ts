/**
 * How RPM orders versions. The rules are rpm's own (rpmio/rpmvercmp.c documents them by example in
 * tests/rpmvercmp.at): segments of digits or letters, `~` before everything, `^` after the end but
 * before any further segment.
 */

const isDigit = (code: number): boolean => code >= 48 && code <= 57;
const isAlpha = (code: number): boolean => (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
const TILDE = 126;
const CARET = 94;

function skipSeparators(text: string, at: number): number {
  let i = at;
  while (i < text.length) {
    const code = text.charCodeAt(i);
    if (isDigit(code) || isAlpha(code) || code === TILDE || code === CARET) break;
    i++;
  }
  return i;
}

function segmentEnd(text: string, at: number, belongs: (code: number) => boolean): number {
  let i = at;
  while (i < text.length && belongs(text.charCodeAt(i))) i++;
  return i;
}

function compareDigits(a: string, b: string): number {
  const x = a.replace(/^0+/, "");
  const y = b.replace(/^0+/, "");
  if (x.length !== y.length) return x.length < y.length ? -1 : 1;
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Negative, 0 or positive, as `a` is older than, the same as, or newer than `b`. */
export function compareVersionPart(a: string, b: string): number {
  if (a === b) return 0;
  let i = 0;
  let j = 0;
  for (;;) {
    i = skipSeparators(a, i);
    j = skipSeparators(b, j);
    const ca = a.charCodeAt(i);
    const cb = b.charCodeAt(j);
    if (ca === TILDE || cb === TILDE) {
      if (ca !== TILDE) return 1;
      if (cb !== TILDE) return -1;
      i++;
      j++;
      continue;
    }
    if (ca === CARET || cb === CARET) {
      if (i >= a.length) return -1;
      if (j >= b.length) return 1;
      if (ca !== CARET) return 1;
      if (cb !== CARET) return -1;
      i++;
      j++;
      continue;
    }
    if (i >= a.length || j >= b.length) break;
    const digits = isDigit(ca);
    const endA = segmentEnd(a, i, digits ? isDigit : isAlpha);
    const endB = segmentEnd(b, j, digits ? isDigit : isAlpha);
    if (endB === j) return digits ? 1 : -1;
    const x = a.slice(i, endA);
    const y = b.slice(j, endB);
    const order = digits ? compareDigits(x, y) : x < y ? -1 : x > y ? 1 : 0;
    if (order !== 0) return order;
    i = endA;
    j = endB;
  }
  if (i >= a.length && j >= b.length) return 0;
  return i >= a.length ? -1 : 1;
}

/** `[epoch:]version[-release]`; `release` is undefined where none is given. */
export interface Evr {
  epoch: string;
  version: string;
  release: string | undefined;
}

export function parseEvr(text: string): Evr {
  const colon = text.indexOf(":");
  const hasEpoch = colon > 0 && /^\d+$/.test(text.slice(0, colon));
  const rest = hasEpoch ? text.slice(colon + 1) : text;
  const dash = rest.lastIndexOf("-");
  return {
    epoch: hasEpoch ? text.slice(0, colon) : "0",
    version: dash < 0 ? rest : rest.slice(0, dash),
    release: dash < 0 || dash === rest.length - 1 ? undefined : rest.slice(dash + 1),
  };
}

/** The shortest form that means the same: an epoch of 0 is left out. */
export function formatEvr(epoch: string | undefined, version: string, release: string | undefined): string {
  const e = epoch === undefined || /^0*$/.test(epoch) ? "" : `${epoch}:`;
  return `${e}${version}${release ? `-${release}` : ""}`;
}

function compareParsed(a: Evr, b: Evr): number {
  return compareVersionPart(a.epoch, b.epoch) || compareVersionPart(a.version, b.version);
}

/** A total order: a missing release comes before any. */
export function compareEvr(a: string, b: string): number {
  if (a === b) return 0;
  const x = parseEvr(a);
  const y = parseEvr(b);
  const order = compareParsed(x, y);
  if (order !== 0) return order;
  if (x.release === undefined || y.release === undefined)
    return x.release === y.release ? 0 : x.release === undefined ? -1 : 1;
  return compareVersionPart(x.release, y.release);
}

export const LESS = 1;
export const EQUAL = 2;
export const GREATER = 4;
/** A set of LESS, EQUAL, GREATER; 0 is "any version". */
export type Op = number;

/**
 * Whether the ranges `opA a` and `opB b` share a version. A version without a release stands for
 * all its releases, an epoch that is left out is 0, and no range at all overlaps with every other.
 */
export function rangesOverlap(opA: Op, a: string, opB: Op, b: string): boolean {
  if (opA === 0 || opB === 0) return true;
  const x = parseEvr(a);
  const y = parseEvr(b);
  let order = compareParsed(x, y);
  if (order === 0 && x.release !== undefined && y.release !== undefined)
    order = compareVersionPart(x.release, y.release);
  else if (order === 0 && x.release !== y.release && ((x.release === undefined ? opA : opB) & EQUAL) !== 0)
    return true;
  if (order < 0) return (opA & GREATER) !== 0 || (opB & LESS) !== 0;
  if (order > 0) return (opA & LESS) !== 0 || (opB & GREATER) !== 0;
  return (opA & opB) !== 0;
}
