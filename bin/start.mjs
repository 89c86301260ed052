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

/** oclif's list of commands and flags spares loading all of them for each run. */
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
    // A checkout that can't be written to still works, only slower.
  }
}

/** The build where it is fresh or all there is; else the sources, with a list of commands that is fresh. */
async function rootOf(checkout) {
  const dist = join(checkout, "dist");
  if (!existsSync(join(checkout, "src")) || isFresh(join(dist, ".built"), ...sourcesOf(checkout)))
    return dist;
  const commands = ["src/commands", "src/command.ts", "package.json"].map((name) => join(checkout, name));
  if (!isFresh(join(checkout, "oclif.manifest.json"), ...commands)) await writeManifest(checkout);
  return checkout;
}

/** oclif takes what follows an unknown command for a part of its name, and knows no other that may be meant. */
async function tellUnknown(words, config) {
  const known = config.commandIDs.map((id) => id.replaceAll(":", " "));
  const given = words.slice(0, config.topics.some(({ name }) => name === words[0]) ? 2 : 1).join(" ");
  const nearestIn = ["src/schema/nearest.ts", "src/schema/nearest.js"]
    .map((name) => join(config.root, name))
    .find((path) => existsSync(path));
  const { nearest } = await import(pathToFileURL(nearestIn).href);
  const meant = nearest(given, known);
  const rest = words.slice(given.split(" ").length);
  const error = {
    code: "usage",
    message: `There is no command '${given}'`,
    suggestions: [meant === undefined ? "airgap --help" : ["airgap", meant, ...rest].join(" ")],
  };
  if (words.includes("--json")) process.stdout.write(`${JSON.stringify({ error }, undefined, 2)}\n`);
  else process.stderr.write(`Error: ${error.message}\nCode: usage\nTry this: ${error.suggestions[0]}\n`);
  process.exitCode = 2;
}

export async function main(checkout) {
  const words = process.argv.slice(2);
  let config;
  try {
    const root = await rootOf(fileURLToPath(checkout));
    config = await Config.load({ root, pjson: readPackage(root), isRoot: true });
    await run(words, config);
  } catch (error) {
    if (/^command .* not found$/.test(error?.message ?? "") && config) await tellUnknown(words, config);
    else await handle(error);
  }
}
