import { compsXml, type TestGroup } from "./groups.ts";
import { artifactOf, modulesYaml, type TestDefaults, type TestStream } from "./modules.ts";
import type { Random } from "./random.ts";
import type { TestRpm } from "./rpm-metadata.ts";

/**
 * A repository like a distribution's: libraries with sonames and i686 twins, several releases a
 * name, rich dependencies, groups of packages that need each other. `everything` requires one
 * package of each name, so that its closure is as large as the repository allows.
 */
export function largeRpms(random: Random, names: number): TestRpm[] {
  const rpms: TestRpm[] = [];
  const count = Math.floor(names * 0.9);
  const soname = (i: number): string => `lib${i}.so.1()(64bit)`;
  for (let i = 0; i < count; i++) {
    const releases = 1 + (i % 7 === 0 ? random.below(3) : 0);
    for (let release = 1; release <= releases; release++) {
      const requires = Array.from({ length: random.below(6) }, () =>
        soname(random.below(Math.max(1, i))),
      ).filter((name) => name !== soname(i));
      if (i % 50 === 1) requires.push(`(pkg${random.below(i)} if pkg${random.below(i)})`);
      if (i % 40 === 1) requires.push(`(pkg${random.below(i)} or pkg${random.below(i)})`);
      if (i > 10) requires.push(`pkg${random.below(i)} >= 1.0`);
      if (i % 9 === 0) requires.push(`/usr/bin/tool${random.below(Math.max(1, i))}`);
      const name = `pkg${i}`;
      rpms.push({
        name,
        evr: `1.${i % 10}-${release}.el9`,
        arch: "x86_64",
        requires: [...new Set(requires), "rtld(GNU_HASH)"],
        provides: [
          soname(i),
          `${name}(x86-64) = 1.${i % 10}-${release}.el9`,
          `config(${name}) = 1.${i % 10}-${release}.el9`,
        ],
        files: [`/usr/bin/tool${i}`, `/usr/lib64/lib${i}.so.1`, `/usr/share/doc/${name}/README`],
        ...(i % 60 === 0 && i > 0 ? { obsoletes: [`old${i} < 1.0`], conflicts: [`nothing${i}`] } : {}),
      });
      if (i % 5 === 0)
        rpms.push({
          name,
          evr: `1.${i % 10}-${release}.el9`,
          arch: "i686",
          provides: [`lib${i}.so.1`],
          requires: [],
        });
    }
  }
  rpms.push({
    name: "glibc",
    evr: "2.34-1.el9",
    arch: "x86_64",
    provides: ["rtld(GNU_HASH)", "libc.so.6()(64bit)"],
  });
  rpms.push({
    name: "everything",
    evr: "1-1",
    arch: "noarch",
    requires: Array.from({ length: count }, (_, i) => `pkg${i}`),
  });
  return rpms;
}

export interface LargeRepository {
  rpms: TestRpm[];
  modules: string;
  comps: string;
}

/**
 * The same with modules over it, of two or three streams each in several builds, that depend on
 * each other and on plain packages, and whose packages some plain ones are called like or provide;
 * with rich dependencies of every kind, conflicts with ranges, and groups.
 */
export function largeRepository(random: Random, names: number): LargeRepository {
  const rpms = largeRpms(random, names);
  const plain = Math.floor(names * 0.9);
  const anyPlain = (): string => `pkg${random.below(plain)}`;
  const rich = (): string =>
    random.pick([
      () => `(${anyPlain()} and ${anyPlain()})`,
      () => `(${anyPlain()} or (${anyPlain()} and ${anyPlain()}))`,
      () => `(${anyPlain()} if ${anyPlain()} else ${anyPlain()})`,
      () => `(${anyPlain()} unless absent${random.below(50)})`,
      () => `(virtual${random.below(40)} with feature${random.below(4)})`,
      () => `(virtual${random.below(40)} without feature${random.below(4)})`,
    ])();
  const extras = Math.floor(names * 0.1);
  for (let i = 0; i < extras; i++) {
    const evr = `${1 + (i % 3)}-${1 + random.below(2)}`;
    const requires = [anyPlain(), ...(random.chance(0.3) ? [rich()] : [])];
    const provides = [
      `virtual${i % 40} = ${1 + random.below(3)}`,
      ...(random.chance(0.5) ? [`feature${i % 4}`] : []),
      ...(i % 97 === 0 ? ["m3-a"] : []),
    ];
    const conflicts = i % 30 === 0 ? [`virtual${(i + 1) % 40} > 3`] : [];
    rpms.push({ name: `x${i}`, evr, arch: i % 3 === 0 ? "noarch" : "x86_64", requires, provides, conflicts });
    if (i % 3 === 1) rpms.push({ name: `x${i}`, evr, arch: "i686", provides });
  }
  const streams: TestStream[] = [];
  const defaults: TestDefaults[] = [];
  const count = Math.max(4, Math.floor(names / 200));
  for (let m = 0; m < count; m++) {
    const name = `m${m}`;
    const own = ["1", "2", ...(m % 3 === 0 ? ["rolling"] : [])];
    for (const [s, stream] of own.entries()) {
      for (let build = 1; build <= 1 + (m % 3); build++) {
        const tag = `${s + 1}.${build}-1.module+${m}`;
        const made = ["a", "b", "c"].map((part): TestRpm => {
          const requires =
            part === "a"
              ? [`${name}-b = ${tag}`, anyPlain()]
              : part === "b" && m > 0
                ? [`m${m - 1}-c`]
                : [anyPlain()];
          return { name: `${name}-${part}`, evr: tag, arch: part === "c" ? "noarch" : "x86_64", requires };
        });
        rpms.push(...made);
        if (build === 1) rpms.push({ name: `${name}-a`, evr: tag, arch: "i686" });
        const requires = {
          platform: ["el9"],
          ...(m > 0 && m % 4 === 1 ? { [`m${m - 1}`]: stream === "1" ? ["1"] : [] } : {}),
        };
        const profiles = { common: [`${name}-a`], all: [`${name}-a`, `${name}-c`] };
        streams.push({
          name,
          stream,
          version: `${build}${s}`,
          context: `c${build}`,
          staticContext: m % 5 === 0,
          requires,
          profiles,
          artifacts: made.map(artifactOf),
        });
      }
    }
    if (m % 4 !== 3)
      defaults.push({
        module: name,
        stream: "1",
        profiles: Object.fromEntries(own.map((stream) => [stream, ["common"]])),
      });
    if (m % 7 === 0) rpms.push({ name: `${name}-c`, evr: "9-1", arch: "noarch" });
  }
  const groups = Array.from({ length: 20 }, (_, g): TestGroup => {
    const types = ["mandatory", "default", "optional"];
    return {
      id: `group${g}`,
      name: `Group ${g}`,
      packages: Array.from({ length: 12 }, (_, i) => ({ name: anyPlain(), type: types[i % 3] as string })),
    };
  });
  const comps = compsXml(groups, [
    { id: "server", name: "Server", groups: ["group0", "group1", "group2"], optional: ["group3"] },
  ]);
  return { rpms, modules: modulesYaml(streams, defaults), comps };
}
