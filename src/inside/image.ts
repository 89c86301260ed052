import type { FileFacts, LayerFacts } from "./layer.ts";
import type { OsPackage, OsRelease } from "./package.ts";
import { hides, readerOf } from "./watched.ts";

/** What layers give together. */
export interface Installed {
  os?: OsRelease;
  packages: OsPackage[];
  unread: string[];
}

/** Puts layers together, the lowest first: what one hides is gone, what one has replaces what was there. */
export function stack(layers: readonly LayerFacts[]): Installed {
  const files = new Map<string, FileFacts>();
  const unread: string[] = [];
  for (const layer of layers) {
    if (layer.unread !== undefined) unread.push(layer.unread);
    for (const path of files.keys())
      if (layer.hidden.some((hidden) => hides(hidden, path))) files.delete(path);
    for (const [path, facts] of layer.files) files.set(path, facts);
  }
  const packages = new Map<string, OsPackage>();
  for (const facts of files.values()) {
    if (facts.unread !== undefined) unread.push(facts.unread);
    for (const each of facts.packages)
      packages.set(`${each.format} ${each.name} ${each.version} ${each.arch}`, each);
  }
  const os = [...files].flatMap(([path, facts]) => (facts.os ? [{ path, os: facts.os }] : []));
  // /etc/os-release is what an administrator may have changed; it comes first.
  const [first] = os.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  return {
    ...(first && readerOf(first.path) ? { os: first.os } : {}),
    packages: [...packages.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each),
    unread,
  };
}
