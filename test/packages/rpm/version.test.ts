import { expect, test } from "vitest";
import {
  compareEvr,
  compareVersionPart,
  EQUAL,
  GREATER,
  LESS,
  rangesOverlap,
} from "../../../src/packages/rpm/version.ts";

// rpm's own vectors: tests/rpmvercmp.at.
const ORDERED: [string, string][] = [
  ["1.0~rc1", "1.0"],
  ["1.0", "1.0^git1"],
  ["1.0^git1", "1.0.1"],
  ["1.0~rc1", "1.0~rc1^git1"],
  ["1.0^git1~pre", "1.0^git1"],
  ["1.0", "1.0.1"],
  ["1.0", "1.0.a"],
  ["1.0a", "1.0aa"],
  ["a", "1"],
  ["1.a", "1.0"],
  ["xyz.4", "2"],
  ["150.el8", "150.el8_10"],
  ["1.0A", "1.0a"],
  ["5.5p9", "5.5p10"],
  ["6.0", "6.0.rc1"],
  ["10b2", "10a1"].reverse() as [string, string],
  ["2.0", "2.0.1"],
  ["1.0^", "1.0^git1"],
  ["1.0^git1", "1.0^git2"],
  ["1.0^20160101", "1.0.1"],
];
const SAME: [string, string][] = [
  ["10.0001", "10.1"],
  ["1.05", "1.5"],
  ["2_0", "2.0"],
  ["a+", "a_"],
  ["1.0.", "1.0"],
  ["fc4", "fc.4"],
  ["", ""],
];

test.each(ORDERED)("%s is older than %s", (a, b) => {
  expect(compareVersionPart(a, b)).toBeLessThan(0);
  expect(compareVersionPart(b, a)).toBeGreaterThan(0);
});

test.each(SAME)("%s is as old as %s", (a, b) => {
  expect(compareVersionPart(a, b)).toBe(0);
});

test("epochs come before versions, releases after them", () => {
  expect(compareEvr("1:1.0-1", "2.0-1")).toBeGreaterThan(0);
  expect(compareEvr("0:1.0-1", "1.0-1")).toBe(0);
  expect(compareEvr("1.0-2", "1.0-10")).toBeLessThan(0);
});

const OPS: Record<string, number> = {
  "<": LESS,
  "<=": LESS | EQUAL,
  "=": EQUAL,
  ">=": GREATER | EQUAL,
  ">": GREATER,
};
const RANGES: [string, string, boolean][] = [
  ["", ">= 9", true],
  ["= 1.0", ">= 1.0-99", true],
  ["= 1.0", "= 1.0-9", true],
  ["= 1.0-5", "= 1.0", true],
  ["= 1.0-5", "> 1.0", false],
  ["= 1.0-5", "< 1.0", false],
  ["= 2:1.0", "= 1.0", false],
  ["= 2:1.0", ">= 5.0", true],
  ["= 1.0", "< 1.0-5", true],
  ["= 0:1.0-1", "= 1.0-1", true],
  ["<= 2.0", ">= 2.0", true],
  ["< 2.0", ">= 2.0", false],
];

test.each(RANGES)("'%s' provided, '%s' wanted: %s", (provided, wanted, expected) => {
  const [opA = "", a = ""] = provided.split(" ");
  const [opB = "", b = ""] = wanted.split(" ");
  expect(rangesOverlap(OPS[opA] ?? 0, a, OPS[opB] ?? 0, b)).toBe(expected);
});
