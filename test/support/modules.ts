import { stringify } from "yaml";
import type { Random } from "./random.ts";
import type { TestRpm } from "./rpm-metadata.ts";

/** A stream as a test wants it. Artifacts are `name-epoch:version-release.arch`. */
export interface TestStream {
  name: string;
  stream: string;
  version?: string;
  context?: string;
  arch?: string;
  staticContext?: boolean;
  requires?: Record<string, string[]>;
  profiles?: Record<string, string[]>;
  artifacts?: string[];
  demodularized?: string[];
}

export interface TestDefaults {
  module: string;
  stream?: string;
  profiles?: Record<string, string[]>;
  modified?: number;
}

/** modules.yaml as modulemd's own library writes it. */
export function modulesYaml(streams: TestStream[], defaults: TestDefaults[] = []): string {
  const documents = [
    ...streams.map(
      ({
        name,
        stream,
        version = "1",
        context = "c0ffee",
        arch = "x86_64",
        staticContext,
        requires,
        profiles,
        artifacts,
        demodularized,
      }) => ({
        document: "modulemd",
        version: 2,
        data: {
          name,
          stream,
          version,
          context,
          ...(staticContext ? { static_context: true } : {}),
          arch,
          summary: `The ${name}`,
          description: `The ${name},\nas it is\n`,
          license: { module: ["MIT"], content: ["MIT"] },
          xmd: { mbs: { koji_tag: "none" } },
          dependencies: [
            { buildrequires: { platform: ["el9"] }, requires: requires ?? { platform: ["el9"] } },
          ],
          profiles: Object.fromEntries(
            Object.entries(profiles ?? {}).map(([profile, rpms]) => [profile, { rpms }]),
          ),
          ...(demodularized ? { demodularized: { rpms: demodularized } } : {}),
          components: { rpms: { [name]: { rationale: "Main component.", ref: "x" } } },
          artifacts: { rpms: artifacts ?? [] },
        },
      }),
    ),
    ...defaults.map(({ module, stream, profiles, modified }) => ({
      document: "modulemd-defaults",
      version: 1,
      data: {
        module,
        ...(modified ? { modified } : {}),
        ...(stream ? { stream } : {}),
        ...(profiles ? { profiles } : {}),
      },
    })),
  ];
  return documents
    .map(
      (document) =>
        `---\n${stringify(document, { defaultStringType: "QUOTE_DOUBLE", defaultKeyType: "PLAIN" })}...\n`,
    )
    .join("");
}

export const artifactOf = ({ name, evr, arch = "noarch" }: TestRpm): string =>
  `${name}-${evr.includes(":") ? evr : `0:${evr}`}.${arch}`;

export interface ModularCase {
  repositories: { rpms: TestRpm[]; modules: string; moduleHotfixes: boolean }[];
  install: string[];
}

/**
 * Two repositories with modules of several streams: defaults or none, builds of different
 * versions and contexts, static ones, dependencies between modules, packages outside of modules
 * that are called like those in them or provide their names.
 */
export function randomModularCase(random: Random): ModularCase {
  const modules = Array.from({ length: 2 + random.below(4) }, (_, i) => `mod${i}`);
  const streamsOf = new Map(
    modules.map((module) => [
      module,
      Array.from({ length: 1 + random.below(3) }, (_, i) => `${1 + i}.${random.below(2)}0`),
    ]),
  );
  const names = Array.from({ length: 8 }, (_, i) => `p${String.fromCharCode(97 + i)}`);
  const install: string[] = [];
  const repositories = Array.from({ length: 1 + random.below(2) }, (_, at) => {
    const rpms: TestRpm[] = [];
    const streams: TestStream[] = [];
    const relation = (): string => (random.chance(0.2) ? `cap${random.below(3)}` : random.pick(names));
    const make = (name: string, evr: string): TestRpm => {
      const rpm: TestRpm = { name, evr, arch: random.chance(0.3) ? "noarch" : "x86_64" };
      if (random.chance(0.35)) rpm.requires = [relation()];
      if (random.chance(0.3))
        rpm.provides = [random.chance(0.4) ? random.pick(names) : `cap${random.below(3)}`];
      if (!rpms.some((other) => other.name === name && other.evr === evr && other.arch === rpm.arch))
        rpms.push(rpm);
      return rpm;
    };
    for (const name of names) if (random.chance(0.7)) make(name, `${1 + random.below(4)}-1`);
    for (const [m, module] of modules.entries()) {
      if (at > 0 && random.chance(0.4)) continue;
      const own = names.filter((_, i) => i % modules.length === m || random.chance(0.1));
      for (const stream of streamsOf.get(module) ?? []) {
        for (let build = 1 + random.below(2); build > 0; build--) {
          const requires: Record<string, string[]> = random.chance(0.9)
            ? { platform: [random.chance(0.95) ? "el9" : "el8"] }
            : {};
          const other = random.pick(modules);
          if (other !== module && random.chance(0.4)) {
            const theirs = streamsOf.get(other) ?? [];
            requires[other] = random.chance(0.2)
              ? []
              : random.chance(0.2)
                ? [`-${random.pick(theirs)}`]
                : theirs.filter(() => random.chance(0.6));
          }
          const artifacts = own
            .filter(() => random.chance(0.8))
            .map((name) =>
              artifactOf(
                make(
                  name,
                  `${random.chance(0.2) ? "1:" : ""}${1 + random.below(4)}-${build}.module_${stream.replace(".", "")}${m}${at}`,
                ),
              ),
            );
          streams.push({
            name: module,
            stream,
            version: `${build}00${at}0`,
            context: random.pick(["aaaa", "bbbb"]),
            staticContext: random.chance(0.2),
            requires,
            artifacts,
            profiles: { common: own.slice(0, 1), devel: own.slice(0, 2) },
            ...(random.chance(0.05) ? { demodularized: own.slice(0, 1) } : {}),
          });
        }
      }
    }
    // Builds are told apart by version and context: another with both the same would replace the first.
    const distinct = [
      ...new Map(
        streams.map((each) => [`${each.name}:${each.stream}:${each.version}:${each.context}`, each]),
      ).values(),
    ];
    const defaults = modules
      .filter(() => random.chance(0.6))
      .map((module): TestDefaults => {
        const all = streamsOf.get(module) ?? [];
        return {
          module,
          ...(random.chance(0.85) ? { stream: all[0] as string } : {}),
          profiles: Object.fromEntries(all.map((stream) => [stream, ["common"]])),
        };
      });
    return { rpms, modules: modulesYaml(distinct, defaults), moduleHotfixes: random.chance(0.1) };
  });
  for (let i = 1 + random.below(2); i > 0; i--) install.push(random.pick(names));
  for (let i = random.below(3); i > 0; i--) {
    const module = random.pick(modules);
    const stream = random.pick(streamsOf.get(module) ?? []);
    install.push(
      random.chance(0.4)
        ? `@${module}`
        : random.chance(0.5)
          ? `@${module}:${stream}`
          : `@${module}:${stream}/${random.pick(["common", "devel", "*"])}`,
    );
  }
  return { repositories, install: [...new Set(install)] };
}
