import { AirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { Unsatisfiable } from "../packages/sat.ts";
import type { Closure } from "../packages/types.ts";
import { findAlternatives } from "./alternatives.ts";
import { Explanation } from "./explain.ts";
import { type InstalledPackage, loadUniverse } from "./load.ts";
import { prove } from "./proof.ts";
import type { RpmRepository } from "./repository.ts";
import { lookUp } from "./request.ts";
import { makeRules, type Rules } from "./rules.ts";
import { search } from "./search.ts";
import { nevra, type Universe } from "./universe.ts";

export interface SolveOptions {
  /** Name of the set, for messages. */
  set: string;
  role: string;
  /** What to install, as the spec says it. */
  install: string[];
  repositories: RpmRepository[];
  arch: string;
  recommends: boolean;
  installed: InstalledPackage[];
  hostCapabilities: string[];
  emit?: Emit;
}

/** What hosts of an architecture may install. */
const archesOf = (arch: string): ReadonlySet<string> => new Set([arch, "noarch"]);

/** Works out one role's transaction, as a whole. @throws AirgapError `unsatisfiable` with the chain that can't be kept */
export async function solve(options: SolveOptions): Promise<Closure> {
  const { install, repositories, arch, recommends, installed, hostCapabilities } = options;
  const arches = archesOf(arch);
  const wanted = [];
  for (const text of install) wanted.push(await lookUp(text, repositories, arches));
  const names = wanted.flatMap((want) => want.names);
  const capabilities = wanted.flatMap((want) => want.capabilities);
  const universe = await loadUniverse({ repositories, arches, names, capabilities, recommends, installed, hostCapabilities });
  const jobs = wanted.flatMap((want) => want.jobs(universe));
  const rules = makeRules(universe, jobs);
  const chosen = run(universe, rules, options);
  // Hosts whose packages are given leave nothing open.
  if (installed.length > 0) return prove({ universe, rules, jobs, chosen, alternatives: [], role: options.role });
  const { found, impossible } = findAlternatives(universe, chosen, recommends);
  for (const why of impossible) {
    options.emit?.({
      type: "warning",
      message: `${options.set}: ${why}; hosts that meet the condition can't be served, since that does not go together with the rest`,
    });
  }
  return prove({ universe, rules, jobs, chosen, alternatives: found, role: options.role });
}

function run(universe: Universe, rules: Rules, options: SolveOptions): number[] {
  try {
    return search(universe, rules, { recommends: options.recommends });
  } catch (error) {
    if (!(error instanceof Unsatisfiable)) throw error;
    const lines = new Explanation(universe, (name) => nearestTo(universe, name)).lines(rules, error.rules);
    const searched = options.repositories.map(({ id }) => id);
    const where = options.role === "all" ? options.set : `${options.set}, role ${options.role}`;
    throw new AirgapError(
      "unsatisfiable",
      `${where}: what was asked for can't be installed together\n  ${lines.join("\n  ")}\n  searched: ${searched.join(", ")}`,
      {
        data: { set: options.set, role: options.role, chain: lines, repositories: searched },
      },
    );
  }
}

/** Other versions of a package that has the name of a capability. */
function nearestTo(universe: Universe, name: string): string | undefined {
  const same = universe
    .named(name)
    .slice(-3)
    .map((solvable) => `${nevra(solvable)}${solvable.repository ? ` (${solvable.repository.id})` : " (installed)"}`);
  return same.length > 0 ? same.join(", ") : undefined;
}
