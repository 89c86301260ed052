import { AirgapError } from "../../errors.ts";
import type { CarriedModule } from "../../lock/package-facts.ts";
import { globRegExp } from "../glob.ts";
import { carriedModules } from "./carried.ts";
import { hidePackages, inWords, wayOut } from "./module-filter.ts";
import type { ModuleDefaults } from "./modulemd.ts";
import type { RpmRepository } from "./repository.ts";
import { type Activation, activate, type OfferedStream } from "./streams.ts";
import { nevra } from "./universe.ts";

/** `name[:stream[:version[:context[:arch]]]][/profile]`, any part a pattern. */
interface ModuleSpec {
  name: string;
  stream?: string | undefined;
  version?: string | undefined;
  context?: string | undefined;
  arch?: string | undefined;
  profile?: string | undefined;
}

/** What words such as `@module:stream/profile` stand for. */
export interface ModuleRequest {
  /** The word that asked for each package first, by name. */
  packages: Map<string, string>;
  /** Which builds are the streams' own. */
  artifacts: Set<string>;
}

/** Systems that say of themselves which platform they are, by os-release ID. */
const ENTERPRISE = /^(?:centos|rhel|rocky|almalinux|alma|ol|oracle|cloudlinux)-(\d+)(?:\.|$)/;

/** `el9` of `rocky-9.4`; undefined unless that is known of every system. */
export function platformsOf(systems: string[]): ReadonlySet<string> | undefined {
  const known = systems.map(
    (system) => ENTERPRISE.exec(system)?.[1] ?? /^fedora-(\d+)$/.exec(system)?.[1]?.replace(/^/, "f"),
  );
  if (known.length === 0 || known.includes(undefined)) return undefined;
  return new Set(known.map((version) => (version?.startsWith("f") ? version : `el${version}`)));
}

function parseSpec(text: string): ModuleSpec {
  const slash = text.indexOf("/");
  const profile = slash < 0 ? undefined : text.slice(slash + 1);
  // An architecture can follow two colons, in whatever comes before.
  const [front = "", arch] = (slash < 0 ? text : text.slice(0, slash)).split("::", 2);
  const [name = "", stream, version, context, last] = front.split(":");
  return { name, stream, version, context, arch: arch ?? last, profile };
}

const fits = (pattern: string | undefined, text: string): boolean =>
  pattern === undefined || pattern === "" || globRegExp(pattern).test(text);

/** The module streams of a set's repositories: which are active for a request, and what that hides. */
export class Modules {
  readonly #repositories: RpmRepository[];
  readonly #streams: OfferedStream[];
  readonly #defaults: ReadonlyMap<string, ModuleDefaults>;
  readonly #arch: string;
  readonly #platforms: ReadonlySet<string> | undefined;
  /** By module. */
  #enabled = new Map<string, string>();
  #activation: Activation = { active: new Set(), problems: [] };

  private constructor(
    repositories: RpmRepository[],
    streams: OfferedStream[],
    defaults: ReadonlyMap<string, ModuleDefaults>,
    arch: string,
    systems: string[],
  ) {
    this.#repositories = repositories;
    this.#streams = streams;
    this.#defaults = defaults;
    this.#arch = arch;
    this.#platforms = platformsOf(systems);
  }

  /** @param systems `rocky-9`: what the set is for */
  static async read(
    repositories: RpmRepository[],
    arch: string,
    systems: string[],
    warn: (message: string) => void,
  ): Promise<Modules> {
    const streams: OfferedStream[] = [];
    const defaults = new Map<string, ModuleDefaults>();
    for (const repository of repositories) {
      const read = await repository.modules();
      if (read === undefined) continue;
      for (const problem of read.problems)
        warn(`Repository ${repository.id}: its modules.yaml is passed over in part: ${problem}`);
      streams.push(
        ...read.streams
          .toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
          .map((stream) => ({ ...stream, repository })),
      );
      const own = new Map(read.defaults.map((each) => [each.module, each]));
      for (const each of own.values()) defaults.set(each.module, merged(defaults.get(each.module), each));
    }
    return new Modules(repositories, streams, defaults, arch, systems);
  }

