import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "./cache.ts";
import { etcd, type KubernetesVersion, kubernetesVersions } from "./go/recipes.ts";
import { built } from "./programs.ts";
import { must } from "./shell.ts";

/** etcd's release archive, as its makers lay it out. @returns path */
export async function etcdRelease(version: KubernetesVersion): Promise<string> {
  const programs = await built(etcd(version));
  const release = `etcd-${kubernetesVersions[version].etcd}-linux-amd64`;
  const folder = await cached("etcd-release", [programs, release], async (folder) => {
    const stage = join(folder, release);
    await mkdir(stage);
    for (const name of ["etcd", "etcdctl", "etcdutl"]) await cp(join(programs, name), join(stage, name));
    await must("tar", ["-C", folder, "-czf", join(folder, `${release}.tar.gz`), release], {
      timeoutMs: 300_000,
    });
    await must("rm", ["-rf", stage]);
  });
  return join(folder, `${release}.tar.gz`);
}
