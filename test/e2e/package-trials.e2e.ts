import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isAirgapError } from "../../src/errors.ts";
import { compareEvr } from "../../src/packages/rpm/version.ts";
import type { Closure } from "../../src/packages/types.ts";
import { resolveClosures } from "../../src/resolve/packages.ts";
import { aptAnswer } from "../support/apt.ts";
import { statusText, writeDebRepository } from "../support/deb-metadata.ts";
import { DnfOracle } from "../support/dnf.ts";
import { debSet, packageContext, rpmSet } from "../support/packages.ts";
import { Random } from "../support/random.ts";
import { type RandomDebOptions, randomDebCase } from "../support/random-debs.ts";
import { type RandomOptions, randomRpmCase } from "../support/random-rpms.ts";
import { type TestRpm, writeRpmRepository } from "../support/rpm-metadata.ts";
import { writeRpmdb } from "../support/rpmdb.ts";

/** How many seeds of each kind; `AIRGAP_TRIALS=1000` takes some minutes a kind. */
const TRIALS = Number(process.env.AIRGAP_TRIALS ?? 30);
/** The first of them, to go on where an earlier run ended. */
const FROM = Number(process.env.AIRGAP_TRIALS_FROM ?? 1);
/** Seeds that failed once, by kind. */
const KEPT: Record<string, number[]> = {
  conflicts: [979],
  recommends: [934],
  repositories: [6],
  hosts: [34, 35, 241, 270, 515],
  "hosts, repositories, recommends": [68, 464, 486, 611, 618, 878, 883, 937],
  "versions, conflicts, obsoletes, cycles": [91, 851, 903],
  "two repositories with priorities": [254, 666, 672, 1174],
  "rich dependencies": [99, 624, 693],
  "wishes that only decide choices": [327, 619, 679],
  "weak dependencies taken along": [75, 166, 550, 887],
  "hosts that have something": [13, 14, 23, 25, 35, 38, 40, 43, 90, 112, 154, 159, 166],
  "hosts and two repositories": [
    34, 35, 37, 44, 47, 66, 77, 86, 124, 195, 275, 337, 370, 427, 507, 639, 739, 740, 785, 845, 951,
  ],
  "hosts and rich dependencies": [162],
  "hosts and weak dependencies taken along": [13, 26, 28, 32, 46, 62, 76, 88, 100, 101, 111, 139],
  "hosts, two repositories, weak dependencies taken along": [11, 12, 15, 16, 21, 25, 27, 28, 33, 35],
  "hosts that are broken already": [4, 5, 9, 10, 11, 12, 16, 17, 26, 27, 29, 38, 440],
};

type Context = Awaited<ReturnType<typeof packageContext>>;

