import { type ArtifactFile, fileFromBytes } from "../../lock/artifact.ts";
import type { PackageSetSpec } from "../../lock/spec.ts";
import type { Tree, UnsignedFacts } from "../format.ts";
import { TEMPLATE } from "../template.ts";

/** Where a `.list` file expects our key on a host. */
export const keyringPath = (id: string): string => `/etc/apt/keyrings/${id}.asc`;

/** An armoured key as the value of a deb822 field: every line indented, empty ones as a dot. */
const indented = (armored: string): string =>
  armored
    .trim()
    .split(/\r?\n/)
    .map((line) => (line.trim() === "" ? " ." : ` ${line}`))
    .join("\n");

/**
 * For each tree a `.sources` file that holds the key itself, for apt 2.3.10 and newer (Debian 12,
 * Ubuntu 22.04), and a `.list` file for older ones, which need the key beside it.
 */
export function aptFiles(
  _set: PackageSetSpec,
  _facts: UnsignedFacts,
  trees: Tree<string>[],
  publicKey: string,
): ArtifactFile[] {
  return trees.flatMap(({ id, prefix }) => {
    const uri = `@URL@/${prefix}`;
    const sources = `Types: deb\nURIs: ${uri}\nSuites: /\nSigned-By:\n${indented(publicKey)}\n`;
    const list = `deb [signed-by=${keyringPath(id)}] ${uri} /\n`;
    return [
      fileFromBytes(`${prefix}${id}.sources`, TEMPLATE, Buffer.from(sources)),
      fileFromBytes(`${prefix}${id}.list`, TEMPLATE, Buffer.from(list)),
    ];
  });
}
