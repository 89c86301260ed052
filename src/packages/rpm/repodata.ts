import { createHash } from "node:crypto";
import { type Gzipped, GzipText } from "../gzip.ts";
import { isPrimaryPath } from "./filelists.ts";
import { type HeaderSection, type RpmHeaders, Tag } from "./header.ts";
import { formatEvr, parseEvr } from "./version.ts";

/** A package as it is to be listed. */
export interface RepodataPackage {
  /** Below the repository. */
  href: string;
  /** Bytes of the file. */
  size: number;
  checksum: { algorithm: string; value: string };
  headers: RpmHeaders;
}

export interface RepodataFile {
  /** Below the repository: `repodata/<sha256>-primary.xml.gz`. */
  path: string;
  bytes: Buffer;
}

const LESS = 2;
const GREATER = 4;
const EQUAL = 8;
/** RPMSENSE_PREREQ, SCRIPT_PRE, SCRIPT_POST: needed before the package's own scripts run. */
const PRE = (1 << 6) | (1 << 9) | (1 << 10);
const FLAGS: Record<number, string> = {
  [LESS]: "LT",
  [GREATER]: "GT",
  [EQUAL]: "EQ",
  [LESS | EQUAL]: "LE",
  [GREATER | EQUAL]: "GE",
};
const DIRECTORY = 0o040000;
const FORMAT_MASK = 0o170000;
const GHOST = 1 << 6;

const RELATIONS: [string, number, number, number][] = [
  ["provides", Tag.provideName, Tag.provideFlags, Tag.provideVersion],
  ["requires", Tag.requireName, Tag.requireFlags, Tag.requireVersion],
  ["conflicts", Tag.conflictName, Tag.conflictFlags, Tag.conflictVersion],
  ["obsoletes", Tag.obsoleteName, Tag.obsoleteFlags, Tag.obsoleteVersion],
  ["suggests", Tag.suggestName, Tag.suggestFlags, Tag.suggestVersion],
  ["enhances", Tag.enhanceName, Tag.enhanceFlags, Tag.enhanceVersion],
  ["recommends", Tag.recommendName, Tag.recommendFlags, Tag.recommendVersion],
  ["supplements", Tag.supplementName, Tag.supplementFlags, Tag.supplementVersion],
];

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
/** What XML 1.0 can't hold is left out; packages have such bytes in their descriptions. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that must go
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;
const xml = (text: string): string =>
  text.replace(FORBIDDEN, "").replace(/[&<>"]/g, (char) => ESCAPES[char] as string);

interface Relation {
  name: string;
  flags: number;
  version: string;
}

/** The relations of one kind in a header, in its order. */
export function relationsOf(
  header: HeaderSection,
  names: number,
  flags: number,
  versions: number,
): Relation[] {
  const allFlags = header.numbers(flags);
  const allVersions = header.strings(versions);
  return header
    .strings(names)
    .map((name, i) => ({ name, flags: allFlags[i] ?? 0, version: allVersions[i] ?? "" }));
}

function entry({ name, flags, version }: Relation, kind: string): string {
  const sense = FLAGS[flags & (LESS | GREATER | EQUAL)];
  const pre = kind === "requires" && (flags & PRE) !== 0 ? ' pre="1"' : "";
  if (sense === undefined || version === "" || name.startsWith("("))
    return `      <rpm:entry name="${xml(name)}"${pre}/>\n`;
  const { epoch, version: upstream, release } = parseEvr(version);
  return `      <rpm:entry name="${xml(name)}" flags="${sense}" epoch="${epoch}" ver="${xml(upstream)}"${release === undefined ? "" : ` rel="${xml(release)}"`}${pre}/>\n`;
}

function relations(header: HeaderSection): string {
  return RELATIONS.map(([kind, ...tags]) => {
    const listed = relationsOf(header, ...tags).filter(
      ({ name }) => kind !== "requires" || !name.startsWith("rpmlib("),
    );
    const entries = [...new Set(listed.map((relation) => entry(relation, kind)))];
    return entries.length === 0 ? "" : `    <rpm:${kind}>\n${entries.join("")}    </rpm:${kind}>\n`;
  }).join("");
}

interface FileEntry {
  path: string;
  type: "" | "dir" | "ghost";
}

function filesOf(header: HeaderSection): FileEntry[] {
  const dirs = header.strings(Tag.dirNames);
  const indexes = header.numbers(Tag.dirIndexes);
  const names = header.has(Tag.baseNames)
    ? header.strings(Tag.baseNames).map((name, i) => `${dirs[indexes[i] ?? 0] ?? ""}${name}`)
    : header.strings(Tag.oldFileNames);
  const modes = header.numbers(Tag.fileModes);
  const flags = header.numbers(Tag.fileFlags);
  return names.map((path, i) => ({
    path,
    type:
      ((modes[i] ?? 0) & FORMAT_MASK) === DIRECTORY ? "dir" : ((flags[i] ?? 0) & GHOST) !== 0 ? "ghost" : "",
  }));
}

const fileLine = ({ path, type }: FileEntry): string =>
  `    <file${type === "" ? "" : ` type="${type}"`}>${xml(path)}</file>\n`;

function versionOf(header: HeaderSection): string {
  return `<version epoch="${header.number(Tag.epoch) ?? 0}" ver="${xml(header.string(Tag.version) ?? "")}" rel="${xml(header.string(Tag.release) ?? "")}"/>`;
}

