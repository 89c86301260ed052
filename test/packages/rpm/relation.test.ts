import { expect, test } from "vitest";
import { namesIn, parseRelation } from "../../../src/packages/rpm/relation.ts";
import { EQUAL, GREATER } from "../../../src/packages/rpm/version.ts";

const simple = (name: string, op = 0, version = "") => ({ kind: "simple", name, op, version });

test("plain relations", () => {
  expect(parseRelation("glibc")).toEqual(simple("glibc"));
  expect(parseRelation("glibc >= 2.17")).toEqual(simple("glibc", GREATER | EQUAL, "2.17"));
  expect(parseRelation("libc.so.6(GLIBC_2.3)(64bit)")).toEqual(simple("libc.so.6(GLIBC_2.3)(64bit)"));
});

test("rich ones, nested and with parentheses in names", () => {
  expect(parseRelation("(a if b else c)")).toEqual({
    kind: "if",
    left: simple("a"),
    condition: simple("b"),
    otherwise: simple("c"),
  });
  expect(parseRelation("(perl(Foo) or (x >= 1 with x < 2))")).toEqual({
    kind: "or",
    left: simple("perl(Foo)"),
    right: { kind: "with", left: simple("x", GREATER | EQUAL, "1"), right: simple("x", 1, "2") },
  });
  expect(parseRelation("(a and b and c)")).toEqual({
    kind: "and",
    left: simple("a"),
    right: { kind: "and", left: simple("b"), right: simple("c") },
  });
  expect(namesIn("((a or libb.so(64bit)) if (c unless d >= 1))")).toEqual(["a", "libb.so(64bit)", "c", "d"]);
});

test.each([
  "(a",
  "(a or)",
  "(a or b and c)",
  "(a xor b)",
  "(a if b else c else d)",
  "(a) b",
  `(${"(".repeat(60)}a${")".repeat(60)})`,
])("%s is refused", (text) => {
  expect(() => parseRelation(text)).toThrow(/not one of RPM's/);
});
