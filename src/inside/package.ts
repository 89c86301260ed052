import type { Digest } from "../oci/digest.ts";

/** A package that is installed in an image, as its database says. */
export interface OsPackage {
  format: "apk" | "deb" | "rpm";
  name: string;
  /** As the format writes it: `1:2.3-4`. */
  version: string;
  arch: string;
  license?: string;
  /** What it was built from: of deb and apk a name, of rpm the file name of the source RPM. */
  source?: string;
  vendor?: string;
}

/** A package that no database of the system names: a module in a Go program, a library of a language. */
export interface FoundPackage {
  name: string;
  version: string;
  purl: string;
}

/** What an image says about its system: `os-release`. */
export interface OsRelease {
  id: string;
  version: string;
  name: string;
}

/** What is installed in one image of one platform. */
export interface Inside {
  /** `linux/amd64` */
  platform: string;
  manifest: Digest;
  os?: OsRelease;
  packages: OsPackage[];
  /** What somebody else found. */
  others?: FoundPackage[];
  /** What could not be read, and why. */
  unread: string[];
}

/** Characters of one text in a database; longer ones are cut. */
const MAX_TEXT = 1000;

/** A text of a database, fit for one line. */
export const oneLine = (text: string): string =>
  text
    .slice(0, MAX_TEXT)
    .replace(/[\p{Cc}\p{Cf}]+/gu, " ")
    .trim();

/** A package, where what is said of it can be one. */
export function osPackage(
  format: OsPackage["format"],
  fields: { [key in Exclude<keyof OsPackage, "format">]?: string | undefined },
): OsPackage[] {
  const { name = "", version = "", arch = "", license, source, vendor } = fields;
  // Names and versions go into URLs and files of others; every format's own grammar is within this one.
  if (!/^[A-Za-z0-9@_][A-Za-z0-9@_.+~^:-]{0,254}$/.test(name)) return [];
  if (!/^[A-Za-z0-9@_.+~^:-]{1,255}$/.test(version) || !/^[a-z0-9_-]{0,64}$/i.test(arch)) return [];
  const kept = { license, source, vendor };
  return [
    {
      ...{ format, name, version, arch },
      ...Object.fromEntries(
        Object.entries(kept).flatMap(([key, value]) => {
          const text = oneLine(value ?? "");
          return text === "" ? [] : [[key, text]];
        }),
      ),
    },
  ];
}
