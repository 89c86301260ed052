import type { Reason } from "../lock/package-facts.ts";
import { globRegExp } from "./glob.ts";
import { packagesOf } from "./roles.ts";
import type { Closure } from "./types.ts";

/** A package set as `packages resolve --json` gives it. */
export interface ResolvedPackageSet {
  name: string;
  roles: {
    role: string;
    asked: { text: string; package: string }[];
    packages: string[];
    removes?: string[];
    modules?: string[];
  }[];
  packages: {
    id: string;
    name: string;
    version: string;
    arch: string;
    repository: string;
    size: number;
    reason: Reason;
    alternative?: string;
  }[];
}

export function summarise(name: string, closures: Closure[]): ResolvedPackageSet {
  return {
    name,
    roles: closures.map(({ role, asked, packages, removes, modules }) => ({
      role,
      asked,
      packages: packages.map(({ id }) => id),
      ...(removes ? { removes } : {}),
      ...(modules
        ? { modules: [...new Set(modules.map((module) => `${module.name}:${module.stream}`))] }
        : {}),
    })),
    packages: packagesOf(closures).map(
      ({ id, name, version, arch, repository, size, reason, alternative }) => ({
        id,
        name,
        version,
        arch,
        repository,
        size,
        reason,
        ...(alternative === undefined ? {} : { alternative }),
      }),
    ),
  };
}

/**
 * Why a package is in a set: a line for each step from what was asked for.
 * @param asked an id, a name, or a pattern of these
 */
export function chainsTo(set: ResolvedPackageSet, asked: string): string[] {
  const pattern = globRegExp(asked);
  const byId = new Map(set.packages.map((item) => [item.id, item]));
  const lines: string[] = [];
  for (const found of set.packages.filter(({ id, name }) => pattern.test(id) || pattern.test(name))) {
    const steps: string[] = [];
    for (
      let item: typeof found | undefined = found;
      item !== undefined;
      item = item.reason.by === undefined ? undefined : byId.get(item.reason.by)
    ) {
      const { id, reason, alternative } = item;
      if (alternative !== undefined) steps.unshift(`${id} is carried as an alternative: ${alternative}`);
      else if (reason.replaces !== undefined)
        steps.unshift(`hosts have ${reason.replaces}, which can't stay (${reason.relation}): ${id}`);
      else if (reason.by === undefined) steps.unshift(`${id} was asked for: ${reason.relation}`);
      else steps.unshift(`${reason.by} requires ${reason.relation}: ${id}`);
      if (steps.length > set.packages.length) break;
    }
    const roles = set.roles.filter(({ packages }) => packages.includes(found.id)).map(({ role }) => role);
    lines.push(
      `${set.name} (${roles.join(", ")}): ${found.id} from ${found.repository}`,
      ...steps.map((step) => `  ${step}`),
    );
  }
  return lines;
}
