import { createHash } from "node:crypto";
import { gzipText } from "../gzip.ts";

/** A package as it is to be listed. */
export interface PackagesEntry {
  /** Below the repository. */
  filename: string;
  /** Bytes. */
  size: number;
  checksum: { algorithm: string; value: string };
  /** The text of its own control file. */
  control: string;
}

export interface DebMetadata {
  packages: Buffer;
  packagesGz: Buffer;
  release: string;
}

const FIELDS: Record<string, string> = { sha256: "SHA256", sha512: "SHA512" };

/** No host's clock is that far back, and apt refuses what is dated after its own. The content is told apart by its hashes. */
const DATE = "Sat, 01 Jan 2000 00:00:00 UTC";

const digest = (algorithm: string, bytes: Uint8Array): string =>
  createHash(algorithm).update(bytes).digest("hex");

function stanza({ filename, size, checksum, control }: PackagesEntry): string {
  const lines = control
    .replaceAll("\r", "")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"));
  return [
    ...lines,
    `Filename: ${filename}`,
    `Size: ${size}`,
    `${FIELDS[checksum.algorithm]}: ${checksum.value}`,
    "",
  ].join("\n");
}

/**
 * Packages and Release of a flat repository: the same packages give the same bytes. There is no
 * Valid-Until, since what is carried in does not age.
 */
export function makeDebMetadata(name: string, arch: string, entries: PackagesEntry[]): DebMetadata {
  const sorted = entries.toSorted((a, b) => (a.filename < b.filename ? -1 : 1));
  const packages = Buffer.from(sorted.map(stanza).join("\n"));
  const packagesGz = gzipText(packages.toString("utf8")).bytes;
  const files: [string, Buffer][] = [
    ["Packages", packages],
    ["Packages.gz", packagesGz],
  ];
  const sums = (title: string, algorithm: string): string[] => [
    `${title}:`,
    ...files.map(([path, bytes]) => ` ${digest(algorithm, bytes)} ${bytes.length} ${path}`),
  ];
  const release = [
    "Origin: airgap",
    "Label: airgap",
    `Suite: ${name}`,
    `Codename: ${name}`,
    `Date: ${DATE}`,
    `Architectures: all ${arch}`,
    `Description: Packages of ${name}, carried across an air gap`,
    ...sums("SHA256", "sha256"),
    "",
  ].join("\n");
  return { packages, packagesGz, release };
}
