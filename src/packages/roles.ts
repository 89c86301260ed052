import { AirgapError } from "../errors.ts";
import type { PackageSetSpec } from "../lock/spec.ts";
import type { Closure } from "./types.ts";

/** What the hosts of a role install: what every host gets, and the role's own. */
export interface RoleRequest {
  role: string;
  install: string[];
}

/** `all` alone where the spec makes no difference between roles. */
export function rolesOf(set: PackageSetSpec): RoleRequest[] {
  if (Array.isArray(set.install)) return [{ role: "all", install: set.install }];
  const { all = [], ...others } = set.install as Record<string, string[]>;
  const roles = Object.entries(others).map(([role, install]) => ({
    role,
    install: [...new Set([...all, ...install])],
  }));
  const requests = [...(all.length > 0 ? [{ role: "all", install: all }] : []), ...roles].filter(
    ({ install }) => install.length > 0,
  );
  if (requests.length === 0) throw new AirgapError("spec", `Package set ${set.name} installs nothing`);
  return requests;
}

/** Every package of a set, once, sorted. */
export function packagesOf(closures: Closure[]): Closure["packages"] {
  const all = new Map<string, Closure["packages"][number]>();
  for (const { packages } of closures) {
    for (const chosen of packages) {
      const known = all.get(chosen.id);
      // What one role needs for certain is no mere alternative.
      if (known === undefined || (known.alternative !== undefined && chosen.alternative === undefined))
        all.set(chosen.id, chosen);
    }
  }
  return [...all.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
