import type { DebianOperator } from "./version.ts";

/** One alternative of a relation: `name[:qualifier] (operator version)`. */
export interface Alternative {
  name: string;
  /** `any`, `native` or an architecture; empty for the package's own. */
  qualifier: string;
  operator: DebianOperator;
  version: string;
}

const OPERATORS: Record<string, DebianOperator> = {
  "<<": "<<",
  "<": "<=",
  "<=": "<=",
  "=": "=",
  ">=": ">=",
  ">": ">=",
  ">>": ">>",
};
// name[:qualifier] [(operator version)] [\[architectures\]] [<profiles>]
const PATTERN =
  /^([A-Za-z0-9][A-Za-z0-9+.~_-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|>=|>>|=|<|>)\s*([^\s()]+)\s*\))?\s*(?:\[[^\]]*\])?\s*(?:<[^>]*>\s*)*$/;

/** `undefined` for what is not of that form. https://www.debian.org/doc/debian-policy/ch-relationships.html */
export function parseAlternative(text: string): Alternative | undefined {
  const match = PATTERN.exec(text.trim());
  if (!match) return undefined;
  const [, name = "", qualifier = "", operator = "", version = ""] = match;
  return { name, qualifier, operator: OPERATORS[operator] ?? "", version };
}

/** The groups of a field such as Depends, each as it is written: `a (>= 1) | b`. */
export function splitField(value: string | undefined): string[] {
  if (value === undefined) return [];
  return value
    .split(",")
    .map((group) => group.trim().replace(/\s+/g, " "))
    .filter((group) => group !== "");
}

/** The alternatives of a group; what can't be read is left out, since nothing can fulfil it. */
export function alternativesOf(group: string): Alternative[] {
  return group
    .split("|")
    .map(parseAlternative)
    .filter((alternative) => alternative !== undefined);
}
