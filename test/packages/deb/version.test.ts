import { expect, test } from "vitest";
import { compareDebianVersions, inRange } from "../../../src/packages/deb/version.ts";

// Each answer is dpkg's: dpkg --compare-versions A lt B.
test.each([
  ["1.0", "1.0."],
  ["1.0", "1.a"],
  ["1.0a", "1.0+"],
  ["1.0~rc1", "1.0"],
  ["1.0~~", "1.0~"],
  ["1.9", "1.10"],
  ["9", "1:1"],
  ["1.0-1", "1.0-1+b1"],
  ["1.0-1", "1.0-2"],
])("%s is older than %s", (a, b) => {
  expect(compareDebianVersions(a, b)).toBeLessThan(0);
  expect(compareDebianVersions(b, a)).toBeGreaterThan(0);
});

test.each([
  ["1.0", "1.0-0"],
  ["1.05", "1.5"],
  ["0:1.0", "1.0"],
])("%s is as old as %s", (a, b) => {
  expect(compareDebianVersions(a, b)).toBe(0);
});

test("<< and >> leave the bound out", () => {
  expect(inRange("1.0", "<<", "1.0")).toBe(false);
  expect(inRange("1.0", "<=", "1.0")).toBe(true);
  expect(inRange("1.0~a", "<<", "1.0")).toBe(true);
  expect(inRange("1.0", ">>", "1.0~a")).toBe(true);
});
