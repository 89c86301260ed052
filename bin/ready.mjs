// Prepares a fresh clone and then runs a script with the checkout's own Node:
//   node bin/ready.mjs SCRIPT.ts ARGS…     node bin/ready.mjs --vitest ARGS…     node bin/ready.mjs
// Plain JavaScript for Node 20 and newer: it runs before anything is installed.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isFresh, sourcesOf } from "./freshness.mjs";
import { checkNode } from "./pinned-node.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, "node_modules", ".ready");
const node = join(root, "node_modules", "node", "bin", "node");

const fail = (message) => {
  process.stderr.write(`${message}\n`);
  process.exit(1);
};

/** The installed packages belong to this lock file. */
function wanted() {
  return createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
}

/** node-gyp would download headers; those of the running Node are good enough, since sqlite3 uses only Node-API. */
function headers() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, "include", "node", "node.h")) ? { npm_config_nodedir: prefix } : {};
}

function install() {
  process.stderr.write("Installing dependencies (npm ci); the first time this takes a minute or two …\n");
  const npm = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", process.stderr.fd, process.stderr.fd],
    env: { ...headers(), ...process.env },
  });
  if (npm.error) fail(`npm could not be started: ${npm.error.message}. Node 20 or newer with npm is needed.`);
  if (npm.status !== 0)
    fail(
      "npm ci failed; see its messages above. Behind a proxy, set HTTPS_PROXY, or name your registry with `npm config set registry URL`.",
    );
  if (!existsSync(node))
    spawnSync(process.execPath, ["installArchSpecificPackage.js"], {
      cwd: join(root, "node_modules", "node"),
      stdio: ["ignore", 2, 2],
      env: process.env,
    });
  try {
    checkNode(node, process.arch);
  } catch (error) {
    fail(
      `Cannot use the Node that npm installed: ${error.message}. Remove node_modules and try again; if the error stays, your registry has another Node than npm's.`,
    );
  }
  const found = spawnSync(node, ["--version"], { encoding: "utf8" });
  if (found.status !== 0)
    fail(
      `The Node that npm installed does not run here (${(found.error?.message ?? found.stderr).trim()}). It needs glibc 2.28 or newer.`,
    );
  writeFileSync(stamp, wanted());
}

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted()) install();

if (!isFresh(join(root, "dist", ".built"), ...sourcesOf(root))) {
  const built = spawnSync(node, [join(root, "bin", "build.mjs")], { cwd: root, stdio: ["ignore", 2, 2] });
  if (built.status !== 0) fail("Cannot compile the sources; see the messages above.");
}

const [first, ...rest] = process.argv.slice(2);
if (first !== undefined) {
  const script =
    first === "--vitest" ? join(root, "node_modules", "vitest", "vitest.mjs") : join(root, first);
  const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}` };
  const run = spawnSync(node, [script, ...rest], { cwd: root, stdio: "inherit", env });
  process.exit(run.status ?? 1);
}
