import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Config } from "@oclif/core/config";
import { handle } from "@oclif/core/handle";
import { run } from "@oclif/core/run";
import { settings } from "@oclif/core/settings";
import { isFresh, sourcesOf } from "./freshness.mjs";

settings.enableAutoTranspile = false;

const readPackage = (root) => JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** With oclif's list of commands and flags, a run does not load all of them. */
export async function writeManifest(root) {
  const { Plugin } = await import("@oclif/core/config");
  const plugin = new Plugin({
    root,
    pjson: readPackage(root),
    isRoot: true,
    ignoreManifest: true,
    errorOnManifestCreate: true,
    respectNoCacheDefault: true,
  });
  await plugin.load();
  try {
    writeFileSync(join(root, "oclif.manifest.json"), `${JSON.stringify(plugin.manifest)}\n`);
  } catch {
    // A read-only checkout still works, only slower.
  }
}

/** Uses the build if it is fresh or the only choice; else the sources, with a fresh list of commands. */
async function rootOf(checkout) {
  const dist = join(checkout, "dist");
  if (!existsSync(join(checkout, "src")) || isFresh(join(dist, ".built"), ...sourcesOf(checkout)))
    return dist;
  const commands = ["src/commands", "src/command.ts", "package.json"].map((name) => join(checkout, name));
  if (!isFresh(join(checkout, "oclif.manifest.json"), ...commands)) await writeManifest(checkout);
  return checkout;
}

/** A module of ours, from the build or from the sources. */
async function load(root, name) {
  const file = ["ts", "js"].map((ending) => join(root, `${name}.${ending}`)).find((path) => existsSync(path));
  return import(pathToFileURL(file).href);
}

/** `airgap help list` is `airgap list --help`, and `airgap version` is `airgap --version`. */
function translate([first, ...rest]) {
  if (first === "help") return rest.length > 0 ? [...rest, "--help"] : ["--help"];
  if (first === "version" && rest.length === 0) return ["--version"];
  return first === undefined ? [] : [first, ...rest];
}

/** Whether the words begin with a command, a topic or a flag. oclif would take the words after them for a part of the name. */
function isKnown([first, second], config) {
  if (first === undefined || first.startsWith("-")) return true;
  const ids = config.commandIDs.map((id) => id.split(":"));
  if (ids.some((id) => id.length === 1 && id[0] === first)) return true;
  const below = ids.filter((id) => id[0] === first).map((id) => id[1]);
  return below.length > 0 && (second === undefined || second.startsWith("-") || below.includes(second));
}

export async function main(checkout) {
  const words = translate(process.argv.slice(2));
  try {
    const root = await rootOf(fileURLToPath(checkout));
    const config = await Config.load({ root, pjson: readPackage(root), isRoot: true });
    if (isKnown(words, config)) return await run(words, config);
    const { tellUnknown } = await load(root, "src/report/unknown-command");
    const commands = config.commandIDs.map((id) => id.replaceAll(":", " "));
    tellUnknown(words, [...commands, "help", "version"]);
  } catch (error) {
    await handle(error);
  }
}
