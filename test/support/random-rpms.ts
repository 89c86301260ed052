import type { Random } from "./random.ts";
import type { TestRpm } from "./rpm-metadata.ts";

export interface RandomCase {
  repositories: { priority: number; rpms: TestRpm[] }[];
  install: string[];
}

export interface RandomOptions {
  rich: boolean;
  weak: boolean;
  repositories: number;
}

const OPERATORS = ["", "", "", ">=", ">=", "=", "<", "<="];

/** A small repository with several versions a name, capabilities, conflicts, obsoletes, cycles, and, on wish, rich and weak dependencies. */
export function randomRpmCase(random: Random, options: RandomOptions): RandomCase {
  const names = Array.from(
    { length: 6 + random.below(14) },
    (_, i) => `p${String.fromCharCode(97 + (i % 26))}${i}`,
  );
  const capabilities = Array.from({ length: 2 + random.below(5) }, (_, i) => `cap${i}`);
  const version = (): string => `${1 + random.below(3)}-${1 + random.below(2)}`;
  const simple = (): string => {
    const name = random.chance(0.3) ? random.pick(capabilities) : random.pick(names);
    const op = random.pick(OPERATORS);
    return op === "" ? name : `${name} ${op} ${random.chance(0.5) ? version() : 1 + random.below(3)}`;
  };
  const rich = (depth = 0): string => {
    const operand = (): string => (depth < 1 && random.chance(0.25) ? rich(depth + 1) : simple());
    const kind = random.pick(["or", "or", "and", "if", "if else", "unless", "with", "without"]);
    if (kind === "if else") return `(${operand()} if ${operand()} else ${operand()})`;
    if (kind === "with" || kind === "without") return `(${simple()} ${kind} ${simple()})`;
    return `(${operand()} ${kind} ${operand()})`;
  };
  const relation = (): string => (options.rich && random.chance(0.2) ? rich() : simple());
  const some = (limit: number, chance: number, make: () => string): string[] =>
    Array.from({ length: limit }, () => (random.chance(chance) ? make() : "")).filter((text) => text !== "");
  const make = (name: string): TestRpm => ({
    name,
    evr: `${random.chance(0.1) ? "1:" : ""}${version()}`,
    arch: random.chance(0.5) ? "noarch" : "x86_64",
    requires: some(3, 0.4, relation),
    provides: some(2, 0.35, () =>
      random.chance(0.5) ? random.pick(capabilities) : `${random.pick(capabilities)} = ${version()}`,
    ),
    conflicts: some(1, 0.12, () => (options.rich && random.chance(0.1) ? rich() : simple())),
    obsoletes: some(1, 0.06, simple),
    ...(options.weak
      ? {
          recommends: some(2, 0.2, simple),
          suggests: some(1, 0.1, simple),
          supplements: some(1, 0.05, simple),
        }
      : {}),
  });
  const repositories = Array.from({ length: options.repositories }, () => {
    const made = new Map<string, TestRpm>();
    for (const name of names) {
      for (let i = 1 + random.below(3); i > 0; i--) {
        const rpm = make(name);
        made.set(`${name}-${rpm.evr}`, rpm);
      }
    }
    return { priority: random.chance(0.7) ? 99 : 50, rpms: [...made.values()] };
  });
  const install = [
    ...new Set(
      Array.from({ length: 1 + random.below(3) }, () =>
        random.chance(0.15) ? random.pick(capabilities) : random.pick(names),
      ),
    ),
  ];
  return { repositories, install };
}
