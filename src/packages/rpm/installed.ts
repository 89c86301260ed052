import { AirgapError } from "../../errors.ts";
import type { InstalledPackage } from "./load.ts";
import { parseRelation } from "./relation.ts";

/** What is known of hosts' packages: builds, and capabilities where the list names those too. */
export interface InstalledList {
  packages: InstalledPackage[];
  capabilities: string[];
}

const NEVRA =
  /^(?<name>[^\s/]+)-(?:(?<epoch>\d+|\(none\)):)?(?<version>[^\s-]+)-(?<release>[^\s-]+?)\.(?<arch>noarch|[a-z][a-z0-9_]+|\(none\))$/;

/**
 * Reads `rpm -qa`, with or without epochs, and lines of `rpm -qa --provides` (`libc.so.6()(64bit)`,
 * `kernel = 4.18.0-1`) among them. @throws AirgapError `spec`
 */
export function parseInstalledRpms(text: string, what: string): InstalledList {
  const packages: InstalledPackage[] = [];
  const capabilities: string[] = [];
  for (const line of text.split("\n").map((raw) => raw.trim())) {
    if (line === "" || line.startsWith("#") || line.startsWith("gpg-pubkey-")) continue;
    const match = / (?:=|<|>|<=|>=) /.test(line) ? null : NEVRA.exec(line);
    if (match?.groups) {
      const { name = "", epoch, version = "", release = "", arch = "" } = match.groups;
      packages.push({
        name,
        arch: arch === "(none)" ? "" : arch,
        version: `${epoch === undefined || epoch === "(none)" || epoch === "0" ? "" : `${epoch}:`}${version}-${release}`,
      });
    } else if (parseRelation(line).kind === "simple" && !/\s/.test(line.replace(/ [<>=]+ \S+$/, "")))
      capabilities.push(line);
    else
      throw new AirgapError(
        "spec",
        `${what}: ${JSON.stringify(line.slice(0, 100))} is neither a package nor a capability`,
        {
          suggestions: ["rpm -qa > hosts/el9.rpms"],
        },
      );
  }
  return { packages, capabilities };
}
