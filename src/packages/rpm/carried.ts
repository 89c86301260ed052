import { stringify } from "yaml";
import type { CarriedModule } from "../../lock/package-facts.ts";
import type { ModuleDefaults, ModuleStream } from "./modulemd.ts";

const label = ({ name, stream }: Pick<CarriedModule, "name" | "stream">): string => `${name}:${stream}`;
const identity = (module: Omit<CarriedModule, "artifacts">): string =>
  [label(module), module.version, module.context, module.arch].join(":");

/** What of the active streams concerns the packages chosen: the builds they are of, and the newest of streams that those require. */
export function carriedModules(
  active: Iterable<ModuleStream>,
  defaults: ReadonlyMap<string, ModuleDefaults>,
  chosen: ReadonlySet<string>,
): CarriedModule[] {
  const all = [...active].map(
    ({
      name,
      stream,
      version,
      context,
      arch,
      staticContext,
      summary,
      description,
      licenses,
      requires,
      profiles,
      artifacts,
    }) => {
      const defaultProfiles = defaults.get(name)?.profiles[stream] ?? [];
      const own = artifacts.filter((id) => chosen.has(id)).sort();
      return {
        name,
        stream,
        version,
        context,
        arch,
        staticContext,
        summary,
        description,
        licenses,
        requires,
        profiles,
        defaultProfiles,
        artifacts: own,
      };
    },
  );
  return needed(joined([all]), (module) => module.artifacts.length > 0);
}

/** Several lists as one, each build once. */
export function joined(lists: CarriedModule[][]): CarriedModule[] {
  const builds = new Map<string, CarriedModule>();
  for (const module of lists.flat()) {
    const key = identity(module);
    const known = builds.get(key);
    builds.set(key, {
      ...module,
      artifacts: [...new Set([...(known?.artifacts ?? []), ...module.artifacts])].sort(),
    });
  }
  return [...builds].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, module]) => module);
}

/** Those that `wanted` says, and the newest build of every stream that they require. */
function needed(all: CarriedModule[], wanted: (module: CarriedModule) => boolean): CarriedModule[] {
  const found = new Set(all.filter(wanted));
  const queue = [...found];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const [module, streams] of next.requires.flatMap((block) => Object.entries(block))) {
      const positive = streams.filter((stream) => !stream.startsWith("-"));
      const builds = all.filter(
        ({ name, stream }) => name === module && (positive.length === 0 || positive.includes(stream)),
      );
      if (builds.some((build) => found.has(build))) continue;
      const newest = builds.reduce<CarriedModule | undefined>(
        (best, build) => (best && BigInt(best.version) >= BigInt(build.version) ? best : build),
        undefined,
      );
      if (newest === undefined) continue;
      found.add(newest);
      queue.push(newest);
    }
  }
  return all.filter((module) => found.has(module));
}

/**
 * modules.yaml of a repository of these packages: the streams as they are, with the artifacts and
 * profiles that can be had here. A stream that is the only one of its module is the default, so
 * that hosts enable it when they install from it by name. Keys are sorted, since those of a lock are.
 * @param ids of the packages in the repository
 * @returns undefined when none is of a module
 */
export function modulesYaml(
  modules: CarriedModule[],
  ids: ReadonlySet<string>,
  names: ReadonlySet<string>,
): string | undefined {
  const here = modules.map((module) => ({
    ...module,
    artifacts: module.artifacts.filter((id) => ids.has(id)),
  }));
  const listed = needed(here, ({ artifacts }) => artifacts.length > 0);
  if (listed.length === 0) return undefined;
  const whole = (module: CarriedModule): [string, string[]][] =>
    Object.entries(module.profiles).filter(([, rpms]) => rpms.every((rpm) => names.has(rpm)));
  const documents: unknown[] = listed.map((module) => streamDocument(module, whole(module)));
  for (const [name, builds] of Map.groupBy(listed, (module) => module.name)) {
    const streams = new Set(builds.map(({ stream }) => stream));
    const [only] = streams;
    if (streams.size > 1 || only === undefined) continue;
    const complete = new Set(builds.flatMap(whole).map(([profile]) => profile));
    const profiles = [...new Set(builds.flatMap(({ defaultProfiles }) => defaultProfiles))]
      .filter((profile) => complete.has(profile))
      .sort();
    documents.push({
      document: "modulemd-defaults",
      version: 1,
      data: {
        module: name,
        stream: only,
        ...(profiles.length > 0 ? { profiles: { [only]: profiles } } : {}),
      },
    });
  }
  return documents
    .map(
      (document) =>
        `---\n${stringify(document, { defaultStringType: "QUOTE_DOUBLE", defaultKeyType: "PLAIN", lineWidth: 0, sortMapEntries: true })}...\n`,
    )
    .join("");
}

function streamDocument(module: CarriedModule, profiles: [string, string[]][]): unknown {
  const {
    name,
    stream,
    version,
    context,
    arch,
    staticContext,
    summary,
    description,
    licenses,
    requires,
    artifacts,
  } = module;
  return {
    document: "modulemd",
    version: 2,
    data: {
      name,
      stream,
      version,
      ...(context === "" ? {} : { context }),
      ...(staticContext ? { static_context: "true" } : {}),
      ...(arch === "" ? {} : { arch }),
      summary,
      description,
      license: { module: licenses },
      ...(requires.length > 0 ? { dependencies: requires.map((each) => ({ requires: each })) } : {}),
      ...(profiles.length > 0
        ? { profiles: Object.fromEntries(profiles.map(([profile, rpms]) => [profile, { rpms }])) }
        : {}),
      ...(artifacts.length > 0 ? { artifacts: { rpms: artifacts.map(withEpoch) } } : {}),
    },
  };
}

/** modulemd always has the epoch. */
const withEpoch = (id: string): string =>
  id.replace(/-([^-]+)-([^-]+)$/, (all, version: string, release: string) =>
    version.includes(":") ? all : `-0:${version}-${release}`,
  );