/** Checks all seeds, some at a time. @returns what differs */
async function seedsOf(
  kind: string,
  atOnce: number,
  check: (seed: number) => Promise<string | undefined>,
): Promise<string[]> {
  const seeds = [...(KEPT[kind] ?? []), ...Array.from({ length: TRIALS }, (_, i) => FROM + i)];
  const differing: string[] = [];
  const next = async (): Promise<void> => {
    for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift()) {
      const difference = await check(seed);
      if (difference !== undefined) differing.push(`seed ${seed}: ${difference}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, next));
  return differing;
}

const DEBS: Record<string, RandomDebOptions> = {
  plain: { hardship: 0 },
  conflicts: { hardship: 0.5 },
  hard: { hardship: 1 },
  recommends: { hardship: 0.3, recommends: true },
  repositories: { hardship: 0.2, repositories: 2 },
  hosts: { hardship: 0.5, installed: true },
  "hosts, repositories, recommends": { hardship: 0.7, installed: true, repositories: 2, recommends: true },
};

describe("against apt-get", () => {
  test.each(Object.keys(DEBS))(
    "%s: the same set where apt has one, and installable from what is carried",
    async (kind) => {
      const at = await packageContext();
      let solved = 0;
      const differing = await seedsOf(kind, 3, async (seed) => {
        const difference = await trial(at, kind, seed);
        if (difference === undefined) solved++;
        return difference === "" ? undefined : difference;
      });
      await at.close();
      expect(differing).toEqual([]);
      expect(solved).toBeGreaterThan(TRIALS / 5);
    },
    3_600_000,
  );

  /** "" when there was no answer to compare, undefined when it is the same. */
  async function trial(at: Context, kind: string, seed: number): Promise<string | undefined> {
    const options = DEBS[kind] as RandomDebOptions;
    const { repositories, installed, install } = randomDebCase(
      new Random(seed * 104729 + kind.length),
      options,
    );
    const recommends = options.recommends === true;
    const root = join(at.dir, `${kind.replace(/\W+/g, "-")}-${seed}`);
    const theirs = await aptAnswer({ dir: join(root, "apt"), repositories, installed, install, recommends });
    for (const [i, debs] of repositories.entries()) await writeDebRepository(join(root, `r${i}`), debs);
    if (theirs === "stumbled") return "";
    await writeFile(join(root, "status"), statusText(installed));
    const set = debSet({
      repositories: repositories.map((_, i) => ({ id: `r${i}`, uris: join(root, `r${i}`), suites: ["./"] })),
      install,
      recommends,
      ...(installed.length > 0 ? { installed: join(root, "status") } : {}),
    });
    const mine = await solved(() => resolveClosures(set, { ...at.context, cacheDir: join(root, "cache") }));
    try {
      if (theirs === undefined && mine === undefined) return "";
      const ours = mine && {
        packages: mine.packages.map(({ id }) => id).sort(),
        removes: [...(mine.removes ?? [])].sort(),
      };
      // apt looks at candidate versions only, so we may find an answer where it does not.
      if (theirs !== undefined) {
        const same = JSON.stringify(ours) === JSON.stringify(theirs);
        return same ? undefined : `${install}: ours ${JSON.stringify(ours)}, apt's ${JSON.stringify(theirs)}`;
      }
      const carried = [
        ...new Map(repositories.flat().map((deb) => [`${deb.name}=${deb.version}`, deb])).entries(),
      ]
        .filter(([id]) => ours?.packages.includes(id))
        .map(([, deb]) => deb);
      // Where apt does not find the way by name, we said so, and what to ask it for.
      const again = (asked: string[]): ReturnType<typeof aptAnswer> =>
        aptAnswer({
          dir: join(root, `again-${asked.length}`),
          repositories: [carried],
          installed,
          install: asked,
          recommends,
        });
      if ((await again(install)) !== undefined) return "";
      return mine?.inFull === undefined || (await again(mine.inFull)) === undefined
        ? `${install}: apt can't install from what is carried: ${JSON.stringify(ours)}`
        : "";
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  }
});

const RPMS: Record<string, RandomOptions & { recommends?: boolean }> = {
  "versions, conflicts, obsoletes, cycles": { rich: false, weak: false, repositories: 1 },
  "two repositories with priorities": { rich: false, weak: false, repositories: 2 },
  "rich dependencies": { rich: true, weak: false, repositories: 1 },
  "wishes that only decide choices": { rich: true, weak: true, repositories: 1 },
  "weak dependencies taken along": { rich: true, weak: true, repositories: 1, recommends: true },
  "hosts that have something": { rich: false, weak: false, repositories: 1, installed: true },
  "hosts and two repositories": { rich: false, weak: false, repositories: 2, installed: true },
  "hosts and rich dependencies": { rich: true, weak: false, repositories: 1, installed: true },
  "hosts and weak dependencies taken along": {
    rich: true,
    weak: true,
    repositories: 1,
    installed: true,
    recommends: true,
  },
  "hosts, two repositories, weak dependencies taken along": {
    rich: true,
    weak: true,
    repositories: 2,
    installed: true,
    recommends: true,
  },
  "hosts that are broken already": {
    rich: true,
    weak: false,
    repositories: 1,
    installed: true,
    broken: true,
  },
};

