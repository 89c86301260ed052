import { createReadStream, createWriteStream, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { writeTarGz } from "./tar.ts";
import { type Entry, fileEntry, hashEntry, withParents } from "./tree.ts";

export interface DebFields {
  package: string;
  version: string;
  /** As Debian calls it: `amd64`. */
  architecture: string;
  depends: string[];
  recommends: string[];
  suggests: string[];
  summary: string;
  description: string;
}

/** https://manpages.debian.org/deb-control.5 */
function control(fields: DebFields, entries: readonly Entry[]): string {
  const kib = Math.ceil(entries.reduce((total, { size }) => total + size, 0) / 1024);
  const list = (name: string, values: string[]): string[] =>
    values.length === 0 ? [] : [`${name}: ${values.join(", ")}`];
  return [
    `Package: ${fields.package}`,
    `Version: ${fields.version}`,
    `Architecture: ${fields.architecture}`,
    "Maintainer: airgap <airgap@localhost>",
    `Installed-Size: ${kib}`,
    ...list("Depends", fields.depends),
    ...list("Recommends", fields.recommends),
    ...list("Suggests", fields.suggests),
    "Section: admin",
    "Priority: optional",
    `Description: ${fields.summary}`,
    ...fields.description.split("\n").map((line) => (line === "" ? " ." : ` ${line}`)),
    "",
  ].join("\n");
}

/** The header of a member. https://manpages.debian.org/deb.5 */
function member(name: string, size: number): Buffer {
  const text = `${name.padEnd(16)}${"0".padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}${String(size).padEnd(10)}\`\n`;
  return Buffer.from(text, "latin1");
}

/** Writes a Debian package without scripts: files alone. */
export async function writeDeb(fields: DebFields, content: readonly Entry[], output: string): Promise<void> {
  const entries = withParents(content);
  const [controlTar, dataTar] = [`${output}.control`, `${output}.data`];
  try {
    const sums: string[] = [];
    for (const entry of entries)
      if (entry.kind === "file") sums.push(`${await hashEntry(entry, "md5")}  ${entry.path}\n`);
    const own = [fileEntry("control", control(fields, entries)), fileEntry("md5sums", sums.join(""))];
    await writeTarGz(own, "./", controlTar);
    await writeTarGz(entries, "./", dataTar);
    await pipeline(Readable.from(parts([controlTar, dataTar])), createWriteStream(output));
  } finally {
    for (const file of [controlTar, dataTar]) await rm(file, { force: true });
  }
}

async function* parts([controlTar = "", dataTar = ""]: string[]): AsyncGenerator<Buffer> {
  yield Buffer.from("!<arch>\n");
  yield member("debian-binary", 4);
  yield Buffer.from("2.0\n");
  for (const [name, file] of [
    ["control.tar.gz", controlTar],
    ["data.tar.gz", dataTar],
  ] as const) {
    const { size } = statSync(file);
    yield member(name, size);
    for await (const chunk of createReadStream(file)) yield chunk as Buffer;
    if (size % 2 === 1) yield Buffer.from("\n");
  }
}
