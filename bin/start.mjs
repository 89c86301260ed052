import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Config } from "@oclif/core/config";
import { handle } from "@oclif/core/handle";
import { run } from "@oclif/core/run";
import { settings } from "@oclif/core/settings";

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

/** `airgap help list` is `airgap list --help`, and `airgap version` is `airgap --version`. */
function translate([first, ...rest]) {
  if (first === "help") return rest.length > 0 ? [...rest, "--help"] : ["--help"];
  if ((first === "version" || first === "-V") && rest.length === 0) return ["--version"];
  return first === undefined ? [] : [first, ...rest];
}

/** What oclif understands without a command. */
const ALONE = ["--help", "-h", "--version", "-v"];

/** Whether the words begin with a command, a topic or a flag of these. oclif would take the words after them for a part of the name. */
function isKnown([first, second], config) {
  if (first === undefined || ALONE.includes(first)) return true;
  if (first.startsWith("-")) return false;
  const ids = config.commandIDs.map((id) => id.split(":"));
  if (ids.some((id) => id.length === 1 && id[0] === first)) return true;
  const below = ids.filter((id) => id[0] === first).map((id) => id[1]);
  return below.length > 0 && (second === undefined || second.startsWith("-") || below.includes(second));
}

/** @param root the folder whose package.json and list of commands count: a checkout's, or that of a build */
export async function main(root) {
  const { guardOutput } = await import("../src/report/output.ts");
  guardOutput();
  const words = translate(process.argv.slice(2));
  try {
    const config = await Config.load({ root, pjson: readPackage(root), isRoot: true });
    if (isKnown(words, config)) return await run(words, config);
    const { tellUnknown } = await import("../src/report/unknown-command.ts");
    const commands = config.commandIDs.map((id) => id.replaceAll(":", " "));
    tellUnknown(words, [...commands, "help", "version"]);
  } catch (error) {
    await handle(error);
  }
}
