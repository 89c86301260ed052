import { alternativesOf, parseAlternative } from "../../src/packages/deb/relation.ts";
import { inRange } from "../../src/packages/deb/version.ts";
import type { TestDeb } from "./deb-metadata.ts";
import type { Random } from "./random.ts";

export interface RandomDebCase {
  /** In the order of the spec. */
  repositories: TestDeb[][];
  /** What hosts have; each also may be in a repository, in this or another version. */
  installed: TestDeb[];
  install: string[];
}

export interface RandomDebOptions {
  /** From 0 to 1: how much contradicts. */
  hardship: number;
  recommends?: boolean;
  repositories?: number;
  /** Hosts that have something, essential packages among it. */
  installed?: boolean;
}

const OPERATORS = ["", "", "", ">=", ">=", "=", "<<", "<="];
const PRIORITIES = ["optional", "optional", "optional", "important", "extra"];

/** Small repositories with several versions a name, alternatives, virtual packages, conflicts and cycles. */
export function randomDebCase(random: Random, options: RandomDebOptions): RandomDebCase {
  const { hardship, recommends = false, repositories: count = 1, installed: hosts = false } = options;
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
  const virtual = (): string => (random.chance(0.9) ? random.pick(virtuals) : random.pick(names));
  const essential = new Set(hosts ? names.filter(() => random.chance(0.1)) : []);
  const make = (name: string): TestDeb => ({
    name,
    version: version(),
    arch: random.chance(0.5) ? "all" : "amd64",
    // apt stumbles over a package that names itself, and can't order a circle with Pre-Depends in it: neither is a question of which packages.
    depends: some(3, 0.35, group).filter((text) => !text.split(/[ |]+/).includes(name)),
    recommends: recommends ? some(2, 0.3, group) : [],
    conflicts: some(1, 0.15 * hardship, one),
    breaks: some(1, 0.25 * hardship, one),
    provides: some(2, 0.35, () => (random.chance(0.6) ? virtual() : `${virtual()} (= ${version()})`)),
    priority: random.pick(PRIORITIES),
    ...(essential.has(name) ? { essential: true } : {}),
  });
  const known = new Map<string, TestDeb>();
  const repositories = Array.from({ length: count }, () => {
    const made = new Map<string, TestDeb>();
    for (const name of names) {
      if (count > 1 && random.chance(0.4)) continue;
      for (let i = 1 + random.below(2); i > 0; i--) {
        const deb = make(name);
        const key = `${name} ${deb.version}`;
        // One version is one package, wherever it is.
        const same = known.get(key) ?? deb;
        known.set(key, same);
        made.set(key, same);
      }
    }
    return [...made.values()];
  });
  const offered = [...new Set(repositories.flat().map(({ name }) => name))];
  const install = [...new Set(Array.from({ length: 1 + random.below(3) }, () => random.pick(offered)))];
  return { repositories, installed: hosts ? randomHost(random, names, known, make) : [], install };
}

/** Packages that go together: what is broken is left out until nothing is. */
function randomHost(
  random: Random,
  names: string[],
  known: ReadonlyMap<string, TestDeb>,
  make: (name: string) => TestDeb,
): TestDeb[] {
  let host = names
    .filter(() => random.chance(0.6))
    .map((name) => {
      const own = [...known.values()].filter((deb) => deb.name === name);
      const deb = own.length > 0 && random.chance(0.7) ? random.pick(own) : make(name);
      return known.get(`${name} ${deb.version}`) ?? deb;
    });
  for (let before = -1; before !== host.length; ) {
    before = host.length;
    const there = host;
    host = there.filter(
      (deb) =>
        (deb.depends ?? []).every((group) => there.some((other) => fulfils(other, group))) &&
        [...(deb.conflicts ?? []), ...(deb.breaks ?? [])].every(
          (group) => !there.some((other) => other.name !== deb.name && fulfils(other, group)),
        ),
    );
  }
  return host;
}

function fulfils(deb: TestDeb, group: string): boolean {
  const provided = [`${deb.name} (= ${deb.version})`, ...(deb.provides ?? [])].map((text) =>
    parseAlternative(text),
  );
  return alternativesOf(group).some(({ name, operator, version }) =>
    provided.some(
      (own) =>
        own?.name === name &&
        (operator === "" || (own.version !== "" && inRange(own.version, operator, version))),
    ),
  );
}
