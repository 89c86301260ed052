import { type ArtifactFile, fileFromBytes } from "../../lock/artifact.ts";
import type { PackageSetSpec } from "../../lock/spec.ts";
import type { Tree, UnsignedFacts } from "../format.ts";
import { TEMPLATE } from "../template.ts";
import type { RpmHeaders } from "./header.ts";

/**
 * The `.repo` files, one a tree. gpgcheck stays on; packages without a signature have a repository
 * of their own, where the signed metadata vouch for them. Metadata expire at once, since a new
 * bundle is served under the same address.
 */
export function repoFiles(
  _set: PackageSetSpec,
  facts: UnsignedFacts,
  trees: Tree<RpmHeaders>[],
): ArtifactFile[] {
  const root = `@URL@/`;
  const vendorKeys = Object.keys(facts.keys).sort();
  const section = (tree: Tree<RpmHeaders>, unsigned: boolean): string => {
    const keys = ["keys/airgap.asc", ...(unsigned ? [] : vendorKeys)].map((path) => `${root}${path}`);
    return [
      `[${tree.id}${unsigned ? "-unsigned" : ""}]`,
      `name=${tree.id}${unsigned ? ", packages that their maker did not sign" : ""}`,
      `baseurl=${root}${tree.prefix}${unsigned ? "unsigned/" : ""}`,
      "enabled=1",
      `gpgcheck=${unsigned ? 0 : 1}`,
      "repo_gpgcheck=1",
      `gpgkey=${keys.join("\n       ")}`,
      "metadata_expire=1",
      "skip_if_unavailable=0",
      ...(facts.moduleHotfixes ? ["module_hotfixes=1"] : []),
      "",
    ].join("\n");
  };
  return trees.map((tree) => {
    const parts = [
      section(tree, false),
      ...(tree.packages.some(({ locked }) => locked.unsigned) ? [section(tree, true)] : []),
    ];
    return fileFromBytes(`${tree.prefix}${tree.id}.repo`, TEMPLATE, Buffer.from(parts.join("\n")));
  });
}
