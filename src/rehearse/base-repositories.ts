import { dirname, resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import type { PackagesItem } from "../lock/lock.ts";
import { type PackageSetSpec, readBundleSpec } from "../lock/spec.ts";
import { parseInstalledDebs } from "../packages/deb/installed.ts";
import { readInstalled } from "../packages/installed-file.ts";
import { parseInstalledRpms } from "../packages/rpm/installed.ts";

type Repository = PackageSetSpec["repositories"][number];

/** Where the packages come from that hosts have before an installation. */
export interface BaseRepositories {
  repositories: Repository[];
  /** Folder where their relative paths start. */
  baseDir: string;
  /** Packages that hosts have, as the spec's `installed:` says. */
  installed: string[];
  /** Patterns of packages that are taken without a signature. */
  unsigned: string[];
}

/** A repository that the user names, and what it is for. */
interface Named {
  format: PackageSetSpec["format"];
  repository: Repository;
  /** Its packages are taken without a signature. */
  trusted: boolean;
}

/**
 * Reads a repository: a line of apt's sources, `deb [signed-by=KEY] URI SUITE COMPONENT…` (sources.list(5)), or the
 * settings of one of dnf's, `baseurl=URL gpgkey=KEY` (dnf.conf(5)).
 * @throws AirgapError `usage`
 */
export function parseBaseRepository(line: string, index: number): Named {
  return /^\s*[a-z_]+=/.test(line) ? parseSettings(line, index) : parseLine(line, index);
}

function parseLine(line: string, index: number): Named {
  const [, options = "", uris, suite, rest = ""] =
    /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+\S+)*)\s*$/.exec(line.trim()) ?? [];
  const option = (name: string): string | undefined =>
    options
      .split(/\s+/)
      .find((each) => each.startsWith(`${name}=`))
      ?.slice(name.length + 1);
  const components = rest.split(/\s+/).filter(Boolean);
  const trusted = option("trusted") === "yes";
  const signedBy = option("signed-by");
  const flat = suite?.endsWith("/") === true;
  if (
    uris === undefined ||
    suite === undefined ||
    (components.length === 0) !== flat ||
    (!trusted && !signedBy)
  )
    throw new AirgapError("usage", `--base-repo ${line} is not a line of apt's sources that names its key`, {
      suggestions: [...EXAMPLES.deb, ...EXAMPLES.rpm],
    });
  return {
    ...{ format: "deb", trusted },
    repository: {
      ...{ id: `base${index}`, uris, suites: [suite] },
      ...(components.length > 0 ? { components } : {}),
      ...(signedBy ? { signedBy: resolve(signedBy) } : {}),
    },
  };
}

/** Where a dnf repository is. */
const PLACES = ["baseurl", "mirrorlist", "metalink"] as const;

function parseSettings(line: string, index: number): Named {
  const wrong = (why: string): AirgapError =>
    new AirgapError("usage", `--base-repo ${line}: ${why}`, { suggestions: EXAMPLES.rpm });
  const settings = new Map<string, string>();
  for (const word of line.trim().split(/\s+/)) {
    const [, key = "", value = ""] = /^([a-z_]+)=(.+)$/.exec(word) ?? [];
    if (![...PLACES, "gpgkey", "gpgcheck"].includes(key))
      throw wrong(`${word} is not baseurl=, mirrorlist=, metalink=, gpgkey= or gpgcheck=0`);
    if (settings.has(key)) throw wrong(`${key} is there twice; several keys are separated by commas`);
    settings.set(key, value);
  }
  const places = PLACES.filter((key) => settings.has(key));
  const trusted = settings.get("gpgcheck") === "0";
  const gpgkey = settings.get("gpgkey")?.split(",").filter(Boolean) ?? [];
  if (places.length !== 1) throw wrong("it needs one of baseurl=, mirrorlist= and metalink=");
  if (!trusted && gpgkey.length === 0)
    throw wrong("gpgkey= is missing, the key that its packages are signed with");
  return {
    ...{ format: "rpm", trusted },
    repository: {
      id: `base${index}`,
      ...Object.fromEntries(places.map((key) => [key, settings.get(key) ?? ""])),
      ...(gpgkey.length > 0 ? { gpgkey } : {}),
    },
  };
}

/** How `--base-repo` is written. */
export const EXAMPLES: Record<PackageSetSpec["format"], string[]> = {
  deb: [
    `--base-repo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://ftp.debian.org/debian bookworm main"`,
  ],
  rpm: [
    `--base-repo "baseurl=https://dl.rockylinux.org/pub/rocky/9/BaseOS/x86_64/os/ gpgkey=https://dl.rockylinux.org/pub/rocky/RPM-GPG-KEY-Rocky-9"`,
  ],
};

/**
 * The repositories that the user names for a set of the bundle: with `--base-repo`, those of its format, or those of
 * the same set of the build spec. Undefined when there are none.
 */
export async function baseRepositories(
  { name, facts: { format } }: PackagesItem,
  { spec, lines }: { spec?: string | undefined; lines: readonly string[] },
): Promise<BaseRepositories | undefined> {
  const parsed = lines
    .map((line, i) => parseBaseRepository(line, i))
    .filter((each) => each.format === format);
  const given = parsed.map(({ repository }) => repository);
  const unsigned = parsed.some(({ trusted }) => trusted) ? ["*"] : [];
  if (spec === undefined)
    return given.length === 0
      ? undefined
      : { repositories: given, baseDir: process.cwd(), installed: [], unsigned };
  const found = (await readBundleSpec(spec)).packages.find((each) => each.name === name);
  if (found === undefined)
    throw new AirgapError("usage", `${spec} has no package set ${name}, which the bundle has`, {
      suggestions: ["--spec SPEC  # the one that the bundle was built from"],
    });
  const baseDir = dirname(resolve(spec));
  const text = await readInstalled(found, baseDir);
  return {
    repositories: [...given, ...found.repositories.map(({ priority: _, ...each }) => each)],
    baseDir,
    installed: text === undefined ? [] : namesOf(text, found),
    unsigned: [...unsigned, ...(found.unsigned ?? [])],
  };
}

/** Names of the packages that hosts have; with the architecture where it is not the set's. */
function namesOf(text: string, { format, arch, installed = "" }: PackageSetSpec): string[] {
  const names =
    format === "deb"
      ? parseInstalledDebs(text, installed).map(({ name }) => name)
      : parseInstalledRpms(text, installed).packages.map((each) =>
          [arch, "noarch", ""].includes(each.arch) ? each.name : `${each.name}.${each.arch}`,
        );
  return [...new Set(names)];
}
