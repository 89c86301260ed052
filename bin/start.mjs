import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Config } from "@oclif/core/config";
import { handle } from "@oclif/core/handle";
import { run } from "@oclif/core/run";
import { settings } from "@oclif/core/settings";

/** When any command was last changed, in milliseconds. */
function newest(folder) {
  return Math.max(statSync(folder).mtimeMs, ...readdirSync(folder, { recursive: true }).map((name) => statSync(join(folder, name)).mtimeMs));
}

/**
 * oclif's list of commands and flags spares loading all of them for each run. In a checkout it is
 * a cache that is made anew when a command changed; an archive brings it.
 */
async function refreshManifest(root, pjson) {
  const file = join(root, "oclif.manifest.json");
  const commands = join(root, pjson.oclif.commands.target);
  const made = existsSync(file) ? statSync(file).mtimeMs : 0;
  if (made > newest(commands) && made > statSync(join(root, "package.json")).mtimeMs && made > statSync(join(root, "src/command.ts")).mtimeMs) return;
  const { Plugin } = await import("@oclif/core/config");
  const plugin = new Plugin({ root, pjson, isRoot: true, ignoreManifest: true, errorOnManifestCreate: true, respectNoCacheDefault: true });
  await plugin.load();
  try {
    writeFileSync(file, `${JSON.stringify(plugin.manifest)}\n`);
  } catch {
    // A checkout that can't be written to still works, only slower.
  }
}

export async function main(rootUrl) {
  settings.enableAutoTranspile = false;
  const root = fileURLToPath(rootUrl);
  const pjson = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  try {
    if (existsSync(join(root, "src"))) await refreshManifest(root, pjson);
    const config = await Config.load({ root, pjson, isRoot: true });
    await run(process.argv.slice(2), config);
  } catch (error) {
    await handle(error);
  }
}
