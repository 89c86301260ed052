import { parseParagraph } from "../packages/deb/control.ts";
import { type OsPackage, type OsRelease, oneLine, osPackage } from "./package.ts";

/** States of dpkg in which files of a package are there. dpkg(1), PACKAGE STATES */
const UNPACKED = /\b(?:unpacked|half-configured|triggers-awaited|triggers-pending|installed)$/;

const blocksOf = (text: string): string[] => text.replaceAll("\r\n", "\n").split(/\n(?:[ \t]*\n)+/);

/**
 * `var/lib/dpkg/status`, or a file of `status.d`, whose paragraphs have no state.
 * @throws AirgapError `corrupt`
 */
export function parseDpkgStatus(text: string, what: string): OsPackage[] {
  return blocksOf(text).flatMap((block) => {
    const fields = parseParagraph(block, what);
    const status = fields.get("status");
    if (status !== undefined && !UNPACKED.test(status)) return [];
    return osPackage("deb", {
      name: fields.get("package"),
      version: fields.get("version"),
      arch: fields.get("architecture"),
      // `Source: glibc (2.36-9)` where its version differs.
      source: fields.get("source") ?? fields.get("package"),
      vendor: fields.get("maintainer"),
    });
  });
}

/** `lib/apk/db/installed`: one letter a field. https://wiki.alpinelinux.org/wiki/Apk_spec */
export function parseApkInstalled(text: string): OsPackage[] {
  return blocksOf(text).flatMap((block) => {
    const fields = new Map<string, string>();
    // What comes behind the first folder is about files.
    for (const line of block.split("\n")) {
      if (line.startsWith("F:")) break;
      if (line[1] === ":") fields.set(line.slice(0, 1), line.slice(2));
    }
    return osPackage("apk", {
      name: fields.get("P"),
      version: fields.get("V"),
      arch: fields.get("A"),
      license: fields.get("L"),
      source: fields.get("o"),
      vendor: fields.get("m"),
    });
  });
}

/** https://www.freedesktop.org/software/systemd/man/latest/os-release.html */
export function parseOsRelease(text: string): OsRelease | undefined {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, key = "", raw = ""] = /^\s*([A-Z_]+)=(.*?)\s*$/.exec(line) ?? [];
    const quoted = /^"(.*)"$|^'(.*)'$/.exec(raw);
    if (key) fields.set(key, (quoted?.[1] ?? quoted?.[2] ?? raw).replace(/\\([$"\\`])/g, "$1"));
  }
  const [id = "", version = ""] = [fields.get("ID"), fields.get("VERSION_ID")];
  if (!/^[a-z0-9._-]{1,64}$/.test(id) || !/^[A-Za-z0-9._-]{0,64}$/.test(version)) return undefined;
  return { id, version, name: oneLine(fields.get("PRETTY_NAME") ?? fields.get("NAME") ?? id) };
}
