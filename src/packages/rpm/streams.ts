import { Unsatisfiable } from "../solver/sat.ts";
import { Explanation } from "./explain.ts";
import type { ModuleDefaults, ModuleStream } from "./modulemd.ts";
import type { RpmRepository } from "./repository.ts";
import { type Job, makeRules, type Rules } from "./rules.ts";
import { search } from "./search.ts";
import { type Solvable, Universe } from "./universe.ts";
import { compareEvr } from "./version.ts";

/** A stream in a repository. */
export interface OfferedStream extends ModuleStream {
  repository: RpmRepository;
}

export interface ActivateOptions {
  streams: OfferedStream[];
  defaults: ReadonlyMap<string, ModuleDefaults>;
  /** Streams that were asked for, by module. */
  enabled: ReadonlyMap<string, string>;
  arch: string;
  /** `el9`; undefined when the systems say nothing of it, and every platform will do. */
  platforms: ReadonlySet<string> | undefined;
}

export interface Activation {
  active: Set<OfferedStream>;
  /** Why defaults can't all be had, in words. */
  problems: string[];
  /** Why what was asked for can't be had; nothing is active then. */
  contradiction?: string[];
}

/**
 * Which streams are active: those asked for, the default ones of other modules, and what these
 * need. Solved the way libdnf does (its ModulePackageContainer, `moduleSolve`): a stream is a
 * package that provides `module(name)` and `module(name:stream)` and conflicts with the former.
 */
export function activate(options: ActivateOptions): Activation {
  const problem = new StreamProblem(options);
  const problems: string[] = [];
  for (const latest of [true, false]) {
    for (const dropped = new Set<string>(); ; ) {
      const outcome = problem.solve(latest, dropped);
      if (outcome.active) return { active: outcome.active, problems };
      if (problems.length === 0) problems.push(...outcome.lines);
      if (outcome.weakest !== undefined) dropped.add(outcome.weakest);
      else if (latest) break;
      else return { active: new Set(), problems, contradiction: outcome.lines };
    }
  }
  return { active: new Set(), problems };
}

type Outcome =
  | { active: Set<OfferedStream>; lines?: undefined; weakest?: undefined }
  | { active?: undefined; lines: string[]; weakest: string | undefined };

class StreamProblem {
  readonly #options: ActivateOptions;
  readonly #universe: Universe;
  readonly #streams = new Map<Solvable, OfferedStream>();
  /** `module(name)` and `module(name:stream)`. */
  readonly #provided = new Map<string, Solvable[]>();

  constructor(options: ActivateOptions) {
    this.#options = options;
    const contexts = staticContexts(options.streams);
    const usable = options.streams.filter(
      ({ arch }) => arch === "" || arch === "noarch" || arch === options.arch,
    );
    // Static ones come first: the others' contexts follow from them.
    const ordered = [
      ...usable.filter(({ staticContext }) => staticContext),
      ...usable.filter(({ staticContext }) => !staticContext),
    ];
    const solvables = ordered.map((stream, i) => this.#solvable(stream, i + 1, contextOf(stream, contexts)));
    this.#universe = new Universe(
      solvables,
      (name, visit) => this.#provided.get(name)?.forEach((solvable) => void visit(solvable, "")),
      new Set(),
    );
  }

  #solvable(stream: OfferedStream, id: number, context: string): Solvable {
    const { name, version, arch, repository } = stream;
    const requires: string[] = [];
    const conflicts = [`module(${name})`];
    for (const [module, streams] of stream.requires.flatMap((block) => Object.entries(block))) {
      conflicts.push(
        ...streams.filter((each) => each.startsWith("-")).map((each) => `module(${module}:${each.slice(1)})`),
      );
      const any = streams.filter((each) => !each.startsWith("-")).map((each) => `module(${module}:${each})`);
      if (module === "platform" && this.#hasPlatform(streams)) continue;
      requires.push(
        any.length === 0
          ? `module(${module})`
          : any.length === 1
            ? (any[0] as string)
            : `(${any.join(" or ")})`,
      );
    }
    const full = `${name}:${stream.stream}:${context}`;
    const solvable: Solvable = {
      id,
      repository,
      order: 0,
      row: id,
      name: full,
      arch,
      version,
      data: { requires, conflicts },
    };
    this.#streams.set(solvable, stream);
    for (const capability of [`module(${name})`, `module(${name}:${stream.stream})`]) {
      const list = this.#provided.get(capability);
      if (list) list.push(solvable);
      else this.#provided.set(capability, [solvable]);
    }
    return solvable;
  }

