import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Config } from "@oclif/core/config";
import { handle } from "@oclif/core/handle";
import { run } from "@oclif/core/run";
import { settings } from "@oclif/core/settings";
import { isFresh, sourcesOf } from "./freshness.mjs";

settings.enableAutoTranspile = false;

const readPackage = (root) => JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** oclif's list of commands and flags spares loading all of them for each run. */
export async function writeManifest(root) {
  const { Plugin } = await import("@oclif/core/config");
  const plugin = new Plugin({ root, pjson: readPackage(root), isRoot: true, ignoreManifest: true, errorOnManifestCreate: true, respectNoCacheDefault: true });
  await plugin.load();
  try {
    writeFileSync(join(root, "oclif.manifest.json"), `${JSON.stringify(plugin.manifest)}\n`);
  } catch {
    // A checkout that can't be written to still works, only slower.
  }
}

/** The build where it is fresh or all there is; else the sources, with a list of commands that is fresh. */
async function rootOf(checkout) {
  const dist = join(checkout, "dist");
  if (!existsSync(join(checkout, "src")) || isFresh(join(dist, ".built"), ...sourcesOf(checkout))) return dist;
  const commands = ["src/commands", "src/command.ts", "package.json"].map((name) => join(checkout, name));
  if (!isFresh(join(checkout, "oclif.manifest.json"), ...commands)) await writeManifest(checkout);
  return checkout;
}

export async function main(checkout) {
  try {
    const root = await rootOf(fileURLToPath(checkout));
    const config = await Config.load({ root, pjson: readPackage(root), isRoot: true });
    await run(process.argv.slice(2), config);
  } catch (error) {
    await handle(error);
  }
}
