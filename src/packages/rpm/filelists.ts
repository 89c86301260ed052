import { readXml } from "./xml.ts";

/** A package of filelists.xml that has one of the paths looked for. */
export interface PathOwner {
  /** The package's checksum, as in primary.xml. */
  pkgid: string;
  name: string;
  path: string;
}

/**
 * Whether primary.xml carries a path anyway: `/etc/…`, `/usr/lib/sendmail`, and whatever has
 * `bin/` in it. createrepo_c, src/misc.h, `cr_is_primary`
 */
export function isPrimaryPath(path: string): boolean {
  return path.startsWith("/etc/") || path === "/usr/lib/sendmail" || path.includes("bin/");
}

/** Who has these paths, says filelists.xml; read as it comes in, since it is the largest of the files. */
export async function findOwners(
  chunks: AsyncIterable<Buffer>,
  what: string,
  paths: ReadonlySet<string>,
): Promise<PathOwner[]> {
  const owners: PathOwner[] = [];
  let pkgid = "";
  let name = "";
  await readXml(chunks, what, {
    open(element, attributes) {
      if (element === "package") {
        pkgid = attributes.pkgid ?? "";
        name = attributes.name ?? "";
      }
    },
    close(element, text) {
      if (element === "file" && paths.has(text)) owners.push({ pkgid, name, path: text });
    },
  });
  return owners;
}
