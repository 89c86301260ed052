import { AirgapError } from "../errors.ts";
import { compareVersions, upgradePath } from "../kubernetes/upgrade.ts";
import { itemsOf, type Lock } from "../lock/lock.ts";
import type { PackageSetFacts } from "../lock/package-facts.ts";

/** Whether a package version is of this Kubernetes version: `1.28.2-1.1` of `v1.28.2`. */
export function isOfVersion(packageVersion: string, version: string): boolean {
  const plain = packageVersion.replace(/^\d+:/, "");
  const wanted = version.slice(1);
  return plain === wanted || (plain.startsWith(wanted) && !/^[\d.]/.test(plain.slice(wanted.length)));
}

const kubelets = ({ packages }: PackageSetFacts): string[] =>
  packages.flatMap(({ name, version }) => (name === "kubelet" ? [version] : []));

/** Whether a set has the packages of a Kubernetes version. */
export const setIsFor = (facts: PackageSetFacts, version: string): boolean =>
  (facts.kubernetes === undefined || facts.kubernetes === version) &&
  kubelets(facts).some((each) => isOfVersion(each, version));

/**
 * What a lock lacks for an upgrade from a version to its newest: minors without images, and systems
 * without packages. A system for which no set has a kubelet is not asked about.
 */
export function missingStones(lock: Pick<Lock, "kubernetes" | "items">, from: string): string[] {
  const carried = lock.kubernetes ?? [];
  const to = carried.toSorted(compareVersions).at(-1);
  if (to === undefined) return ["any version under `kubernetes:`"];
  const { stones, missing } = upgradePath(from, to, carried);
  const sets = itemsOf(lock, "packages").filter(({ facts }) => kubelets(facts).length > 0);
  const systems = new Map(
    sets.flatMap(({ facts }) =>
      facts.for.map((name) => [`${name} (${facts.arch})`, { name, arch: facts.arch }]),
    ),
  );
  const packages = stones.flatMap((version) => {
    const lacking = [...systems].flatMap(([label, { name, arch }]) =>
      sets.some(({ facts }) => facts.for.includes(name) && facts.arch === arch && setIsFor(facts, version))
        ? []
        : [label],
    );
    return lacking.length === 0 ? [] : [`packages of ${version} for ${lacking.join(", ")}`];
  });
  return [...missing.map((version) => `${version} under \`kubernetes:\``), ...packages];
}

/** @throws AirgapError `not-closed` naming every step that a site at `from` would miss */
export function checkStones(lock: Lock, from: string): void {
  const missing = missingStones(lock, from);
  if (missing.length === 0) return;
  throw new AirgapError(
    "not-closed",
    `A site at ${from} cannot be upgraded with this bundle, since kubeadm moves one minor at a time. It lacks:\n${missing.map((each) => `  ${each}`).join("\n")}`,
    {
      suggestions: [
        "add each version under `kubernetes:`, and a package set for each system with `kubernetes: VERSION`",
        "or remove upgradeFrom",
      ],
      data: { missing },
    },
  );
}
