import type { ClusterHost } from "../../cluster/cluster.ts";
import { call } from "../../plan/shell.ts";
import type { PackageSet } from "../bundle.ts";
import { wantedPackages } from "../context.ts";

/** A package that a host is to have. */
export interface Wanted {
  name: string;
  version: string;
  arch: string;
  /** As the spec asks for it: a name, a capability, a name with a version. */
  text: string;
  /** Exactly this version; else any that is there will do. */
  pinned: boolean;
}

/** What a transaction may do besides installing. */
export interface Allowed {
  removal: boolean;
  base: boolean;
}

/** Packages of a host by the roles that it has in this cluster. */
export function wantedOn(set: PackageSet, host: ClusterHost): Wanted[] {
  return wantedPackages(set, host.roles).flatMap(({ text, package: id }) => {
    const found =
      set.facts.packages.find((each) => each.id === id) ??
      set.facts.packages.find((each) => each.name === id);
    if (found === undefined) return [];
    const pinned =
      text !== found.name && (text.startsWith(`${found.name}-`) || text.startsWith(`${found.name}=`));
    return [{ name: found.name, version: found.version, arch: found.arch, text, pinned }];
  });
}

/** Disables services whose package airgap installed; one that was there before runs on. */
export const stopIfOurs = (packages: string[], ...units: string[]): string =>
  call("disable_if_ours", packages, ...units);
