import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

let folder: string | undefined;

/** `manifests/` of this installation, for a checkout and for a build. */
function manifests(): string {
  if (folder !== undefined) return folder;
  for (let dir = import.meta.dirname; dir !== "/"; dir = join(dir, "..")) {
    const found = join(dir, "manifests");
    if (existsSync(join(found, "host", "lib", "steps.sh"))) {
      folder = found;
      return found;
    }
  }
  throw new Error("this installation of airgap lacks its manifests/ folder");
}

const texts = new Map<string, string>();

/** The path of a file of `manifests/`. */
export const shippedPath = (name: string): string => join(manifests(), name);

/** The text of a file of `manifests/`. */
export function shipped(name: string): string {
  const text = texts.get(name) ?? readFileSync(shippedPath(name), "utf8");
  texts.set(name, text);
  return text;
}

/**
 * A file of `manifests/` with its holes filled: `@NAME@`.
 * @throws Error when a hole has no value, or a value has no hole
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

/** The folder of airgap itself: an archive's has `node/`, a checkout's has `build/`. */
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
  throw new Error("airgap cannot find its own folder");
}

export const archiveName = ({ version }: SelfPlaces, architecture: string): string =>
  `airgap-${version}-linux-${architecture}.tar.gz`;