  #hasPlatform(streams: string[]): boolean {
    const { platforms } = this.#options;
    if (platforms === undefined || streams.length === 0) return true;
    return streams.some((stream) =>
      stream.startsWith("-") ? !platforms.has(stream.slice(1)) : platforms.has(stream),
    );
  }

  /** @param dropped defaults that are done without */
  solve(latest: boolean, dropped: ReadonlySet<string>): Outcome {
    // The higher, the sooner a default is given up.
    const weak = new Map<string, number>();
    const jobs = new Map<string, Job>();
    for (const { name, stream } of this.#streams.values()) {
      const text = `module(${name}:${stream})`;
      const enabled = this.#options.enabled.get(name);
      const wanted =
        enabled === undefined ? this.#options.defaults.get(name)?.stream === stream : enabled === stream;
      if (!wanted || jobs.has(text) || dropped.has(text)) continue;
      const all = this.#universe.providers({ kind: "simple", name: text, op: 0, version: "" });
      const candidates = latest ? this.#newest(all) : all;
      if (enabled === undefined) weak.set(text, candidates.length < all.length ? 1 : 0);
      jobs.set(text, { text, candidates });
    }
    const rules = makeRules(this.#universe, [...jobs.values()]);
    try {
      const { chosen: ids } = search(this.#universe, rules, { recommends: false });
      const chosen = new Set(ids.map((id) => this.#universe.get(id).name));
      // All versions of what was chosen are active, in whatever repository.
      return {
        active: new Set(
          [...this.#streams].filter(([{ name }]) => chosen.has(name)).map(([, stream]) => stream),
        ),
      };
    } catch (error) {
      if (!(error instanceof Unsatisfiable)) throw error;
      return {
        lines: new Explanation(this.#universe, () => undefined).lines(rules, error.rules),
        weakest: weakestOf(rules, error.rules, weak),
      };
    }
  }

  #newest(candidates: number[]): number[] {
    const best = new Map<string, Solvable>();
    for (const solvable of candidates.map((id) => this.#universe.get(id))) {
      const known = best.get(solvable.name);
      if (known === undefined || compareEvr(known.version, solvable.version) < 0)
        best.set(solvable.name, solvable);
    }
    return [...best.values()].map(({ id }) => id).sort((a, b) => a - b);
  }
}

/**
 * The default that is given up, as libsolv gives up weak rules: the last one among what
 * contradicts itself. Its rules for the newest builds come after all jobs, so they go first.
 */
function weakestOf(rules: Rules, involved: number[], weak: ReadonlyMap<string, number>): string | undefined {
  const defaults = involved.filter((rule) => rules.kind(rule) === "job" && weak.has(rules.relation(rule)));
  const rank = (rule: number): number => weak.get(rules.relation(rule)) ?? 0;
  const [last] = defaults.sort((a, b) => rank(b) - rank(a) || b - a);
  return last === undefined ? undefined : rules.relation(last);
}

/** What a stream requires, in words that are the same for the same requirements; the platform does not count. */
function requirementsOf({ requires }: ModuleStream): string {
  const each = requires.flatMap((block) => Object.entries(block)).filter(([module]) => module !== "platform");
  return each
    .map(([module, streams]) =>
      streams.length === 0 ? module : `${module}:[${streams.toSorted().join(",")}]`,
    )
    .sort()
    .join(";");
}

function staticContexts(streams: ModuleStream[]): Map<string, string> {
  const contexts = new Map<string, string>();
  for (const stream of streams) {
    const key = `${stream.name}:${stream.stream} ${requirementsOf(stream)}`;
    if (stream.staticContext && !contexts.has(key)) contexts.set(key, stream.context);
  }
  return contexts;
}

/** Hashes say nothing about what can replace what, so contexts are named by what they require. */
function contextOf(stream: ModuleStream, contexts: Map<string, string>): string {
  if (stream.staticContext) return stream.context;
  const requirements = requirementsOf(stream);
  return contexts.get(`${stream.name}:${stream.stream} ${requirements}`) ?? (requirements || "NoRequires");
}
