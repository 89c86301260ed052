import type { ClusterHost } from "../../cluster/cluster.ts";
import { call } from "../../plan/shell.ts";
import type { PackageSet } from "../bundle.ts";
import { wantedPackages } from "../context.ts";
import type { Wanted } from "../systems/system.ts";

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

/** Disables services whose package airgap installed; a service that was there before keeps running. */
export const stopIfOurs = (packages: string[], ...units: string[]): string =>
  call("disable_if_ours", packages, ...units);
