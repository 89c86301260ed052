import { AirgapError } from "../../errors.ts";
import { parseParagraph } from "./control.ts";
import { type DebData, priorityOf, provided } from "./packages-file.ts";
import { splitField } from "./relation.ts";

/** A package that hosts have. `data` is known from a dpkg status file. */
export interface InstalledDeb {
  name: string;
  version: string;
  arch: string;
  data?: DebData;
  provides: [string, string][];
}

/**
 * Reads what hosts have installed: /var/lib/dpkg/status, the table of `dpkg -l`, or one
 * `name[:arch] version` (or `name=version`) a line, as `dpkg-query -W` prints it.
 * @throws AirgapError `spec`
 */
export function parseInstalledDebs(text: string, what: string): InstalledDeb[] {
  if (/^Package: /m.test(text)) return parseStatus(text, what);
  return text
    .split("\n")
    .filter(
      (line) =>
        line.trim() !== "" && !line.startsWith("#") && !/^(Desired=|\| |\|\/|\+\+\+|Listing)/.test(line),
    )
    .map((line) => parseLine(line, what))
    .filter((entry) => entry !== undefined);
}

function parseStatus(text: string, what: string): InstalledDeb[] {
  const found: InstalledDeb[] = [];
  for (const block of text.split(/\n\s*\n/)) {
    const fields = parseParagraph(block, what);
    const [name, version] = [fields.get("package"), fields.get("version")];
    if (name === undefined || version === undefined || !/ installed$/.test(fields.get("status") ?? ""))
      continue;
    const optional = (field: string): string[] | undefined =>
      fields.has(field) ? splitField(fields.get(field)) : undefined;
    const data: DebData = {
      depends: [...splitField(fields.get("pre-depends")), ...splitField(fields.get("depends"))],
      conflicts: optional("conflicts") ?? [],
      breaks: optional("breaks") ?? [],
      recommends: optional("recommends") ?? [],
      ...(fields.get("essential") === "yes" ? { essential: true } : {}),
      ...(fields.get("source") ? { source: fields.get("source") as string } : {}),
      priority: priorityOf(fields),
      mention: 0,
    };
    found.push({
      name,
      version,
      arch: fields.get("architecture") ?? "all",
      data,
      provides: provided(fields, name, version),
    });
  }
  return found;
}

function parseLine(line: string, what: string): InstalledDeb | undefined {
  const listed = /^([a-zA-Z]{2,3})\s+(\S+)\s+(\S+)\s+(\S+)/.exec(line);
  if (
    listed &&
    /^[uihrp]/.test(listed[1] ?? "") &&
    /^\S+$/.test(listed[2] ?? "") &&
    (listed[1] ?? "").length <= 3 &&
    /\d/.test(listed[3] ?? "")
  ) {
    if ((listed[1] ?? "")[1] !== "i") return undefined;
    return installed(listed[2] as string, listed[3] as string);
  }
  const plain = /^\s*([A-Za-z0-9][A-Za-z0-9+.~_:-]*?)(?:\s+|=)(\d\S*)/.exec(line);
  if (!plain)
    throw new AirgapError(
      "spec",
      `${what}: ${JSON.stringify(line.slice(0, 100))} is no package with its version`,
      {
        suggestions: ["dpkg-query -W > hosts/debian.list"],
      },
    );
  return installed(plain[1] as string, plain[2] as string);
}

function installed(qualified: string, version: string): InstalledDeb {
  const [name = "", arch = ""] = qualified.split(":");
  return { name, version, arch, provides: [[name, `= ${version}`]] };
}
