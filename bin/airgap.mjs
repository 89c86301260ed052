import { existsSync, statSync } from "node:fs";
import * as module from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isFresh, sourcesOf } from "./freshness.mjs";

// Runs on old Nodes too, so that a user of one learns what is wrong.
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `airgap needs Node 22.19 or newer; this is Node ${process.versions.node} (${process.execPath}).\n` +
      "Install a newer one, or use the self-contained archive of airgap, which has its own Node (npm run pack).\n" +
      "In a checkout, 'npm test' or 'npm run quickstart' installs a new Node.\n",
  );
  process.exit(1);
}
// A user may lack an entry in passwd, as in a bare root or a container: set a shell and a home.
if (process.env.SHELL === undefined) process.env.SHELL = "/bin/sh";
try {
  homedir();
} catch {
  process.env.HOME = "/";
}
// oclif's help is up to three columns too wide for a narrow terminal.
const { isTTY, columns } = process.stdout;
if (isTTY && columns < 60) process.env.OCLIF_COLUMNS ??= String(Math.max(30, columns - 3));
await start(fileURLToPath(new URL("..", import.meta.url)));

/** Runs the build if it is fresh or the only choice; else the sources, with a fresh list of commands. */
async function start(checkout) {
  const dist = join(checkout, "dist");
  if (!existsSync(join(checkout, "src")) || isFresh(join(dist, ".built"), ...sourcesOf(checkout))) {
    keepCompiled(dist);
    const { main } = await import("../dist/start.js");
    return main(dist);
  }
  const { main, writeManifest } = await import("./start.mjs");
  const commands = ["src/commands", "src/command.ts", "package.json"].map((name) => join(checkout, name));
  if (!isFresh(join(checkout, "oclif.manifest.json"), ...commands)) await writeManifest(checkout);
  return main(checkout);
}

/**
 * Keeps V8's compiled code beside the build: starting takes a third less. Only the owner of the build does,
 * so that nobody runs code that another user could write, and root leaves no files in a user's checkout. Where a
 * package manager owns the files, there are no others.
 */
function keepCompiled(dist) {
  if (existsSync(join(dist, ".managed"))) return;
  if (statSync(dist).uid !== process.getuid()) return;
  module.enableCompileCache?.({ directory: join(dist, ".compiled"), portable: true });
}
