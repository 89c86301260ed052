import { readFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cached } from "../cache.ts";
import { type KubernetesVersion, kubernetes } from "../go/recipes.ts";
import { must } from "../shell.ts";
import { elSystem } from "../system/el.ts";
import type { Package } from "./content.ts";
import { debRepository } from "./deb.ts";
import { elBasePackages } from "./el-base.ts";
import { type PackagerKey, packagerKey } from "./key.ts";
import { kubernetesPackages } from "./kubernetes.ts";
import { repackedPackages } from "./repack.ts";
import { rpmRepository } from "./rpm.ts";

const recipeFiles = [
  "content.ts",
  "deb.ts",
  "rpm.ts",
  "kubernetes.ts",
  "repack.ts",
  "repositories.ts",
  "../go/recipes.ts",
];
const recipe = (): string[] =>
  recipeFiles.map((file) => readFileSync(join(import.meta.dirname, file), "utf8"));

async function repository(
  name: string,
  more: unknown,
  contents: (stage: string) => Promise<Package[]>,
  make: (packages: Package[], key: PackagerKey, folder: string) => Promise<void>,
) {
  const key = await packagerKey();
  return cached(name, [recipe(), more, key.id], async (folder) => {
    const stage = await mkdtemp(join(tmpdir(), "rig-packages-"));
    try {
      await make(await contents(stage), key, folder);
    } finally {
      await must("rm", ["-rf", stage]);
    }
  });
}

/** Folder of a flat DEB repository with one Kubernetes version, as pkgs.k8s.io has one for each minor. */
export const kubernetesDebs = (version: KubernetesVersion): Promise<string> =>
  repository(
    `debs-${version}`,
    kubernetes(version),
    (stage) => kubernetesPackages(version, "deb", stage),
    debRepository,
  );

/** The same as RPMs. */
export const kubernetesRpms = (version: KubernetesVersion): Promise<string> =>
  repository(
    `rpms-${version}`,
    kubernetes(version),
    (stage) => kubernetesPackages(version, "rpm", stage),
    rpmRepository,
  );

/** Folder of an RPM repository with the runtime and tools of the host whose package manager is dnf. */
export async function elPackages(): Promise<string> {
  const { debs, root } = await elSystem();
  return repository(
    "rpms-el",
    root.split("/").at(-2),
    (stage) => repackedPackages(debs, stage),
    rpmRepository,
  );
}

/** Folder of an RPM repository with all that such a host has before an installation. */
export async function elBase(): Promise<string> {
  const system = await elSystem();
  return repository(
    "rpms-el-base",
    [system.root.split("/").at(-2), readFileSync(join(import.meta.dirname, "el-base.ts"), "utf8")],
    (stage) => elBasePackages(system, stage),
    rpmRepository,
  );
}
