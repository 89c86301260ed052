import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

let folder: string | undefined;

/** `manifests/` of this installation, seen from sources and from the build alike. */
function manifests(): string {
  if (folder !== undefined) return folder;
  for (let dir = import.meta.dirname; dir !== "/"; dir = join(dir, "..")) {
    const found = join(dir, "manifests");
    if (existsSync(join(found, "host", "lib", "steps.sh"))) {
      folder = found;
      return found;
    }
  }
  throw new Error("this installation of airgap has no manifests/ folder");
}

const texts = new Map<string, string>();

/** Where a file of `manifests/` is. */
export const shippedPath = (name: string): string => join(manifests(), name);

/** The text of a file of `manifests/`. */
export function shipped(name: string): string {
  const text = texts.get(name) ?? readFileSync(shippedPath(name), "utf8");
  texts.set(name, text);
  return text;
}

/**
 * A file of `manifests/` with its holes filled: `@NAME@`.
 * @throws Error when a hole is left, or a value has none
 */
export function fillShipped(name: string, values: Record<string, string>): string {
  let text = shipped(name);
  for (const [hole, value] of Object.entries(values)) {
    if (!text.includes(`@${hole}@`)) throw new Error(`manifests/${name} has no @${hole}@`);
    text = text.replaceAll(`@${hole}@`, () => value);
  }
  const left = /@[A-Z_]+@/.exec(text);
  if (left) throw new Error(`${left[0]} of manifests/${name} was not filled`);
  return text;
}

/** Where the tool itself is: `node/` stands in an archive's folder, `build/` in a checkout. */
export interface SelfPlaces {
  root: string;
  version: string;
}

/** The folder that holds `bin/airgap`, seen from a compiled or an uncompiled module. */
export function findSelf(): SelfPlaces {
  for (let dir = import.meta.dirname; dir !== "/"; dir = join(dir, "..")) {
    const file = join(dir, "package.json");
    if (!existsSync(join(dir, "bin", "airgap")) || !existsSync(file)) continue;
    const { version } = JSON.parse(readFileSync(file, "utf8")) as { version: string };
    return { root: dir, version };
  }
  throw new Error("the tool's own folder is not to be found");
}

export const archiveName = ({ version }: SelfPlaces, architecture: string): string =>
  `airgap-${version}-linux-${architecture}.tar.gz`;
