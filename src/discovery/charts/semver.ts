/** https://semver.org/spec/v2.0.0.html, also with missing parts and a leading `v`, as charts write versions. */
interface Version {
  numbers: [number, number, number];
  pre: string[];
}

const PATTERN = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/;

function parse(text: string): Version | undefined {
  const match = PATTERN.exec(text.trim());
  if (match === null) return undefined;
  const [, major, minor, patch, pre] = match;
  return { numbers: [Number(major), Number(minor ?? 0), Number(patch ?? 0)], pre: pre ? pre.split(".") : [] };
}

function compareIdentifiers(a: string, b: string): number {
  const [x, y] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (x && y) return Number(a) - Number(b);
  if (x !== y) return x ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

function compare(a: Version, b: Version): number {
  for (let i = 0; i < 3; i++) {
    const difference = (a.numbers[i] as number) - (b.numbers[i] as number);
    if (difference !== 0) return difference;
  }
  if (a.pre.length === 0 || b.pre.length === 0) return b.pre.length - a.pre.length;
  for (let i = 0; i < Math.max(a.pre.length, b.pre.length); i++) {
    const [x, y] = [a.pre[i], b.pre[i]];
    if (x === undefined || y === undefined) return x === undefined ? -1 : 1;
    const difference = compareIdentifiers(x, y);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** By precedence; a text that is not a version comes first. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [parse(a), parse(b)];
  if (x === undefined || y === undefined) return x === y ? 0 : x === undefined ? -1 : 1;
  return compare(x, y);
}

export const isVersion = (text: string): boolean => parse(text) !== undefined;

type Test = (version: Version) => boolean;

/** The first version above all versions with the same first `kept` numbers. */
function next({ numbers }: Version, kept: number): Version {
  const raised = numbers.map((number, i) =>
    i < kept - 1 ? number : i === kept - 1 ? number + 1 : 0,
  ) as Version["numbers"];
  return { numbers: raised, pre: [] };
}

function comparator(text: string): Test | undefined {
  const match = /^(=|!=|>=|=>|<=|=<|>|<|~>?|\^)?\s*(v?[\dxX*][\w.*+-]*)$/.exec(text);
  if (match === null) return undefined;
  const [, operator = "", operand = ""] = match;
  const parts = operand.replace(/^v/, "").split(/[-+]/)[0]?.split(".") ?? [];
  const wild = parts.findIndex((part) => /^[xX*]$/.test(part));
  const given = wild < 0 ? Math.min(parts.length, 3) : wild;
  if (given === 0) return () => true;
  const low = parse(wild < 0 ? operand : parts.slice(0, wild).join("."));
  if (low === undefined) return undefined;
  const between =
    (kept: number): Test =>
    (version) =>
      compare(version, low) >= 0 && compare(version, next(low, kept)) < 0;
  switch (operator) {
    case "^": {
      const firstSet = low.numbers.findIndex((number, i) => number !== 0 && i < given);
      return between(firstSet < 0 ? given : firstSet + 1);
    }
    case "~":
    case "~>":
      return between(Math.min(given, 2));
    case ">":
      return given < 3
        ? (version) => compare(version, next(low, given)) >= 0
        : (version) => compare(version, low) > 0;
    case ">=":
    case "=>":
      return (version) => compare(version, low) >= 0;
    case "<":
      return (version) => compare(version, low) < 0;
    case "<=":
    case "=<":
      return given < 3
        ? (version) => compare(version, next(low, given)) < 0
        : (version) => compare(version, low) <= 0;
    case "!=":
      return given < 3 ? (version) => !between(given)(version) : (version) => compare(version, low) !== 0;
    default:
      return given < 3 ? between(given) : (version) => compare(version, low) === 0;
  }
}

/**
 * Whether a version is in a range as Helm reads it: `^1.2`, `~1.2.3`, `>=1.0 <2.0`, `1.x`,
 * `1.2 - 1.4`, `a || b`. A pre-release only matches a range that names one.
 * Rules: Masterminds/semver v3, "Checking Version Constraints".
 * @returns undefined when the range cannot be read
 */
export function inRange(text: string, range: string): boolean | undefined {
  const version = parse(text);
  if (version === undefined) return false;
  let any = false;
  for (const alternative of range.split("||")) {
    const spelled = alternative.trim().replace(/(\S+)\s+-\s+(\S+)/g, ">=$1 <=$2");
    const tests = (spelled === "" ? "*" : spelled)
      .replace(/(=|!=|>=|=>|<=|=<|>|<|~>?|\^)\s+/g, "$1")
      .split(/[\s,]+/)
      .filter(Boolean)
      .map(comparator);
    if (tests.some((test) => test === undefined)) return undefined;
    const preAllowed = version.pre.length === 0 || /\d-[0-9A-Za-z]/.test(spelled);
    if (preAllowed && tests.every((test) => test?.(version))) any = true;
  }
  return any;
}

/** The newest version of a list that is in a range, or of all releases when there is no range. */
export function newest(versions: string[], range?: string): string | undefined {
  if (range !== undefined && versions.includes(range)) return range;
  const fitting = versions.filter((version) =>
    range === undefined ? parse(version)?.pre.length === 0 : inRange(version, range),
  );
  return fitting.sort(compareVersions).at(-1);
}
