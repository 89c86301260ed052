import { AirgapError } from "../../errors.ts";
import type { IndexEntry } from "../../state/package-index.ts";
import { namesIn } from "./relation.ts";
import { parseChecksum, parseSize } from "./repomd.ts";
import { formatEvr } from "./version.ts";
import { type Attributes, readXml } from "./xml.ts";

/** What a solver needs of an RPM besides its name, architecture and version. Relations are written as RPM writes them: `glibc >= 2.17`. */
export interface RpmData {
  requires: string[];
  /**
   * Only those that say how high a version they are: others are found in the index, and decide nothing
   * between candidates. Without the one that every package has, its name in its own version.
   */
  provides?: string[];
  conflicts?: string[];
  obsoletes?: string[];
  recommends?: string[];
  suggests?: string[];
  supplements?: string[];
  enhances?: string[];
}

/** Where an RPM is, and what it must be. */
export interface RpmDetail {
  /** Below the repository's base, or below `base`. */
  href: string;
  base?: string;
  /** Bytes. */
  size: number;
  checksum: { algorithm: string; value: string };
}

const RELATIONS = [
  "requires",
  "provides",
  "conflicts",
  "obsoletes",
  "recommends",
  "suggests",
  "supplements",
  "enhances",
] as const;
type RelationKind = (typeof RELATIONS)[number];
const KINDS = new Set<string>(RELATIONS);
const OPERATORS: Record<string, string> = { LT: "<", LE: "<=", EQ: "=", GE: ">=", GT: ">" };
const MAX_ENTRIES = 200_000;
/** Names and versions become file names. */
const SAFE = /^(?!\.)[^\s/\\\p{Cc}]{1,255}$/u;

function rangeOf(attributes: Attributes): string {
  const op = OPERATORS[attributes.flags ?? ""];
  if (op === undefined || attributes.ver === undefined) return "";
  return `${op} ${formatEvr(attributes.epoch, attributes.ver, attributes.rel)}`;
}

/** Of two that provide the same, the higher version is preferred; a hash is none. */
const saysHowHigh = (range: string): boolean => /^(?:=|<=|<) /.test(range) && !/^= [0-9a-f]{4,}$/.test(range);

class PrimaryReader {
  readonly #what: string;
  readonly #emit: (entry: IndexEntry) => void;
  #entry: IndexEntry | undefined;
  #data: RpmData = { requires: [] };
  #detail: Partial<RpmDetail> = {};
  #kind: RelationKind | undefined;
  #sum: string | undefined;
  #entries = 0;
  count = 0;
  root: string | undefined;

  constructor(what: string, emit: (entry: IndexEntry) => void) {
    this.#what = what;
    this.#emit = emit;
  }

  open(name: string, attributes: Attributes, depth: number): void {
    if (depth === 1) this.root = name;
    if (name === "package" && depth === 2) {
      this.#entry =
        attributes.type === "rpm" || attributes.type === undefined
          ? {
              name: "",
              arch: "",
              version: "",
              data: {},
              detail: {},
              provides: [],
              obsoletes: [],
              supplements: [],
            }
          : undefined;
      this.#data = { requires: [] };
      this.#detail = {};
      this.#entries = 0;
      return;
    }
    if (this.#entry === undefined) return;
    switch (name) {
      case "version":
        this.#entry.version = formatEvr(attributes.epoch, attributes.ver ?? "", attributes.rel);
        break;
      case "checksum":
        this.#sum = attributes.type ?? "";
        break;
      case "size": {
        const size = parseSize(attributes.package, this.#where());
        if (size !== undefined) this.#detail.size = size;
        break;
      }
      case "location":
        this.#detail.href = attributes.href ?? "";
        if (attributes["xml:base"]) this.#detail.base = attributes["xml:base"];
        break;
      case "entry":
        this.#relation(this.#entry, attributes);
        break;
      default:
        if (KINDS.has(name)) this.#kind = name as RelationKind;
    }
  }

  close(name: string, text: string, depth: number): void {
    if (this.#entry === undefined) return;
    if (name === "package" && depth === 2) this.#finish(this.#entry);
    else if (name === "name" && depth === 3) this.#entry.name = text;
    else if (name === "arch" && depth === 3) this.#entry.arch = text;
    else if (name === "checksum") this.#detail.checksum = parseChecksum(this.#sum, text, this.#where());
    else if (name === "file") {
      this.#count();
      this.#entry.provides.push([text, ""]);
    } else if (name === this.#kind) this.#kind = undefined;
  }

  #relation(entry: IndexEntry, attributes: Attributes): void {
    const { name } = attributes;
    if (this.#kind === undefined || name === undefined || name === "") return;
    this.#count();
    const range = name.startsWith("(") ? "" : rangeOf(attributes);
    const text = range === "" ? name : `${name} ${range}`;
    if (this.#kind === "requires" && name.startsWith("rpmlib(")) return;
    if (this.#kind === "provides") {
      entry.provides.push([name, range]);
      if (!saysHowHigh(range)) return;
    }
    if (this.#kind === "obsoletes") entry.obsoletes.push(name);
    else if (this.#kind === "supplements") entry.supplements.push(...namesIn(text));
    const list = this.#data[this.#kind] ?? [];
    list.push(text);
    this.#data[this.#kind] = list;
  }

  #count(): void {
    if (++this.#entries > MAX_ENTRIES)
      throw new AirgapError("corrupt", `${this.#where()} has more than ${MAX_ENTRIES} relations and files`);
  }

  #where(): string {
    return `${this.#what}: package ${this.#entry?.name || this.count + 1}`;
  }

  #finish(entry: IndexEntry): void {
    this.#entry = undefined;
    this.count++;
    if (entry.name === "" || entry.arch === "" || entry.version === "")
      throw new AirgapError(
        "corrupt",
        `${this.#what}: package ${this.count} has no name, architecture or version`,
      );
    for (const text of [entry.name, entry.arch, entry.version])
      if (!SAFE.test(text))
        throw new AirgapError(
          "corrupt",
          `${this.#what}: package ${this.count} is called ${JSON.stringify(text.slice(0, 100))}, which no package is`,
        );
    const { size, checksum, href } = this.#detail;
    if (size === undefined || checksum === undefined || !href)
      throw new AirgapError(
        "corrupt",
        `${this.#what}: package ${entry.name} has no ${size === undefined ? "size" : checksum === undefined ? "checksum" : "location"}`,
      );
    const self = `= ${entry.version}`;
    if (!entry.provides.some(([name, range]) => name === entry.name && range === self))
      entry.provides.push([entry.name, self]);
    const others = this.#data.provides?.filter((text) => text !== `${entry.name} ${self}`) ?? [];
    if (others.length > 0) this.#data.provides = others;
    else delete this.#data.provides;
    this.#emit({ ...entry, data: this.#data, detail: this.#detail });
  }
}

/**
 * Reads primary.xml as it comes in and hands over one entry a package.
 * @returns how many packages there are
 */
export async function readPrimary(
  chunks: AsyncIterable<Buffer>,
  what: string,
  add: (entry: IndexEntry) => Promise<void>,
): Promise<number> {
  let ready: IndexEntry[] = [];
  const reader = new PrimaryReader(what, (entry) => ready.push(entry));
  const drain = async (): Promise<void> => {
    const entries = ready;
    ready = [];
    for (const entry of entries) await add(entry);
  };
  await readXml(chunks, what, reader, drain);
  await drain();
  if (reader.root !== "metadata")
    throw new AirgapError("protocol", `${what} is no primary.xml but <${reader.root}>`);
  return reader.count;
}
