import { AirgapError } from "../../errors.ts";
import type { DebHead } from "./archive.ts";
import { parseParagraph } from "./control.ts";
import { splitField } from "./relation.ts";

/** What the index says of a package; the file itself must say the same. */
export interface ExpectedDeb {
  name: string;
  version: string;
  arch: string;
  depends: string[];
  conflicts: string[];
  breaks: string[];
  provides: string[];
}

/**
 * Checks a package's control file against the Packages file of its repository: apt solves by the
 * one, dpkg installs by the other. @throws AirgapError `corrupt`
 */
export function inspectDeb({ control }: DebHead, expected: ExpectedDeb, what: string): void {
  const fields = parseParagraph(control, `The control file of ${what}`);
  const list = (...names: string[]): string =>
    names.flatMap((name) => splitField(fields.get(name))).join(", ");
  const compared: [string, string, string][] = [
    ["Package", expected.name, fields.get("package") ?? ""],
    ["Version", expected.version, fields.get("version") ?? ""],
    ["Architecture", expected.arch, fields.get("architecture") ?? ""],
    ["Pre-Depends and Depends", expected.depends.join(", "), list("pre-depends", "depends")],
    ["Conflicts", expected.conflicts.join(", "), list("conflicts")],
    ["Breaks", expected.breaks.join(", "), list("breaks")],
    ["Provides", expected.provides.join(", "), list("provides")],
  ];
  for (const [field, wanted, found] of compared) {
    if (wanted !== found)
      throw new AirgapError(
        "corrupt",
        `${what} is not the package that its repository says: expected ${field}: ${wanted || "(none)"}, found ${JSON.stringify(found.slice(0, 500))}`,
      );
  }
}

const OLD_DEBIAN = /^debian-(?:[89]|1[01])(?:\.|$)/;

/** dpkg reads zstd from Debian 12 on (Ubuntu's has done so since 18.04). @throws AirgapError `unsupported` */
export function checkUnpackable({ members }: DebHead, systems: string[], what: string): void {
  const old = systems.find((system) => OLD_DEBIAN.test(system));
  const packed = members.find((member) => member.endsWith(".zst"));
  if (old !== undefined && packed !== undefined)
    throw new AirgapError(
      "unsupported",
      `${what} is packed with zstd (${packed}), which the dpkg of ${old} can't unpack`,
      {
        suggestions: ["name a repository whose packages are built for that system"],
      },
    );
}
