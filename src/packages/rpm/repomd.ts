import { AirgapError } from "../../errors.ts";
import { readXml } from "./xml.ts";

/** One file of the metadata, as repomd.xml lists it. Sizes are bytes. */
export interface RepomdData {
  type: string;
  href: string;
  /** The algorithm as Node's crypto calls it, and its hex digits. */
  checksum?: { algorithm: string; value: string };
  size?: number;
  openSize?: number;
  /** When it was made: seconds since 1970. */
  timestamp?: number;
}

const ALGORITHMS: Record<string, string> = {
  sha: "sha1",
  sha1: "sha1",
  sha224: "sha224",
  sha256: "sha256",
  sha384: "sha384",
  sha512: "sha512",
  md5: "md5",
};
const HEX_LENGTH: Record<string, number> = {
  md5: 32,
  sha1: 40,
  sha224: 56,
  sha256: 64,
  sha384: 96,
  sha512: 128,
};

/** rpm-md's name of a checksum with its value. @throws AirgapError `protocol` */
export function parseChecksum(
  type: string | undefined,
  value: string,
  where: string,
): { algorithm: string; value: string } {
  const algorithm = ALGORITHMS[(type ?? "").toLowerCase()];
  const hex = value.trim().toLowerCase();
  if (algorithm === undefined)
    throw new AirgapError("protocol", `${where}: checksum of the unknown kind ${JSON.stringify(type ?? "")}`);
  if (!/^[0-9a-f]+$/.test(hex) || hex.length !== HEX_LENGTH[algorithm])
    throw new AirgapError(
      "protocol",
      `${where}: ${JSON.stringify(value.slice(0, 140))} is not a ${algorithm} checksum`,
    );
  return { algorithm, value: hex };
}

export function parseSize(text: string | undefined, where: string): number | undefined {
  if (text === undefined || text.trim() === "") return undefined;
  const size = Number(text);
  if (!Number.isSafeInteger(size) || size < 0)
    throw new AirgapError("protocol", `${where}: ${JSON.stringify(text.slice(0, 40))} is not a size`);
  return size;
}

/**
 * Reads repomd.xml. A file type that stands twice keeps its first entry, as libsolv does.
 * https://github.com/rpm-software-management/createrepo_c and its doc of the format
 */
export async function parseRepomd(bytes: Buffer, what: string): Promise<Map<string, RepomdData>> {
  const found = new Map<string, RepomdData>();
  let root: string | undefined;
  let current: Partial<RepomdData> & { sum?: string } = {};
  await readXml(chunksOf(bytes), what, {
    open(name, attributes, depth) {
      if (depth === 1) root = name;
      if (name === "data") current = { type: attributes.type ?? "" };
      else if (name === "location" && attributes.href !== undefined) current.href = attributes.href;
      else if (name === "checksum") current.sum = attributes.type ?? "";
    },
    close(name, text) {
      if (name === "checksum")
        current.checksum = parseChecksum(current.sum, text, `${what}: ${current.type}`);
      else if (name === "size" || name === "open-size") {
        const size = parseSize(text, `${what}: ${current.type}`);
        if (size !== undefined) current[name === "size" ? "size" : "openSize"] = size;
      } else if (name === "timestamp") {
        const seconds = Number(text);
        if (text.trim() !== "" && Number.isFinite(seconds)) current.timestamp = seconds;
      } else if (name === "data" && current.type && current.href) {
        const { sum: _, ...data } = current;
        if (!found.has(current.type)) found.set(current.type, data as RepomdData);
      }
    },
  });
  if (root !== "repomd") throw new AirgapError("protocol", `${what} is no repomd.xml but <${root}>`);
  return found;
}

/** When a repository's metadata were made: its newest file's time, as librepo takes it. Seconds since 1970. */
export const newestOf = (metadata: Map<string, RepomdData>): number =>
  Math.max(0, ...[...metadata.values()].map(({ timestamp = 0 }) => timestamp));

async function* chunksOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

/** What a metalink says: where repomd.xml is, best first, and its sha256 where given. */
export interface Metalink {
  urls: string[];
  sha256: string[];
}

/** https://www.rfc-editor.org/rfc/rfc5854 and mirrormanager's older form, version 3.0. */
export async function parseMetalink(bytes: Buffer, what: string): Promise<Metalink> {
  const urls: { url: string; preference: number; order: number }[] = [];
  const sha256: string[] = [];
  let preference = 0;
  let hashType = "";
  let ignored = false;
  await readXml(chunksOf(bytes), what, {
    open(name, attributes) {
      if (name === "file") ignored = attributes.name !== undefined && attributes.name !== "repomd.xml";
      if (name === "url")
        preference =
          attributes.preference === undefined
            ? 1_000_000 - Number(attributes.priority ?? 999_999)
            : Number(attributes.preference);
      if (name === "hash") hashType = attributes.type ?? "";
    },
    close(name, text) {
      if (ignored) return;
      if (name === "url" && /^https?:\/\//i.test(text.trim()))
        urls.push({ url: text.trim(), preference, order: urls.length });
      if (name === "hash" && /^sha-?256$/i.test(hashType)) sha256.push(text.trim().toLowerCase());
    },
  });
  urls.sort((a, b) => b.preference - a.preference || a.order - b.order);
  return { urls: urls.map(({ url }) => url), sha256 };
}

/** A mirrorlist: one base URL a line, `#` starts a comment. */
export function parseMirrorlist(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => /^(https?|file):/i.test(line));
}
