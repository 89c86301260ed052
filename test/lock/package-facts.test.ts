import { describe, expect, it } from "vitest";
import { packageSetFacts } from "../../src/lock/package-facts.ts";
import { Cursor } from "../../src/lock/shape.ts";
import { clusterOf, packageSet } from "../support/install/site.ts";

const read = (value: unknown) => packageSetFacts(value, new Cursor("the set"));
const facts = packageSet("rocky-9.4", clusterOf()).facts;
const withPackage = (over: Record<string, unknown>): unknown => ({
  ...facts,
  packages: [{ ...facts.packages[0], ...over }],
});

describe("a lock's package set", () => {
  it("is read as it was written", () => {
    expect(read(JSON.parse(JSON.stringify(facts)))).toEqual(facts);
    expect(read(withPackage({ name: "libstdc++", version: "1:1.0~rc1^git+2-3" }))).toBeDefined();
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
    expect(() => read(withPackage(over))).toThrow(
      expect.objectContaining({ code: "corrupt", message: expect.stringContaining("packages[0]") }),
    );
  });

  it.each([{ base: "2026" }, { base: 1 }, { base: "2026-13-01T00:00:00Z" }, []])(
    "is refused with metadata dates %j",
    (metadataDates) => {
      expect(() => read({ ...facts, metadataDates })).toThrow(
        expect.objectContaining({ code: "corrupt", message: expect.stringContaining("metadataDates") }),
      );
    },
  );

  it.each([{ base: ["x"] }, { base: "A" }, [], 1])("is refused with key pins %j", (keyPins) => {
    expect(() => read({ ...facts, keyPins })).toThrow(
      expect.objectContaining({ code: "corrupt", message: expect.stringContaining("keyPins") }),
    );
  });
});
