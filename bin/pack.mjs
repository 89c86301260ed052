// Makes airgap for machines without Node, in build/: the self-contained archive, a .deb and an .rpm with the same
// content, for this machine's architecture a container image, an SBOM, and SHA256SUMS of all of them:
//   npm run pack                          for this machine's architecture and, if its Node is available, the other
//   npm run pack -- x64                   for one
//   npm run pack -- x64 --archive-only    what `self: true` in a spec carries, and no more
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkNode, pinned, WrongNode } from "./pinned-node.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { archiveFolder } = await import("../dist/src/resolve/archive.js");
const { distribute } = await import("../dist/src/packing/distribute.js");
const { manPages } = await import("../dist/src/packing/man.js");
const { toolSbom } = await import("../dist/src/packing/sbom.js");
const readJson = (...path) => JSON.parse(readFileSync(join(root, ...path), "utf8"));
const { version, description, devDependencies } = readJson("package.json");
const work = mkdtempSync(join(tmpdir(), "airgap-pack-"));
const npm = (args, cwd) =>
  execFileSync("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 600_000,
  });

/** The package with an architecture's Node, after checking it. @throws WrongNode */
function nodeFor(architecture) {
  const source = findNode(architecture);
  checkNode(join(source, "bin", "node"), architecture);
  return source;
}

/** From the installed packages, else from npm's registry. */
function findNode(architecture) {
  const name = `node-linux-${architecture}`;
  const beside = [
    join(root, "node_modules", "node", "node_modules", name),
    join(root, "node_modules", name),
  ].find((path) => existsSync(join(path, "bin", "node")));
  if (beside) return beside;
  const into = join(work, name);
  mkdirSync(into);
  npm(["pack", `${name}@${devDependencies.node}`, "--prefer-offline", "--pack-destination", into], root);
  const [archive] = readdirSync(into);
  execFileSync("tar", ["-xzf", join(into, archive), "-C", into]);
  return join(into, "package");
}

/** The newest glibc version that a binary needs. */
function glibcOf(binary) {
  const versions = new Set(
    readFileSync(binary)
      .toString("latin1")
      .match(/GLIBC_2\.\d+/g),
  );
  return Math.max(...[...versions].map((name) => Number(name.slice("GLIBC_2.".length))));
}

/** Node needs libatomic, which bare systems lack: the archive gets the one that this Node uses, if it is found. */
function libraryFor(architecture) {
  if (architecture !== process.arch) return undefined;
  return process.report.getReport().sharedObjects.find((path) => /\/libatomic\.so\.1(\.|$)/.test(path));
}

/** Copies the packages that airgap needs to run; the lock file marks those that only development needs. */
function copyDependencies(dir) {
  const { packages } = readJson("package-lock.json");
  for (const [path, { dev, devOptional }] of Object.entries(packages)) {
    const from = join(root, path);
    if (path === "" || dev || devOptional || !existsSync(from)) continue;
    const unwanted = [join(from, "node_modules"), join(from, "build"), join(from, "deps")];
    cpSync(from, join(dir, path), {
      recursive: true,
      filter: (source) => !(path.endsWith("/sqlite3") ? unwanted : unwanted.slice(0, 1)).includes(source),
    });
  }
}

/** Man pages and completion, from the commands themselves. */
function writeHelp(dir) {
  const commands = Object.values(readJson("dist", "oclif.manifest.json").commands);
  mkdirSync(join(dir, "share", "man", "man1"), { recursive: true });
  for (const [name, text] of manPages(commands, { description, version }))
    writeFileSync(join(dir, "share", "man", "man1", name), text);
  const completion = (shell) =>
    execFileSync(process.execPath, [join(root, "bin", "airgap.mjs"), "completion", shell], {
      encoding: "utf8",
    });
  const folder = join(dir, "share", "completion");
  mkdirSync(folder);
  writeFileSync(join(folder, "airgap.bash"), completion("bash"));
  writeFileSync(join(folder, "airgap.fish"), completion("fish"));
  // zsh loads the file as the function _airgap, which the script defines anew; the last line is the first completion.
  writeFileSync(
    join(folder, "_airgap"),
    `#compdef airgap\nautoload -U +X bashcompinit && bashcompinit\n${completion("bash")}\n_bash_complete -o filenames -F _airgap\n`,
  );
}

