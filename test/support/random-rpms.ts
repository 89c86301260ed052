import { parseRelation, type Relation, type Simple } from "../../src/packages/rpm/relation.ts";
import { compareEvr, rangesOverlap } from "../../src/packages/rpm/version.ts";
import type { Random } from "./random.ts";
import type { TestRpm } from "./rpm-metadata.ts";

export interface RandomCase {
  repositories: { priority: number; rpms: TestRpm[] }[];
  install: string[];
  /** What hosts have; each also may be in a repository, in this or another version. */
  installed: TestRpm[];
}

export interface RandomOptions {
  rich: boolean;
  weak: boolean;
  repositories: number;
  /** Hosts that have something. */
  installed?: boolean;
  /** What they have need not go together. */
  broken?: boolean;
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
  /** A capability, or another package's name, in a version with or without a release, or in a range. */
  const provided = (): string => {
    const name = random.chance(0.85) ? random.pick(capabilities) : random.pick(names);
    const op = random.pick(["", "", "=", "=", "=", "<", "<=", ">="]);
    return op === "" ? name : `${name} ${op} ${random.chance(0.6) ? version() : 1 + random.below(3)}`;
  };
  const some = (limit: number, chance: number, make: () => string): string[] =>
    Array.from({ length: limit }, () => (random.chance(chance) ? make() : "")).filter((text) => text !== "");
  const make = (name: string): TestRpm => ({
    name,
    evr: `${random.chance(0.1) ? "1:" : ""}${version()}`,
    arch: random.chance(0.5) ? "noarch" : "x86_64",
    requires: some(3, 0.4, relation),
    provides: some(2, 0.35, provided),
    conflicts: some(1, 0.12, () => (options.rich && random.chance(0.1) ? rich() : simple())),
    obsoletes: some(1, 0.06, simple),
    ...(options.weak
      ? {
          recommends: some(2, 0.2, relation),
          suggests: some(1, 0.1, simple),
          supplements: options.installed ? some(1, 0.2, relation) : some(1, 0.05, simple),
        }
      : {}),
  });
  const known = new Map<string, TestRpm>();
  const repositories = Array.from({ length: options.repositories }, () => {
    const made = new Map<string, TestRpm>();
    for (const name of names) {
      for (let i = 1 + random.below(3); i > 0; i--) {
        const rpm = make(name);
        const id = `${name}-${rpm.evr}`;
        // What hosts have is told by its id: one id is one package then, as it is with real ones.
        const same = options.installed ? known.get(id) : undefined;
        if (same === undefined) known.set(id, rpm);
        made.set(id, same ?? rpm);
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
  const any = options.installed ? randomHost(random, names, repositories, make) : [];
  // An update that broke off leaves two builds of a name.
  const others = options.broken
    ? repositories.flatMap(({ rpms }) => rpms.filter(() => random.chance(0.05)))
    : [];
  const installed = options.broken ? [...new Set([...any, ...others])] : together(any);
  return { repositories, install, installed };
}

function randomHost(
  random: Random,
  names: string[],
  repositories: RandomCase["repositories"],
  make: (name: string) => TestRpm,
): TestRpm[] {
  const offered = repositories.flatMap(({ rpms }) => rpms);
  return names
    .filter(() => random.chance(0.6))
    .map((name) => {
      const own = offered.filter((rpm) => rpm.name === name);
      if (random.chance(0.8)) return random.pick(own);
      // What no repository has is taken to provide what the nearest older build does.
      const made = make(name);
      const { evr, arch = "noarch" } = made;
      const same = own.find((rpm) => rpm.evr === evr);
      const [older] = own
        .filter((rpm) => rpm.arch === arch && compareEvr(rpm.evr, evr) < 0)
        .sort((a, b) => compareEvr(b.evr, a.evr));
      return same ?? { name, evr, arch, ...(older?.provides ? { provides: older.provides } : {}) };
    });
}

/** Packages that go together: what is broken is left out until nothing is. */
function together(rpms: TestRpm[]): TestRpm[] {
  let host = rpms;
  for (let before = -1; before !== host.length; ) {
    before = host.length;
    const there = host;
    const has = (text: string, except?: string): boolean =>
      holds(
        there.filter((other) => other.name !== except),
        parseRelation(text),
      );
    host = there.filter(
      (rpm) =>
        (rpm.requires ?? []).every((text) => has(text)) &&
        ![...(rpm.conflicts ?? []), ...(rpm.obsoletes ?? [])].some((text) => has(text, rpm.name)),
    );
  }
  return host;
}

/** Whether packages that are there fulfil a relation together. */
function holds(there: TestRpm[], wanted: Relation): boolean {
  switch (wanted.kind) {
    case "and":
      return holds(there, wanted.left) && holds(there, wanted.right);
    case "or":
      return holds(there, wanted.left) || holds(there, wanted.right);
    case "if":
      return holds(there, wanted.condition)
        ? holds(there, wanted.left)
        : wanted.otherwise === undefined || holds(there, wanted.otherwise);
    case "unless":
      return holds(there, wanted.condition)
        ? wanted.otherwise !== undefined && holds(there, wanted.otherwise)
        : holds(there, wanted.left);
    case "with":
      return there.some((rpm) => holds([rpm], wanted.left) && holds([rpm], wanted.right));
    case "without":
      return there.some((rpm) => holds([rpm], wanted.left) && !holds([rpm], wanted.right));
    default:
      return there.some((rpm) => fulfils(rpm, wanted));
  }
}

function fulfils(rpm: TestRpm, wanted: Simple): boolean {
  return [`${rpm.name} = ${rpm.evr}`, ...(rpm.provides ?? [])]
    .map(parseRelation)
    .some(
      (own) =>
        own.kind === "simple" &&
        own.name === wanted.name &&
        rangesOverlap(own.op, own.version, wanted.op, wanted.version),
    );
}
