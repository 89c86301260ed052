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
  // Native code, and files that a library reads beside its own.
  external: ["sqlite3", "dockerode"],
  output: { dir: dist, entryFileNames: "[name].js", chunkFileNames: "chunks/[name]-[hash].js" },
});
copyFileSync(join(root, "package.json"), join(dist, "package.json"));
cpSync(join(root, "manifests"), join(dist, "manifests"), { recursive: true });
await writeManifest(dist);
writeFileSync(join(dist, ".built"), "");
