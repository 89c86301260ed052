import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { applicationArchive, applicationImage } from "./application.ts";
import { packTool } from "./box.ts";
import { cached } from "./cache.ts";
import { type ConnectedOptions, connectedSide } from "./connected.ts";
import { etcdRelease } from "./etcd-release.ts";
import { mirrorStorage } from "./images/catalogue.ts";
import { packagerKey, privateKeyOf } from "./packages/key.ts";
import { elPackages, kubernetesDebs } from "./packages/repositories.ts";
import { must } from "./shell.ts";

const CHECKOUT = join(import.meta.dirname, "../../..");
/** A bundle carries the tool, so each change of a source makes another: those that nobody used for this long go. */
const KEPT_MS = 30 * 60 * 1000;

/** What the tool is made from, and how the connected side is laid: another content makes another bundle. */
async function sources(): Promise<string> {
  const hash = createHash("sha256");
  for (const name of [
    "bin",
    "src",
    "registry",
    "manifests",
    "package-lock.json",
    "test/e2e/rig/manifests",
    "test/e2e/rig/connected.ts",
  ]) {
    const path = join(CHECKOUT, name);
    const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => undefined);
    const files = entries
      ?.filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name)) ?? [path];
    for (const file of files.sort()) hash.update(`${relative(CHECKOUT, file)}\0`).update(readFileSync(file));
  }
  return hash.digest("hex");
}

/**
 * A bundle as `airgap build` makes it on the connected side, with the tool itself, etcd's release and the application; built
 * once for each state of the sources, however many tests want it.
 * @returns path of the tar
 */
export async function siteBundle(
  options: Omit<ConnectedOptions, "extra"> & { application: string },
): Promise<string> {
  const { application, ...side } = options;
  const archive = await applicationArchive(application);
  const contents = [
    await mirrorStorage(side.version),
    await kubernetesDebs(side.version),
    side.systems.includes("el") && (await elPackages()),
    archive,
  ];
  const etcd = { path: await etcdRelease(side.version), as: "etcd" };
  const folder = await cached(
    `bundle-${side.version}-shop-${application}`,
    [side, contents, etcd, await sources(), readFileSync(import.meta.filename, "utf8")],
    async (folder) => {
      const work = await mkdtemp(join(tmpdir(), "rig-bundle-"));
      try {
        const images = [
          {
            ref: `${applicationImage}:${application}`,
            from: `docker-archive:${archive}:shop:${application}`,
          },
        ];
        const repositoryKey = join(work, "site.asc");
        await writeFile(repositoryKey, await privateKeyOf(await packagerKey()), { mode: 0o600 });
        await using connected = await connectedSide(work, {
          ...side,
          images,
          extra: { repositoryKey, files: [{ self: true }, etcd] },
        });
        await packTool();
        await must(join(CHECKOUT, "bin/airgap"), ["build", connected.spec, "-o", join(folder, "site.tar")], {
          timeoutMs: 900_000,
        });
      } finally {
        await must("rm", ["-rf", work]);
      }
    },
    KEPT_MS,
  );
  return join(folder, "site.tar");
}
