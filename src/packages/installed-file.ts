import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import type { PackageSetSpec } from "../lock/spec.ts";

/** The text of a set's `installed:` list; undefined when it has none. @throws AirgapError `spec` */
export async function readInstalled(set: PackageSetSpec, baseDir: string): Promise<string | undefined> {
  if (set.installed === undefined) return undefined;
  const file = resolve(baseDir, set.installed);
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const how = set.format === "rpm" ? "rpm -qa" : "cat /var/lib/dpkg/status";
    throw new AirgapError("spec", `The list of installed packages of ${set.name}, ${file}, can't be read`, {
      cause,
      suggestions: [`${how} > ${set.installed}  # on a host as it is before the installation`],
    });
  }
}
