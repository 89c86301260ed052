import { describe, expect, it } from "vitest";
import { parseFacts } from "../../src/lock/package-facts.ts";
import { clusterOf, packageSet } from "../support/install/site.ts";

const facts = packageSet("rocky-9.4", clusterOf()).facts;
const withPackage = (over: Record<string, unknown>): unknown => ({
  ...facts,
  packages: [{ ...facts.packages[0], ...over }],
});

describe("a lock's package set", () => {
  it("is read as it was written", () => {
    expect(parseFacts(JSON.parse(JSON.stringify(facts)), "el9")).toEqual(facts);
    expect(parseFacts(withPackage({ name: "libstdc++", version: "1:1.0~rc1^git+2-3" }), "el9")).toBeDefined();
  });

  it.each([
    { name: "two words" },
    { name: "--installroot=/x" },
    { name: "" },
    { name: "*" },
    { version: "1.0\n2" },
    { version: "[0-9]" },
    { arch: "x86_64 noarch" },
    { name: 7 },
  ])("is refused when a package manager would read something else: %j", (over) => {
    expect(() => parseFacts(withPackage(over), "el9")).toThrow(
      expect.objectContaining({ code: "corrupt", message: expect.stringContaining("list of packages") }),
    );
  });
});
