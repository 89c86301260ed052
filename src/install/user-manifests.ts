import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Cluster } from "../cluster/cluster.ts";
import { locationsIn } from "../discovery/manifests/applied.ts";
import { AirgapError, messageOf } from "../errors.ts";
import type { Lock } from "../lock/lock.ts";
import type { ManifestFile } from "./bundle.ts";
import { carries } from "./node-images.ts";

/** Documents that add-ons name by path, and their images that the bundle lacks. */
export interface UserManifests {
  /** By path in the cluster file; files are sorted by name. */
  files: Record<string, ManifestFile[]>;
  /** Images that the bundle lacks, each with the path that names it. */
  missing: { reference: string; path: string }[];
}

function textsAt(path: string): { title: string; text: string }[] {
  try {
    const names = statSync(path).isDirectory()
      ? readdirSync(path).filter((name) => /\.(?:ya?ml|json)$/i.test(name))
      : undefined;
    const files = names === undefined ? [path] : names.sort().map((name) => join(path, name));
    return files.map((file) => ({ title: file, text: readFileSync(file, "utf8") }));
  } catch (cause) {
    throw new AirgapError("spec", `addons: cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** Reads the user's own add-ons: a file, or every YAML and JSON file of a folder. @throws AirgapError `spec` */
export function readUserManifests({ addons }: Cluster, lock: Lock): UserManifests {
  const missing: UserManifests["missing"] = [];
  const files = addons.flatMap((addon): [string, ManifestFile[]][] => {
    if (!("manifest" in addon)) return [];
    const path = addon.manifest;
    const texts = textsAt(path);
    const { locations } = locationsIn(texts, (reference) => {
      const carried = carries(lock, reference);
      if (!carried) missing.push({ reference, path });
      return carried;
    });
    return [[path, texts.map(({ title, text }) => ({ path: title, text, sites: locations[title] ?? [] }))]];
  });
  return { files: Object.fromEntries(files), missing };
}
