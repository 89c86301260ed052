import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A package as a test wants it; relations as a control file has them. */
export interface TestDeb {
  name: string;
  version: string;
  arch?: string;
  preDepends?: string[];
  depends?: string[];
  recommends?: string[];
  conflicts?: string[];
  breaks?: string[];
  provides?: string[];
  multiArch?: string;
  essential?: boolean;
  priority?: string;
  filename?: string;
  size?: number;
  sha256?: string;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

export function packagesText(debs: TestDeb[]): string {
  return debs
    .map((deb) => {
      const arch = deb.arch ?? "all";
      const field = (name: string, list: string[] | undefined): string[] =>
        list && list.length > 0 ? [`${name}: ${list.join(", ")}`] : [];
      return [
        `Package: ${deb.name}`,
        `Version: ${deb.version}`,
        `Architecture: ${arch}`,
        ...(deb.essential ? ["Essential: yes"] : []),
        ...(deb.multiArch ? [`Multi-Arch: ${deb.multiArch}`] : []),
        ...(deb.priority ? [`Priority: ${deb.priority}`] : []),
        "Maintainer: test <test@example.org>",
        ...field("Pre-Depends", deb.preDepends),
        ...field("Depends", deb.depends),
        ...field("Recommends", deb.recommends),
        ...field("Conflicts", deb.conflicts),
        ...field("Breaks", deb.breaks),
        ...field("Provides", deb.provides),
        `Filename: ${deb.filename ?? `./${deb.name}_${deb.version}_${arch}.deb`}`,
        `Size: ${deb.size ?? 1000}`,
        `SHA256: ${deb.sha256 ?? sha256(`${deb.name} ${deb.version}`)}`,
        "Description: x",
        "",
      ].join("\n");
    })
    .join("\n");
}

/** A flat repository without a Release file: apt takes it with [trusted=yes]. */
export async function writeDebRepository(dir: string, debs: TestDeb[]): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, "Packages"), packagesText(debs));
}

/** What dpkg says of hosts that have these. */
export const statusText = (debs: TestDeb[]): string =>
  packagesText(debs)
    .replace(/^(?:Filename|Size|SHA256): .*\n/gm, "")
    .replace(/^Package: .*$/gm, "$&\nStatus: install ok installed");
