import { createHash } from "node:crypto";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { must, output } from "../shell.ts";
import type { Package } from "./content.ts";
import { clearSigned, type PackagerKey, publicKeyOf } from "./key.ts";

function control({ name, version, arch, summary, requires, provides = [] }: Package): string {
  const relations = [
    ["Depends", requires],
    ["Provides", provides],
  ] as const;
  return [
    `Package: ${name}`,
    `Version: ${version}`,
    `Architecture: ${arch}`,
    "Maintainer: Rig packager <packager@rig.invalid>",
    ...relations.filter(([, list]) => list.length > 0).map(([key, list]) => `${key}: ${list.join(", ")}`),
    `Description: ${summary}`,
    "",
  ].join("\n");
}

/** Builds one .deb; its file name is the archive's usual one. */
async function buildDeb(content: Package, folder: string): Promise<string> {
  const { tree, config = [], folders = [], after } = content;
  const meta = join(tree, "DEBIAN");
  await mkdir(meta, { recursive: true });
  for (const path of folders) await mkdir(join(tree, path), { recursive: true });
  await writeFile(join(meta, "control"), control(content));
  if (config.length > 0) await writeFile(join(meta, "conffiles"), config.map((path) => `${path}\n`).join(""));
  if (after !== undefined)
    await writeFile(join(meta, "postinst"), `#!/bin/sh\nset -e\n${after}`, { mode: 0o755 });
  const file = `${content.name}_${content.version.replace(":", "%3a")}_${content.arch}.deb`;
  await must("dpkg-deb", ["--root-owner-group", "-Zgzip", "-z1", "--build", tree, join(folder, file)], {
    timeoutMs: 300_000,
  });
  await rm(meta, { recursive: true });
  return file;
}

const digest = (algorithm: string, bytes: Buffer): string =>
  createHash(algorithm).update(bytes).digest("hex");

async function stanza(folder: string, file: string): Promise<string> {
  const path = join(folder, file);
  const fields = await output("dpkg-deb", ["--field", path]);
  const bytes = await readFile(path);
  return `${fields}\nFilename: ./${file}\nSize: ${(await stat(path)).size}\nSHA256: ${digest("sha256", bytes)}\n`;
}

/** Fills `folder` with .debs and the signed indexes of a flat repository (suite `/`), its key beside them as `Release.key`. */
export async function debRepository(packages: Package[], key: PackagerKey, folder: string): Promise<void> {
  const files: string[] = [];
  for (const content of packages) files.push(await buildDeb(content, folder));
  const list = Buffer.from((await Promise.all(files.map((file) => stanza(folder, file)))).join("\n"));
  const indexes = new Map([
    ["Packages", list],
    ["Packages.gz", gzipSync(list)],
  ]);
  for (const [name, bytes] of indexes) await writeFile(join(folder, name), bytes);
  const sums = [...indexes].map(([name, bytes]) => ` ${digest("sha256", bytes)} ${bytes.length} ${name}`);
  const release = [
    "Origin: rig",
    "Label: rig",
    `Date: ${new Date().toUTCString().replace("GMT", "UTC")}`,
    "Architectures: amd64",
    "SHA256:",
    ...sums,
    "",
  ].join("\n");
  await writeFile(join(folder, "Release"), release);
  await writeFile(join(folder, "InRelease"), await clearSigned(key, release));
  await writeFile(join(folder, "Release.key"), await publicKeyOf(key));
}
