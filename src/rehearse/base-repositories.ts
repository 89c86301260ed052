import { dirname, resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import { type PackageSetSpec, readBundleSpec } from "../lock/spec.ts";
import { parseInstalledDebs } from "../packages/deb/installed.ts";
import { readInstalled } from "../packages/installed-file.ts";

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

/**
 * Reads a line of apt's sources: `deb [signed-by=KEY] URI SUITE COMPONENT…`. sources.list(5)
 * @throws AirgapError `usage`
 */
export function parseBaseRepository(
  line: string,
  index: number,
): { repository: Repository; trusted: boolean } {
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
    throw new AirgapError("usage", `--base-repo ${line} is no line of apt's sources that names its key`, {
      suggestions: [
        `--base-repo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://ftp.debian.org/debian bookworm main"`,
      ],
    });
  return {
    trusted,
    repository: {
      ...{ id: `base${index}`, uris, suites: [suite] },
      ...(components.length > 0 ? { components } : {}),
      ...(signedBy ? { signedBy: resolve(signedBy) } : {}),
    },
  };
}

/** The repositories that the user names: lines of apt's sources, or those of a set of the build spec. */
export async function baseRepositories(
  set: string,
  { spec, lines }: { spec?: string | undefined; lines: readonly string[] },
): Promise<BaseRepositories | undefined> {
  const parsed = lines.map((line, i) => parseBaseRepository(line, i));
  const given = parsed.map(({ repository }) => repository);
  const unsigned = parsed.some(({ trusted }) => trusted) ? ["*"] : [];
  if (spec === undefined)
    return given.length === 0
      ? undefined
      : { repositories: given, baseDir: process.cwd(), installed: [], unsigned };
  const found = (await readBundleSpec(spec)).packages.find(({ name }) => name === set);
  if (found === undefined)
    throw new AirgapError("usage", `${spec} has no package set ${set}, which the bundle has`, {
      suggestions: ["--spec SPEC  # the one that the bundle was built from"],
    });
  const baseDir = dirname(resolve(spec));
  const text = await readInstalled(found, baseDir);
  const installed = text === undefined ? [] : parseInstalledDebs(text, found.installed ?? "");
  return {
    repositories: [...given, ...found.repositories.map(({ priority: _, ...each }) => each)],
    baseDir,
    installed: [...new Set(installed.map(({ name }) => name))],
    unsigned: [...unsigned, ...(found.unsigned ?? [])],
  };
}
