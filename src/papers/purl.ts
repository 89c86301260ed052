import type { OsPackage, OsRelease } from "../inside/package.ts";
import type { Item } from "../lock/lock.ts";
import type { LockedPackage, PackageSetFacts } from "../lock/package-facts.ts";
import { algorithmOf, hexOf } from "../oci/digest.ts";
import { nameOf, parseReference } from "../oci/reference.ts";

/** Package URLs. https://github.com/package-url/purl-spec */

/** `?a=b&c=d`, sorted by key as the specification asks; empty values are left out. */
function qualifiers(values: Record<string, string | undefined>): string {
  const given = Object.entries(values)
    .filter((each): each is [string, string] => each[1] !== undefined && each[1] !== "")
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return given.length === 0
    ? ""
    : `?${given.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&")}`;
}

export function imagePurl({ name, root }: Pick<Item, "name" | "root">): { purl: string; version: string } {
  const reference = parseReference(name);
  const last = reference.repository.split("/").at(-1) ?? reference.repository;
  const purl = `pkg:oci/${last}@${encodeURIComponent(root.digest)}${qualifiers({ repository_url: nameOf(reference), tag: reference.tag })}`;
  return { purl, version: reference.tag ?? root.digest };
}

/** Of a chart: by its name and version in Helm's world; the repository is the site's own business. */
export const chartPurl = (name: string, version: string): string =>
  `pkg:helm/${encodeURIComponent(name)}@${encodeURIComponent(version)}`;

export const genericPurl = (name: string, { digest }: Pick<Item["root"], "digest">): string =>
  `pkg:generic/${encodeURIComponent(name)}${qualifiers({ checksum: `${algorithmOf(digest)}:${hexOf(digest)}` })}`;

/** What vulnerabilities are listed under, where that is not the package itself: `glibc`, `glibc@2.36-9`, `bash-5.1-2.src.rpm`. */
function upstreamOf(name: string, source: string | undefined): string | undefined {
  if (source === undefined || source === name) return undefined;
  const [, word, version] = /^(\S+)(?: \((\S+)\))?$/.exec(source) ?? [];
  return word && (version ? `${word}@${version}` : word);
}

interface Named {
  format: OsPackage["format"];
  /** The system's ID, as os-release has it. */
  system: string;
  /** ID and version. */
  distro: string;
}

function systemPurl(
  { format, system, distro }: Named,
  { name, version, arch, source }: Pick<OsPackage, "name" | "version" | "arch" | "source">,
): string {
  const upstream = upstreamOf(name, source);
  const epoch = format === "rpm" ? /^(\d+):/.exec(version)?.[1] : undefined;
  // RPM's epoch is a qualifier, Debian's stays in the version.
  const plain = format === "rpm" ? version.replace(/^\d+:/, "") : version;
  return `pkg:${format}/${encodeURIComponent(system)}/${encodeURIComponent(name)}@${encodeURIComponent(plain)}${qualifiers({ arch, distro, upstream, epoch: epoch === "0" ? undefined : epoch })}`;
}

/** Of a package in a set. The namespace of packages is the system's ID; the distro its ID and version. */
export function packagePurl({ format, for: systems }: PackageSetFacts, locked: LockedPackage): string {
  const [distro = ""] = systems;
  return systemPurl({ format, system: distro.replace(/-[^-]*$/, "") || "linux", distro }, locked);
}

const DEFAULT_SYSTEM: Record<OsPackage["format"], string> = { apk: "alpine", deb: "debian", rpm: "linux" };

/** Of a package inside an image. */
export function insidePurl(installed: OsPackage, os: OsRelease | undefined): string {
  const system = os?.id ?? DEFAULT_SYSTEM[installed.format];
  const distro = os === undefined ? "" : `${os.id}${os.version ? `-${os.version}` : ""}`;
  return systemPurl({ format: installed.format, system, distro }, installed);
}