function primaryEntry(
  { href, size, checksum, headers }: RepodataPackage,
  wantedPaths: ReadonlySet<string>,
): string {
  const { main, start, end } = headers;
  const text = (tag: number): string => xml(main.string(tag) ?? "");
  const built = main.number(Tag.buildTime) ?? 0;
  const installed = main.number(Tag.longSize) ?? main.number(Tag.size) ?? 0;
  const files = filesOf(main).filter(({ path }) => isPrimaryPath(path) || wantedPaths.has(path));
  return `<package type="rpm">
  <name>${text(Tag.name)}</name>
  <arch>${text(Tag.arch)}</arch>
  ${versionOf(main)}
  <checksum type="${checksum.algorithm}" pkgid="YES">${checksum.value}</checksum>
  <summary>${text(Tag.summary)}</summary>
  <description>${text(Tag.description)}</description>
  <packager>${text(Tag.packager)}</packager>
  <url>${text(Tag.url)}</url>
  <time file="${built}" build="${built}"/>
  <size package="${size}" installed="${installed}" archive="${main.number(Tag.archiveSize) ?? 0}"/>
  <location href="${xml(href)}"/>
  <format>
    <rpm:license>${text(Tag.license)}</rpm:license>
    <rpm:vendor>${text(Tag.vendor)}</rpm:vendor>
    <rpm:group>${text(Tag.group)}</rpm:group>
    <rpm:buildhost>${text(Tag.buildHost)}</rpm:buildhost>
    <rpm:sourcerpm>${text(Tag.sourceRpm)}</rpm:sourcerpm>
    <rpm:header-range start="${start}" end="${end}"/>
${relations(main)}${files.map(fileLine).join("")}  </format>
</package>
`;
}

function filelistsEntry({ checksum, headers: { main } }: RepodataPackage): string {
  const files = filesOf(main).map((file) => fileLine(file).slice(2));
  return `<package pkgid="${checksum.value}" name="${xml(main.string(Tag.name) ?? "")}" arch="${xml(main.string(Tag.arch) ?? "")}">\n  ${versionOf(main)}\n${files.join("")}</package>\n`;
}

/** Paths that packages of the set require: primary.xml lists their owners, so that no client has to load filelists.xml. */
function requiredPaths(packages: RepodataPackage[]): Set<string> {
  const names = packages.flatMap(({ headers }) => headers.main.strings(Tag.requireName));
  return new Set(names.filter((name) => name.startsWith("/")));
}

/**
 * The metadata of a repository of packages: the same packages give the same bytes. gzip and
 * sha256, which every client reads from CentOS 7 on. File names carry their checksum, so that no
 * cache mixes two states.
 * @param further metadata files by type, as text: `modules`
 */
export function makeRepodata(
  packages: RepodataPackage[],
  further: Record<string, string> = {},
): { repomd: Buffer; files: RepodataFile[] } {
  const sorted = packages.toSorted((a, b) => (a.href < b.href ? -1 : 1));
  const revision = Math.max(0, ...sorted.map(({ headers }) => headers.main.number(Tag.buildTime) ?? 0));
  const paths = requiredPaths(sorted);
  const common = "http://linux.duke.edu/metadata";
  const open = '<?xml version="1.0" encoding="UTF-8"?>\n';
  const primary = new GzipText();
  primary.add(
    `${open}<metadata xmlns="${common}/common" xmlns:rpm="${common}/rpm" packages="${sorted.length}">\n`,
  );
  for (const item of sorted) primary.add(primaryEntry(item, paths));
  primary.add("</metadata>\n");
  const filelists = new GzipText();
  filelists.add(`${open}<filelists xmlns="${common}/filelists" packages="${sorted.length}">\n`);
  for (const item of sorted) filelists.add(filelistsEntry(item));
  filelists.add("</filelists>\n");
  const made: [type: string, name: string, Gzipped][] = [
    ["primary", "primary.xml.gz", primary.finish()],
    ["filelists", "filelists.xml.gz", filelists.finish()],
  ];
  for (const [type, text] of Object.entries(further)) {
    const gzip = new GzipText();
    gzip.add(text);
    made.push([type, `${type}.yaml.gz`, gzip.finish()]);
  }
  const files = made.map(([, name, { bytes }]) => ({ path: `repodata/${sha256(bytes)}-${name}`, bytes }));
  const data = made
    .map(([type, , gzipped], i) => repomdEntry(type, files[i] as RepodataFile, gzipped, revision))
    .join("");
  const repomd = `${open}<repomd xmlns="${common}/repo" xmlns:rpm="${common}/rpm">\n  <revision>${revision}</revision>\n${data}</repomd>\n`;
  return { repomd: Buffer.from(repomd), files };
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function repomdEntry(
  type: string,
  { path, bytes }: RepodataFile,
  { openSha256, openSize }: Gzipped,
  timestamp: number,
): string {
  return `  <data type="${type}">
    <checksum type="sha256">${sha256(bytes)}</checksum>
    <open-checksum type="sha256">${openSha256}</open-checksum>
    <location href="${path}"/>
    <timestamp>${timestamp}</timestamp>
    <size>${bytes.length}</size>
    <open-size>${openSize}</open-size>
  </data>
`;
}

/** `name-version-release.arch.rpm`, as the header has them. */
export function rpmFileName({ main }: RpmHeaders): string {
  const evr = formatEvr(undefined, main.string(Tag.version) ?? "", main.string(Tag.release));
  return `${main.string(Tag.name)}-${evr}.${main.string(Tag.arch)}.rpm`;
}
