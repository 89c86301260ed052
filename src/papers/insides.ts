import type { FoundPackage, Inside, OsPackage, OsRelease } from "../inside/package.ts";
import { insidePurl } from "./purl.ts";

/** What is installed in an image, over all its platforms: each once. */
export interface Installed {
  systems: OsRelease[];
  packages: (FoundPackage & Partial<OsPackage>)[];
  /** What could not be read, and why. */
  unread: string[];
}

export function joined(insides: readonly Inside[]): Installed {
  const systems = new Map<string, OsRelease>();
  const packages = new Map<string, FoundPackage & Partial<OsPackage>>();
  const unread = new Set<string>();
  for (const { os, packages: found, others = [], unread: left } of insides) {
    if (os) systems.set(`${os.id} ${os.version}`, os);
    for (const each of found) {
      const purl = insidePurl(each, os);
      if (!packages.has(purl)) packages.set(purl, { ...each, purl });
    }
    for (const each of others) if (!packages.has(each.purl)) packages.set(each.purl, each);
    for (const why of left) unread.add(why);
  }
  return { systems: [...systems.values()], packages: [...packages.values()], unread: [...unread] };
}