describe("against dnf", () => {
  test.each(Object.keys(RPMS))(
    "%s: the same set, impossible where dnf says so, and installable from what is carried",
    async (kind) => {
      using dnf = new DnfOracle();
      const at = await packageContext();
      let solved = 0;
      const differing = await seedsOf(kind, 1, async (seed) => {
        const difference = await trial(at, dnf, kind, seed);
        if (difference === undefined) solved++;
        return difference === "" ? undefined : difference;
      });
      await at.close();
      expect(differing).toEqual([]);
      expect(solved).toBeGreaterThan(TRIALS / 5);
    },
    3_600_000,
  );

  async function trial(at: Context, dnf: DnfOracle, kind: string, seed: number): Promise<string | undefined> {
    const options = RPMS[kind] as (typeof RPMS)[string];
    const recommends = options.recommends === true;
    const random = new Random(seed * 7919 + Object.keys(RPMS).indexOf(kind));
    const { repositories, install, installed } = randomRpmCase(random, options);
    const dir = join(at.dir, `${Object.keys(RPMS).indexOf(kind)}-${seed}`);
    const listed = repositories.map(({ priority }, i) => ({
      id: `r${i}`,
      path: join(dir, `r${i}`),
      priority,
    }));
    for (const [i, { rpms }] of repositories.entries()) await writeRpmRepository(join(dir, `r${i}`), rpms);
    // A host that has nothing is answered as no host at all.
    const hosts = options.installed ? { root: join(dir, "root"), best: installed.length > 0 } : {};
    if (options.installed) writeRpmdb(join(dir, "root"), installed);
    await writeFile(join(dir, "hosts.rpms"), installed.map((rpm) => `${idOf(rpm)}\n`).join(""));
    const { packages: theirs, removes = [] } = await dnf.answer({
      repositories: listed,
      install,
      recommends,
      ...hosts,
    });
    const set = rpmSet({
      repositories: listed.map(({ path, ...repository }) => ({ ...repository, baseurl: path })),
      install,
      recommends,
      ...(installed.length > 0 ? { installed: join(dir, "hosts.rpms") } : {}),
    });
    const closure = await solved(() => resolveClosures(set, { ...at.context, cacheDir: join(dir, "cache") }));
    try {
      const main = closure?.packages.filter(({ alternative }) => alternative === undefined) ?? [];
      const mine = closure && main.map(({ id }) => id).sort();
      // With best=1 dnf refuses what can't be had in its newest version; here an older one is taken.
      // And it downgrades what hosts have where that helps, which is not done here; of two builds of a
      // name it may leave the older one.
      const otherwise =
        options.installed &&
        (theirs === undefined ||
          theirs.some((id) => isOlder(id, installed)) ||
          removes.some((name) => installed.filter((rpm) => rpm.name === name).length > 1));
      if (!otherwise && String(mine) !== String(theirs)) return `${install}: ours ${mine}, dnf's ${theirs}`;
      if (closure === undefined) return "";
      const from = new Map(main.map(({ id, repository }) => [id, repository]));
      const carried = repositories.flatMap(({ rpms }, i) =>
        rpms.filter((rpm) => from.get(idOf(rpm)) === `r${i}`),
      );
      await writeRpmRepository(join(dir, "carried"), carried);
      const there = new Set([...main, ...installed].map(({ name }) => name));
      const names = closure.asked.map((asked) => asked.package.replace(/-[^-]+-[^-]+$/, ""));
      const again = await dnf.answer({
        repositories: [{ id: "carried", path: join(dir, "carried") }],
        install: [...new Set(names)].filter((name) => there.has(name)),
        recommends,
        ...hosts,
      });
      return again.packages === undefined
        ? `dnf can't install from what is carried: ${mine}: ${again.error}`
        : undefined;
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }
});

/** Whether an id is a lower version of something installed. */
const isOlder = (id: string, installed: TestRpm[]): boolean =>
  installed.some(({ name, evr }) => {
    const version = id.startsWith(`${name}-`) ? id.slice(name.length + 1).replace(/\.[^.]+$/, "") : evr;
    return compareEvr(version, evr) < 0;
  });

const idOf = (rpm: TestRpm): string => `${rpm.name}-${rpm.evr}.${rpm.arch ?? "noarch"}`;

async function solved(resolve: () => Promise<Closure[]>): Promise<Closure | undefined> {
  try {
    return (await resolve())[0];
  } catch (error) {
    if (isAirgapError(error, "unsatisfiable")) return undefined;
    throw error;
  }
}
