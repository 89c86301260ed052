import type { TestDeb } from "./deb-metadata.ts";
import type { Random } from "./random.ts";

export interface RandomDebCase {
  debs: TestDeb[];
  install: string[];
}

const OPERATORS = ["", "", "", ">=", ">=", "=", "<<", "<="];

/** A small repository with several versions a name, alternatives, virtual packages, conflicts and cycles. `hardship` from 0 to 1: how much contradicts. */
export function randomDebCase(random: Random, hardship: number, recommends: boolean): RandomDebCase {
  const names = Array.from(
    { length: 6 + random.below(14) },
    (_, i) => `p${String.fromCharCode(97 + (i % 26))}${i}`,
  );
  const virtuals = Array.from({ length: 2 + random.below(4) }, (_, i) => `virt${i}`);
  const version = (): string =>
    `${random.chance(0.1) ? "1:" : ""}${1 + random.below(3)}-${1 + random.below(2)}`;
  const one = (): string => {
    const name = random.chance(0.3) ? random.pick(virtuals) : random.pick(names);
    const op = random.pick(OPERATORS);
    return op === "" ? name : `${name} (${op} ${version()})`;
  };
  const group = (): string => (random.chance(0.3) ? `${one()} | ${one()}` : one());
  const some = (limit: number, chance: number, make: () => string): string[] =>
    Array.from({ length: limit }, () => (random.chance(chance) ? make() : "")).filter((text) => text !== "");
  const made = new Map<string, TestDeb>();
  for (const name of names) {
    for (let i = 1 + random.below(2); i > 0; i--) {
      const deb: TestDeb = {
        name,
        version: version(),
        arch: random.chance(0.5) ? "all" : "amd64",
        // apt stumbles over a package that names itself, and can't order a circle with Pre-Depends in it: neither is a question of which packages.
        depends: some(3, 0.35, group).filter((text) => !text.split(/[ |]+/).includes(name)),
        recommends: recommends ? some(1, 0.3, group) : [],
        conflicts: some(1, 0.15 * hardship, one),
        breaks: some(1, 0.15 * hardship, one),
        provides: some(2, 0.35, () =>
          random.chance(0.6) ? random.pick(virtuals) : `${random.pick(virtuals)} (= ${version()})`,
        ),
        priority: random.pick(["optional", "optional", "optional", "important", "extra"]),
      };
      made.set(`${name} ${deb.version}`, deb);
    }
  }
  const install = [...new Set(Array.from({ length: 1 + random.below(3) }, () => random.pick(names)))];
  return { debs: [...made.values()], install };
}
