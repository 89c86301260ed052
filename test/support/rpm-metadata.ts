import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parseEvr } from "../../src/packages/rpm/version.ts";

/** A package as a test wants it; relations as RPM writes them. */
export interface TestRpm {
  name: string;
  evr: string;
  arch?: string;
  requires?: string[];
  provides?: string[];
  conflicts?: string[];
  obsoletes?: string[];
  recommends?: string[];
  suggests?: string[];
  supplements?: string[];
  enhances?: string[];
  files?: string[];
  /** Overrides, for content that is there. */
  href?: string;
  sha256?: string;
  size?: number;
}

const FLAGS: Record<string, string> = { "<": "LT", "<=": "LE", "=": "EQ", ">=": "GE", ">": "GT" };
const KINDS = [
  "provides",
  "requires",
  "conflicts",
  "obsoletes",
  "recommends",
  "suggests",
  "supplements",
  "enhances",
] as const;

export const escapeXml = (text: string): string =>
  text.replace(
    /[<>&"]/g,
    (char) => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;" })[char] as string,
  );
const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");

function entry(text: string): string {
  const words = text.split(" ");
  const flags = FLAGS[words[1] ?? ""];
  if (text.startsWith("(") || words.length !== 3 || flags === undefined)
    return `<rpm:entry name="${escapeXml(text)}"/>`;
  const { epoch, version, release } = parseEvr(words[2] as string);
  return `<rpm:entry name="${escapeXml(words[0] as string)}" flags="${flags}" epoch="${epoch}" ver="${version}"${release === undefined ? "" : ` rel="${release}"`}/>`;
}

export const pkgid = (rpm: TestRpm): string =>
  rpm.sha256 ?? sha256(`${rpm.name}-${rpm.evr}.${rpm.arch ?? "noarch"}`);
const isPrimary = (path: string): boolean =>
  path.startsWith("/etc/") || path.includes("bin/") || path === "/usr/lib/sendmail";

export function primaryXml(rpms: TestRpm[]): string {
  const body = rpms.map((rpm) => {
    const { epoch, version, release } = parseEvr(rpm.evr);
    const arch = rpm.arch ?? "noarch";
    const provides = [`${rpm.name} = ${rpm.evr}`, ...(rpm.provides ?? [])];
    const relations = KINDS.map((kind) => {
      const list = kind === "provides" ? provides : rpm[kind];
      return list && list.length > 0 ? `<rpm:${kind}>${list.map(entry).join("")}</rpm:${kind}>` : "";
    });
    const files = (rpm.files ?? []).filter(isPrimary).map((path) => `<file>${escapeXml(path)}</file>`);
    return `<package type="rpm"><name>${rpm.name}</name><arch>${arch}</arch><version epoch="${epoch}" ver="${version}" rel="${release ?? ""}"/><checksum type="sha256" pkgid="YES">${pkgid(rpm)}</checksum><summary>x</summary><description>x</description><packager/><url/><time file="1" build="1"/><size package="${rpm.size ?? 1000}" installed="1" archive="1"/><location href="${rpm.href ?? `${rpm.name}-${version}-${release}.${arch}.rpm`}"/><format><rpm:license>x</rpm:license>${relations.join("")}${files.join("")}</format></package>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="${rpms.length}">\n${body.join("\n")}\n</metadata>\n`;
}

export function filelistsXml(rpms: TestRpm[]): string {
  const body = rpms.map((rpm) => {
    const { epoch, version, release } = parseEvr(rpm.evr);
    return `<package pkgid="${pkgid(rpm)}" name="${rpm.name}" arch="${rpm.arch ?? "noarch"}"><version epoch="${epoch}" ver="${version}" rel="${release ?? ""}"/>${(rpm.files ?? []).map((path) => `<file>${escapeXml(path)}</file>`).join("")}</package>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<filelists xmlns="http://linux.duke.edu/metadata/filelists" packages="${rpms.length}">\n${body.join("\n")}\n</filelists>\n`;
}

/** repomd.xml over files given by type: name below repodata/, its bytes, and what they unpack to. */
export function repomdXml(
  files: { type: string; name: string; bytes: Uint8Array; open: Uint8Array | string }[],
): string {
  const data = files.map(
    ({ type, name, bytes, open }) =>
      `<data type="${type}"><checksum type="sha256">${sha256(bytes)}</checksum><open-checksum type="sha256">${sha256(open)}</open-checksum><location href="repodata/${name}"/><timestamp>1</timestamp><size>${bytes.length}</size><open-size>${Buffer.byteLength(open)}</open-size></data>`,
  );
  return `<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm"><revision>1</revision>\n${data.join("\n")}\n</repomd>\n`;
}

/** Writes a repository of metadata alone: enough for a solver. `further` are files by type, as text. */
export async function writeRpmRepository(
  dir: string,
  rpms: TestRpm[],
  further: Record<string, string> = {},
): Promise<void> {
  await mkdir(join(dir, "repodata"), { recursive: true });
  const files = [
    { type: "primary", name: "primary.xml.gz", open: primaryXml(rpms) },
    { type: "filelists", name: "filelists.xml.gz", open: filelistsXml(rpms) },
    ...Object.entries(further).map(([type, open]) => ({ type, name: `${type}.gz`, open })),
  ].map((file) => ({ ...file, bytes: gzipSync(file.open) }));
  for (const { name, bytes } of files) await writeFile(join(dir, "repodata", name), bytes);
  await writeFile(join(dir, "repodata/repomd.xml"), repomdXml(files));
}