  get any(): boolean {
    return this.#streams.length > 0;
  }

  get active(): ReadonlySet<OfferedStream> {
    return this.#activation.active;
  }

  /** Whether a word after `@` names a module; if not it may be a group. */
  knows(text: string): boolean {
    return this.#query(parseSpec(text)).length > 0;
  }

  /** Every `name:stream`. */
  names(): { name: string; stream: string }[] {
    return this.#streams.map(({ name, stream }) => ({ name, stream }));
  }

  /**
   * Settles which streams are active when these are asked for, and hides what dnf's modular
   * filtering hides: packages of other streams, and any package that is called like one of an
   * active stream or provides its name. Repositories with `moduleHotfixes` are spared.
   * @param asked words after `@` that `knows`
   * @param installed ids of what hosts have: a package of one stream alone says that it is enabled there
   * @returns what does not go together, in words
   * @throws AirgapError `spec`, `unsatisfiable`
   */
  async enable(asked: string[], installed: ReadonlySet<string> = new Set()): Promise<string[]> {
    const problems = this.#settle(asked, installed);
    const enabled = this.#enabled;
    this.#activation = activate({
      streams: this.#streams,
      defaults: this.#defaults,
      enabled,
      arch: this.#arch,
      platforms: this.#platforms,
    });
    const { contradiction } = this.#activation;
    if (contradiction) {
      const names = [...enabled].map(([module, stream]) => `${module}:${stream}`).join(", ");
      throw new AirgapError(
        "unsatisfiable",
        `The module streams ${names} can't be enabled together\n  ${contradiction.join("\n  ")}`,
        {
          data: { chain: contradiction },
        },
      );
    }
    await hidePackages(this.#repositories, this.#streams, this.#activation.active, installed);
    return [...problems, ...this.#activation.problems];
  }

  /** Streams that words name, then those that hosts have, then those of words that leave it open. */
  #settle(asked: string[], installed: ReadonlySet<string>): string[] {
    this.#enabled = new Map();
    const open = (text: string): boolean => parseSpec(text).stream === undefined;
    const enable = (text: string): void => {
      for (const [module, stream] of this.#choose(text)) {
        const other = this.#enabled.get(module);
        if (other !== undefined && other !== stream)
          throw new AirgapError(
            "unsatisfiable",
            `@${text}: ${module}:${other} is asked for too, and hosts can have one stream of a module`,
          );
        this.#enabled.set(module, stream);
      }
    };
    for (const text of asked) if (!open(text)) enable(text);
    const problems: string[] = [];
    for (const [module, stream] of this.#onHosts(installed)) {
      const other = this.#enabled.get(module);
      if (other === undefined) this.#enabled.set(module, stream);
      else if (other !== stream)
        problems.push(
          `hosts have packages of ${module}:${stream}, and ${module}:${other} is asked for: dnf does not switch streams by itself`,
        );
    }
    for (const text of asked) if (open(text)) enable(text);
    return problems;
  }

  #onHosts(installed: ReadonlySet<string>): Map<string, string> {
    const found = new Map<string, Set<string>>();
    for (const { name, stream, artifacts } of installed.size > 0 ? this.#streams : []) {
      if (artifacts.some((id) => installed.has(id)))
        found.set(name, new Set([...(found.get(name) ?? []), stream]));
    }
    return new Map(
      [...found]
        .filter(([, streams]) => streams.size === 1)
        .map(([module, [stream = ""]]) => [module, stream]),
    );
  }

  /** The stream of each module that a word means. */
  #choose(text: string): Map<string, string> {
    const found = Map.groupBy(this.#query(parseSpec(text)), ({ name }) => name);
    const chosen = new Map<string, string>();
    for (const [module, streams] of found) {
      const names = [...new Set(streams.map(({ stream }) => stream))].sort();
      const stream =
        names.length === 1 ? names[0] : (this.#enabled.get(module) ?? this.#defaults.get(module)?.stream);
      if (stream === undefined || !names.includes(stream))
        throw new AirgapError(
          "spec",
          `@${text} can be any of the streams ${names.join(", ")} of ${module}, and none is the default`,
          {
            suggestions: names.slice(0, 3).map((name) => `"@${module}:${name}"`),
          },
        );
      chosen.set(module, stream);
    }
    return chosen;
  }

  /** What comes with words: the packages of the profile named, or of the default ones. After `enable`. @throws AirgapError `spec` */
  request(words: string[]): ModuleRequest {
    const request: ModuleRequest = { packages: new Map(), artifacts: new Set() };
    for (const text of words) {
      const spec = parseSpec(text);
      for (const [module, stream] of this.#choose(text)) {
        const own = this.#query(spec).filter(
          (each) => each.name === module && each.stream === stream && this.active.has(each),
        );
        const latest = own.reduce<OfferedStream | undefined>(
          (best, each) => (best && BigInt(best.version) >= BigInt(each.version) ? best : each),
          undefined,
        );
        if (latest === undefined)
          throw new AirgapError(
            "unsatisfiable",
            `@${text}: no build of ${module}:${stream} can be enabled here`,
          );
        for (const name of this.#profiles(text, spec, latest))
          for (const rpm of latest.profiles[name] ?? [])
            if (!request.packages.has(rpm)) request.packages.set(rpm, `@${text}`);
        for (const each of own) for (const artifact of each.artifacts) request.artifacts.add(artifact);
      }
    }
    return request;
  }

  /** A stream without any profile is enabled and no more. */
  #profiles(text: string, { profile }: ModuleSpec, latest: OfferedStream): string[] {
    const known = Object.keys(latest.profiles).sort();
    if (profile === undefined && known.length === 0) return [];
    const defaults = this.#defaults.get(latest.name)?.profiles[latest.stream] ?? [];
    const found = profile === undefined ? defaults : known.filter((name) => fits(profile, name));
    const missing = found.find((name) => !known.includes(name));
    if (found.length > 0 && missing === undefined) return found;
    const none = profile === undefined ? "no profile of it is the default" : `it has no profile ${profile}`;
    const why = missing === undefined ? none : `the default profile ${missing} does not exist`;
    const shown = known.length === 0 ? "none" : known.join(", ");
    throw new AirgapError(
      "spec",
      `@${text}: ${latest.name}:${latest.stream} is known, but ${why}; it has ${shown}`,
      {
        suggestions: known.slice(0, 3).map((name) => `"@${latest.name}:${latest.stream}/${name}"`),
      },
    );
  }

  #query(spec: ModuleSpec): OfferedStream[] {
    return this.#streams.filter(
      ({ name, stream, version, context, arch }) =>
        fits(spec.name, name) &&
        fits(spec.stream, stream) &&
        fits(spec.version, version) &&
        fits(spec.context, context) &&
        fits(spec.arch, arch),
    );
  }

  /** The streams behind packages that were chosen. */
  carried(chosen: ReadonlySet<string>): CarriedModule[] {
    return carriedModules(this.active, this.#defaults, chosen);
  }

  /** What of a name is hidden, and what helps; undefined when nothing is. */
  async hidden(name: string): Promise<{ text: string; suggestion: string } | undefined> {
    for (const repository of this.#repositories) {
      const [row] = (await repository.hiddenOf(name)).slice(-1);
      const by = row && repository.hidden.get(row.id);
      if (by)
        return { text: `${nevra(row)} (${repository.id}) is hidden: ${inWords(by)}`, suggestion: wayOut(by) };
    }
    return undefined;
  }
}

/** As libmodulemd merges: the newer of two that differ; no default where they are of one age. */
function merged(into: ModuleDefaults | undefined, from: ModuleDefaults): ModuleDefaults {
  if (into === undefined) return from;
  const newer = from.modified > into.modified;
  const conflict =
    into.stream !== undefined &&
    from.stream !== undefined &&
    into.stream !== from.stream &&
    from.modified === into.modified;
  const stream = conflict ? undefined : newer ? (from.stream ?? into.stream) : (into.stream ?? from.stream);
  return {
    module: from.module,
    ...(stream === undefined ? {} : { stream }),
    profiles: newer ? { ...into.profiles, ...from.profiles } : { ...from.profiles, ...into.profiles },
    modified: Math.max(into.modified, from.modified),
  };
}
