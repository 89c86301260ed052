import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "../cache.ts";
import { must } from "../shell.ts";
import { layerRecipe, layRigFiles, removeIdentity } from "./layer.ts";
import { aptSources, BASE, bootstrap } from "./mmdebstrap.ts";

/** A minimal Debian tree, kept in the cache and shared by all hosts of its kind; with further packages where a test wants them. */
export async function debianTree(...extra: string[]): Promise<string> {
  const packages = [...BASE, ...extra];
  const folder = await cached(
    "debian",
    [packages, readFileSync(aptSources(), "utf8"), layerRecipe(), readFileSync(import.meta.filename, "utf8")],
    async (folder) => {
      const root = join(folder, "root");
      await bootstrap(root, packages);
      await layRigFiles(root);
      await removeIdentity(root);
      // Behind the gap apt points where nothing answers.
      await must("rm", ["-rf", join(root, "etc/apt/sources.list.d"), join(root, "var/lib/apt/lists")]);
      for (const path of ["etc/apt/sources.list.d", "var/lib/apt/lists/partial"])
        await mkdir(join(root, path), { recursive: true });
      await writeFile(join(root, "etc/apt/sources.list"), "deb http://ftp.debian.org/debian bookworm main\n");
    },
  );
  return join(folder, "root");
}
