// Bundles the sources and the libraries that they use to dist/: a few files that start faster and use less memory.
// airgap.mjs never uses a stale dist/.
import { copyFileSync, cpSync, globSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "rolldown";
import { writeManifest } from "./start.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "dist");

/** oclif finds a command by its path, and bin/pack.mjs what writes archives and packages. */
const named = [
  ...globSync("src/commands/**/*.ts", { cwd: root }),
  "src/resolve/archive.ts",
  ...["distribute", "man", "sbom"].map((name) => `src/packing/${name}.ts`),
];

/**
 * What http.ts uses of undici. The public entry also loads its fetch, WebSockets, mocks and caches: 85 files more, which
 * cost every start of a command with requests 30 ms and 7 MB.
 */
const partsOfUndici = {
  name: "parts of undici",
  resolveId: (id) => (id === "undici" ? "\0undici" : undefined),
  load: (id) =>
    id !== "\0undici"
      ? undefined
      : `require("undici/lib/dispatcher/dispatcher.js").prototype.request = require("undici/lib/api/api-request.js");
module.exports = {
  get Agent() { return require("undici/lib/dispatcher/agent.js"); },
  get EnvHttpProxyAgent() { return require("undici/lib/dispatcher/env-http-proxy-agent.js"); },
};`,
};

/**
 * Takes Node's own modules without their ES form: to make that, Node reads every export, and node:http then loads a web
 * client that nobody uses, which cost `serve` 40 ms and 16 MB.
 */
const plainBuiltins = {
  name: "plain builtins",
  renderChunk: (code) =>
    code.replace(
      /^import (?:\* as ([\w$]+)|([\w$]+)?(?:, )?(\{[^}]*\})?) from "(node:[\w/]+)";$/gm,
      (_, namespace, whole, named, id) =>
        [namespace ?? whole, named?.replaceAll(" as ", ": ")]
          .filter((names) => names !== undefined)
          .map((names) => `const ${names} = globalThis.process.getBuiltinModule("${id}");`)
          .join(" "),
    ),
};

rmSync(dist, { recursive: true, force: true });
await build({
  cwd: root,
  input: {
    start: "bin/start.mjs",
    // hash-pool.ts looks for it beside itself.
    "chunks/hash-worker": "src/bundle/hash-worker.ts",
    ...Object.fromEntries(named.map((path) => [path.replace(/\.ts$/, ""), path])),
  },
  platform: "node",
  plugins: [partsOfUndici, plainBuiltins],
  // Native code, and files that a library reads beside its own.
  external: ["sqlite3", "dockerode"],
  output: {
    dir: dist,
    entryFileNames: "[name].js",
    chunkFileNames: "chunks/[name]-[hash].js",
    comments: { legal: true, annotation: false, jsdoc: false },
  },
});
copyFileSync(join(root, "package.json"), join(dist, "package.json"));
cpSync(join(root, "manifests"), join(dist, "manifests"), { recursive: true });
await writeManifest(dist);
writeFileSync(join(dist, ".built"), "");
