import { expect, test } from "vitest";
import { Numbers } from "../../src/packages/solver/growing.ts";
import { Provisions } from "../../src/packages/solver/provisions.ts";
import { ExplainedRules } from "../../src/packages/solver/rule-store.ts";

test("a list of numbers keeps what was put in while it grows", () => {
  const list = new Numbers(0);
  for (let i = 0; i < 10_000; i++) list.push(i * 3 - 7);
  expect(list.length).toBe(10_000);
  expect(Array.from({ length: 10_000 }, (_, i) => list.at(i)).every((value, i) => value === i * 3 - 7)).toBe(
    true,
  );
});

test("who provides a name is told in the order in which it came, without those who were not loaded", () => {
  const provisions = new Provisions<string>();
  expect(["a", "b", "a"].map((name) => provisions.ask(name))).toEqual([true, true, false]);
  provisions.add("a", 0, 2, "= 1");
  provisions.add("b", 0, 2, "");
  provisions.add("nobody asked", 0, 2, "");
  provisions.add("a", 0, 3, "");
  provisions.add("a", 1, 2, "= 2");
  provisions.settle((repository, row) => (row === 3 ? undefined : `${repository}/${row}`));
  const of = (name: string): string[] => {
    const found: string[] = [];
    provisions.of(name, (provider, range) => found.push(`${provider} ${range}`));
    return found;
  };
  expect(of("a")).toEqual(["0/2 = 1", "1/2 = 2"]);
  expect(of("b")).toEqual(["0/2 "]);
  expect(of("nobody asked")).toEqual([]);
});

test("sorted rules keep their meaning, each once", () => {
  const rules = new ExplainedRules<"requires" | "job">();
  rules.add([3, 4], "job", 0, "late");
  rules.add([-2, 5], "requires", 2, "five");
  rules.add([-2], "requires", 2, "nothing");
  rules.add([-2, 5], "requires", 2, "five again");
  const sorted = rules.sorted();
  const shown = Array.from({ length: sorted.size }, (_, i) => [
    sorted.literals(i),
    sorted.kind(i),
    sorted.from(i),
    sorted.relation(i),
  ]);
  expect(shown).toEqual([
    [[-2], "requires", 2, "nothing"],
    [[-2, 5], "requires", 2, "five"],
    [[3, 4], "job", 0, "late"],
  ]);
  expect(sorted.ofKind("requires")).toEqual([0, 1]);
});
