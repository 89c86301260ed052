import { AirgapError } from "../../errors.ts";
import type { IndexEntry } from "../../state/package-index.ts";
import { type Paragraph, readParagraphs } from "./control.ts";
import { alternativesOf, parseAlternative, splitField } from "./relation.ts";

/** What a solver needs of a Debian package besides its name, architecture and version. */
export interface DebData {
  /** Groups of Pre-Depends, then of Depends: `a (>= 1) | b`. */
  depends: string[];
  recommends?: string[];
  /** Conflicts and Breaks: neither may be there. */
  conflicts?: string[];
  breaks?: string[];
  provides?: string[];
  /** `same`, `foreign` or `allowed`. */
  multiArch?: string;
  essential?: boolean;
  /** Its source package, with that one's version where they differ: `glibc (2.36-9)`. */
  source?: string;
  /** 1 required … 5 extra; 0 none given. */
  priority: number;
  /** When its name is first spoken of in the file: apt takes the latest among equals. */
  mention: number;
}

/** Where a Debian package is, and what it must be. */
export interface DebDetail {
  /** As the Packages file has it. */
  filename: string;
  /** Bytes. */
  size: number;
  checksum: { algorithm: string; value: string };
}

const PRIORITIES = ["", "required", "important", "standard", "optional", "extra"];
/** The order in which apt reads the fields of a paragraph. */
const SPOKEN = [
  "pre-depends",
  "depends",
  "conflicts",
  "breaks",
  "recommends",
  "suggests",
  "replaces",
  "enhances",
  "provides",
];
const CHECKSUMS: [string, string, number][] = [
  ["sha256", "sha256", 64],
  ["sha512", "sha512", 128],
  ["sha1", "sha1", 40],
  ["md5sum", "md5", 32],
];
const NAME = /^[A-Za-z0-9][A-Za-z0-9+.~_-]*$/;
const MAX_GROUPS = 20_000;

/** The strongest checksum of a paragraph; SHA256 where it is given, since that names blobs. */
function checksumOf(fields: Paragraph): { algorithm: string; value: string } | undefined {
  for (const [field, algorithm, length] of CHECKSUMS) {
    const value = fields.get(field)?.toLowerCase();
    if (value !== undefined && value.length === length && /^[0-9a-f]+$/.test(value))
      return { algorithm, value };
  }
  return undefined;
}

class Mentions {
  readonly #first = new Map<string, number>();

  of(name: string): number {
    const known = this.#first.get(name);
    if (known !== undefined) return known;
    // A copy: a piece of a longer text would keep all of it in memory.
    this.#first.set(Buffer.from(name).toString(), this.#first.size + 1);
    return this.#first.size;
  }
}

function list(fields: Paragraph, name: string, where: string): string[] {
  const groups = splitField(fields.get(name));
  if (groups.length > MAX_GROUPS)
    throw new AirgapError("corrupt", `${where}: ${name} has more than ${MAX_GROUPS} entries`);
  return groups;
}

export function provided(fields: Paragraph, name: string, version: string): [string, string][] {
  const provides: [string, string][] = [[name, `= ${version}`]];
  const allowed = fields.get("multi-arch") === "allowed";
  if (allowed) provides.push([`${name}:any`, `= ${version}`]);
  for (const text of splitField(fields.get("provides"))) {
    const alternative = parseAlternative(text);
    if (alternative === undefined || (alternative.operator !== "" && alternative.operator !== "=")) continue;
    const range = alternative.operator === "" ? "" : `= ${alternative.version}`;
    provides.push([alternative.qualifier === "any" ? `${alternative.name}:any` : alternative.name, range]);
    if (allowed && alternative.qualifier === "") provides.push([`${alternative.name}:any`, range]);
  }
  return provides;
}

/** 0 where none is given. */
export const priorityOf = (fields: Paragraph): number =>
  Math.max(0, PRIORITIES.indexOf(fields.get("priority") ?? ""));

function entryOf(fields: Paragraph, mentions: Mentions, what: string): IndexEntry {
  const [name = "", version = "", arch = ""] = [
    fields.get("package"),
    fields.get("version"),
    fields.get("architecture"),
  ];
  const where = `${what}: package ${name || "without a name"}`;
  if (!NAME.test(name))
    throw new AirgapError("corrupt", `${what}: ${JSON.stringify(name.slice(0, 80))} is no package name`);
  const size = Number(fields.get("size"));
  const checksum = checksumOf(fields);
  const filename = fields.get("filename") ?? "";
  const missing =
    version === ""
      ? "Version"
      : arch === ""
        ? "Architecture"
        : filename === ""
          ? "Filename"
          : checksum === undefined
            ? "SHA256"
            : "";
  if (missing !== "") throw new AirgapError("corrupt", `${where} has no ${missing}`);
  if (!fields.has("size") || !Number.isSafeInteger(size) || size < 0)
    throw new AirgapError("corrupt", `${where} has no usable Size`);
  const mention = mentions.of(name);
  for (const field of SPOKEN)
    for (const group of splitField(fields.get(field)))
      for (const { name: other } of alternativesOf(group)) mentions.of(other);
  const optional = {
    recommends: list(fields, "recommends", where),
    conflicts: list(fields, "conflicts", where),
    breaks: list(fields, "breaks", where),
    provides: list(fields, "provides", where),
  };
  const multiArch = fields.get("multi-arch");
  const data: DebData = {
    depends: [...list(fields, "pre-depends", where), ...list(fields, "depends", where)],
    ...Object.fromEntries(Object.entries(optional).filter(([, groups]) => groups.length > 0)),
    ...(multiArch && multiArch !== "no" ? { multiArch } : {}),
    ...(fields.get("essential") === "yes" ? { essential: true } : {}),
    ...(fields.get("source") ? { source: fields.get("source") as string } : {}),
    priority: priorityOf(fields),
    mention,
  };
  const detail: DebDetail = { filename, size, checksum: checksum as DebDetail["checksum"] };
  return {
    name,
    arch,
    version,
    data,
    detail,
    provides: provided(fields, name, version),
    obsoletes: [],
    supplements: [],
  };
}

/** Reads a Packages file as it comes in. @returns how many packages there are */
export async function readPackagesFile(
  chunks: AsyncIterable<Buffer>,
  what: string,
  add: (entry: IndexEntry) => Promise<void>,
): Promise<number> {
  const mentions = new Mentions();
  let count = 0;
  for await (const fields of readParagraphs(chunks, what)) {
    count++;
    await add(entryOf(fields, mentions, what));
  }
  return count;
}
