import { AirgapError } from "../../errors.ts";
import { parseParagraph } from "./control.ts";

/** A file that a Release file vouches for. */
export interface ReleaseFile {
  /** Bytes. */
  size: number;
  checksums: { algorithm: string; value: string }[];
}

/** What a Release file says. https://wiki.debian.org/DebianRepository/Format */
export interface Release {
  architectures: string[];
  components: string[];
  files: Map<string, ReleaseFile>;
  acquireByHash: boolean;
  /** apt reads `binary-all` too where this is not set. */
  allInArchitectures: boolean;
  /** `NotAutomatic` and `ButAutomaticUpgrades`: the pin priority that apt gives. */
  pin: number;
  validUntil?: Date;
  /** When it was made: seconds since 1970. */
  date?: number;
  codename?: string;
  suite?: string;
}

const HASHES: [string, string, number][] = [
  ["sha256", "sha256", 64],
  ["sha512", "sha512", 128],
];

/** @throws AirgapError `corrupt` */
export function parseRelease(text: string, what: string): Release {
  const fields = parseParagraph(text.replaceAll("\r", ""), what);
  const files = new Map<string, ReleaseFile>();
  for (const [field, algorithm, length] of HASHES) {
    for (const line of (fields.get(field) ?? "").split("\n")) {
      const [value = "", size = "", path = ""] = line.trim().split(/\s+/);
      if (path === "") continue;
      if (value.length !== length || !/^[0-9a-f]+$/i.test(value) || !/^\d{1,15}$/.test(size))
        throw new AirgapError(
          "corrupt",
          `${what}: ${JSON.stringify(line.slice(0, 120))} is no line of ${field.toUpperCase()}`,
        );
      const known = files.get(path);
      const checksum = { algorithm, value: value.toLowerCase() };
      if (known && known.size !== Number(size))
        throw new AirgapError("corrupt", `${what} gives two sizes for ${path}`);
      if (known) known.checksums.push(checksum);
      else files.set(path, { size: Number(size), checksums: [checksum] });
    }
  }
  if (files.size === 0)
    throw new AirgapError("corrupt", `${what} lists no file with a SHA256 or SHA512 checksum`);
  const date = Date.parse(fields.get("date") ?? "");
  const validUntil = Date.parse(fields.get("valid-until") ?? "");
  const words = (name: string): string[] =>
    (fields.get(name) ?? "").split(/\s+/).filter((word) => word !== "");
  const notAutomatic = fields.get("notautomatic") === "yes";
  return {
    architectures: words("architectures"),
    components: words("components"),
    files,
    acquireByHash: fields.get("acquire-by-hash") === "yes",
    allInArchitectures: words("no-support-for-architecture-all").includes("Packages"),
    pin: notAutomatic ? (fields.get("butautomaticupgrades") === "yes" ? 100 : 1) : 500,
    ...(Number.isNaN(date) ? {} : { date: date / 1000 }),
    ...(Number.isNaN(validUntil) ? {} : { validUntil: new Date(validUntil) }),
    ...optional("codename", fields.get("codename")),
    ...optional("suite", fields.get("suite")),
  };
}

function optional<Key extends string>(key: Key, value: string | undefined): Partial<Record<Key, string>> {
  return value === undefined ? {} : ({ [key]: value } as Record<Key, string>);
}