function stage(architecture) {
  const dir = join(work, `stage-${architecture}`);
  mkdirSync(dir);
  copyFileSync(join(root, "package.json"), join(dir, "package.json"));
  copyDependencies(dir);
  for (const name of ["dist", "bin", "bundles", "docs", "manifests", "README.md", "CHANGELOG.md", "LICENSE"])
    if (existsSync(join(root, name))) cpSync(join(root, name), join(dir, name), { recursive: true });
  rmSync(join(dir, "dist", ".compiled"), { recursive: true, force: true });
  for (const name of [
    "pack.mjs",
    "build.mjs",
    "start.mjs",
    "ready.mjs",
    "pinned-node.mjs",
    "node-digests.json",
  ])
    rmSync(join(dir, "bin", name));
  renameSync(join(dir, "bin", "install.sh"), join(dir, "install.sh"));
  writeHelp(dir);
  const sbom = toolSbom({
    version,
    node: { version: pinned.version, sha256: pinned.sha256[architecture] },
    packages: readJson("package-lock.json").packages,
  });
  writeFileSync(join(dir, "sbom.cdx.json"), sbom);
  const native = join(root, "node_modules", "sqlite3", "build", "Release", "node_sqlite3.node");
  if (architecture === process.arch && existsSync(native)) {
    mkdirSync(join(dir, "node_modules", "sqlite3", "build", "Release"), { recursive: true });
    copyFileSync(native, join(dir, "node_modules", "sqlite3", "build", "Release", "node_sqlite3.node"));
  }
  const source = nodeFor(architecture);
  mkdirSync(join(dir, "node", "bin"), { recursive: true });
  copyFileSync(join(source, "bin", "node"), join(dir, "node", "bin", "node"));
  chmodSync(join(dir, "node", "bin", "node"), 0o755);
  if (existsSync(join(source, "LICENSE")))
    copyFileSync(join(source, "LICENSE"), join(dir, "node", "LICENSE"));
  const library = libraryFor(architecture);
  if (library !== undefined) {
    mkdirSync(join(dir, "node", "lib"));
    copyFileSync(library, join(dir, "node", "lib", "libatomic.so.1"));
  }
  const glibc = glibcOf(join(source, "bin", "node"));
  writeFileSync(join(dir, "node", "glibc"), `${glibc}\n`);
  return { dir, glibc };
}

/** Of everything of this version that is there. */
function writeSums() {
  const folder = join(root, "build");
  const names = readdirSync(folder).filter((name) => name.includes(version) && !name.endsWith(".part"));
  const line = (name) =>
    `${createHash("sha256")
      .update(readFileSync(join(folder, name)))
      .digest("hex")}  ${name}\n`;
  writeFileSync(join(folder, "SHA256SUMS"), names.toSorted().map(line).join(""));
}

const ARCHITECTURES = ["x64", "arm64"];
const words = process.argv.slice(2);
const archiveOnly = words.includes("--archive-only");
const named = words.filter((word) => word !== "--archive-only");
const wanted = named.length > 0 ? named : ARCHITECTURES;
if (wanted.some((name) => !ARCHITECTURES.includes(name)))
  throw new Error(`npm run pack knows ${ARCHITECTURES.join(" and ")}, not ${wanted.join(" ")}`);
mkdirSync(join(root, "build"), { recursive: true });
try {
  for (const architecture of wanted) {
    const output = join(root, "build", `airgap-${version}-linux-${architecture}.tar.gz`);
    let staged;
    try {
      staged = stage(architecture);
    } catch (error) {
      if (architecture === process.arch || error instanceof WrongNode) throw error;
      process.stderr.write(`No archive for ${architecture}: ${error.message.split("\n")[0]}\n`);
      continue;
    }
    // An archive that a stop cut short must not have the name of a whole one.
    const draft = `${output}.${process.pid}.part`;
    await archiveFolder(staged.dir, `airgap-${version}`, draft);
    renameSync(draft, output);
    process.stdout.write(
      `${output}  ${(statSync(output).size / 2 ** 20).toFixed(1)} MiB, needs glibc 2.${staged.glibc} or newer\n`,
    );
    if (archiveOnly) continue;
    const sbom = join(root, "build", `airgap-${version}-linux-${architecture}.cdx.json`);
    copyFileSync(join(staged.dir, "sbom.cdx.json"), sbom);
    const made = await distribute({
      dir: staged.dir,
      into: join(root, "build"),
      version,
      architecture,
      description,
    });
    for (const file of [sbom, ...made])
      process.stdout.write(`${file}  ${(statSync(file).size / 2 ** 20).toFixed(1)} MiB\n`);
  }
  if (!archiveOnly) writeSums();
} finally {
  rmSync(work, { recursive: true, force: true });
}
