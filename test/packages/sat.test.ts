import { expect, test } from "vitest";
import { RuleStore } from "../../src/packages/solver/rule-store.ts";
import { Sat, Unsatisfiable } from "../../src/packages/solver/sat.ts";
import { Random } from "../support/random.ts";

const VARIABLES = 10;

function holds(rules: number[][], isTrue: (variable: number) => boolean): boolean {
  return rules.every((rule) => rule.some((literal) => isTrue(Math.abs(literal)) === literal > 0));
}

function bruteForce(rules: number[][]): boolean {
  for (let bits = 0; bits < 1 << VARIABLES; bits++)
    if (holds(rules, (variable) => ((bits >> (variable - 1)) & 1) === 1)) return true;
  return false;
}

function solve(rules: number[][]): Sat {
  const store = new RuleStore();
  for (const rule of rules) store.add(rule);
  const sat = new Sat(VARIABLES, store);
  sat.start();
  for (let level = 1; ; ) {
    const open = Array.from({ length: VARIABLES }, (_, i) => i + 1).find((variable) => sat.isOpen(variable));
    if (open === undefined) return sat;
    level = sat.decide(open, level);
  }
}

test("agrees with trying everything, on 500 random problems, and its reasons are enough for the contradiction", () => {
  let impossible = 0;
  for (let seed = 0; seed < 500; seed++) {
    const random = new Random(seed);
    const rules = Array.from({ length: 12 + random.below(22) }, () => {
      const literals = new Set<number>();
      while (literals.size < 1 + random.below(3))
        literals.add((1 + random.below(VARIABLES)) * (random.chance(0.5) ? 1 : -1));
      return [...literals].filter((literal) => !literals.has(-literal) || literal > 0);
    });
    try {
      const sat = solve(rules);
      expect(holds(rules, (variable) => sat.isTrue(variable))).toBe(true);
    } catch (error) {
      if (!(error instanceof Unsatisfiable)) throw error;
      impossible++;
      expect(bruteForce(rules)).toBe(false);
      expect(bruteForce(error.rules.map((rule) => rules[rule] as number[]))).toBe(false);
    }
  }
  expect(impossible).toBeGreaterThan(50);
  expect(impossible).toBeLessThan(450);
});
