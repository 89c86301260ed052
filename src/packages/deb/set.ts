import { createHash } from "node:crypto";
import { AirgapError } from "../../errors.ts";
import { fileFromBytes } from "../../lock/artifact.ts";
import type { LockedPackage, PackageSetFacts } from "../../lock/package-facts.ts";
import type { ResolveContext } from "../../lock/resolved.ts";
import type { PackageSetSpec } from "../../lock/spec.ts";
import { aboutPackage } from "../about.ts";
import type { Prepared, SetFormat, Tree, TreeMetadata } from "../format.ts";
import { globRegExp } from "../glob.ts";
import { type Headed, Heads } from "../heads.ts";
import { readInstalled } from "../installed-file.ts";
import { pinsOf } from "../key-pins.ts";
import type { KeyRing } from "../keys.ts";
import { placeOf, placesBelow } from "../locations.ts";
import { datesOf } from "../metadata-dates.ts";
import { named } from "../mirrors.ts";
import { forEachPackage, packageSource, placePackage } from "../prepare.ts";
import { repositoryHttp } from "../repository-http.ts";
import { rolesOf } from "../roles.ts";
import type { ChosenPackage, Closure } from "../types.ts";
import { type DebHead, readDebHead } from "./archive.ts";
import { aptFiles } from "./client-files.ts";
import { parseParagraph } from "./control.ts";
import { checkUnpackable, inspectDeb } from "./inspect.ts";
import { parseInstalledDebs } from "./installed.ts";
import { openRepository, repositoryKeys } from "./open.ts";
import type { DebRepository } from "./repository.ts";
import { solveDeb } from "./solve.ts";
import { makeDebMetadata } from "./write.ts";

const DEB = "application/vnd.debian.binary-package";
const FIRST_BYTES = 32 << 10;

async function closures(set: PackageSetSpec, context: ResolveContext): Promise<Closure[]> {
  const text = await readInstalled(set, context.baseDir);
  const installed = text === undefined ? [] : parseInstalledDebs(text, set.installed ?? "");
  const repositories: DebRepository[] = [];
  try {
    for (const repository of set.repositories)
      repositories.push(...(await named(repository.id, openRepository(repository, set, context))));
    const found: Closure[] = [];
    for (const { role, install } of rolesOf(set)) {
      const closure = await solveDeb({
        set: set.name,
        role,
        install,
        repositories,
        arch: set.arch,
        recommends: set.recommends === true,
        installed,
      });
      if (closure.removes && closure.removes.length > 0)
        context.emit({
          type: "warning",
          message: `${set.name}: installing on hosts with ${set.installed} removes ${closure.removes.join(", ")}, as apt would`,
        });
      if (closure.inFull)
        context.emit({
          type: "warning",
          message: `${set.name}: apt does not find its way to ${install.join(" ")} by itself; on hosts, name every package: apt-get install ${closure.inFull.join(" ")}`,
        });
      found.push({ ...closure, dates: datesOf(repositories) });
    }
    return found;
  } finally {
    await Promise.all(repositories.map((repository) => repository.close()));
  }
}

function checkTrusted(set: PackageSetSpec, chosen: ChosenPackage): void {
  if (!chosen.unsignedRepository) return;
  if (
    (set.unsigned ?? []).some(
      (pattern) => globRegExp(pattern).test(chosen.name) || globRegExp(pattern).test(chosen.id),
    )
  )
    return;
  throw new AirgapError(
    "corrupt",
    `${chosen.id} comes from ${chosen.repository}, whose signature is not checked, since the spec names no key for it`,
    {
      suggestions: [
        `signedBy: keys/${chosen.repository}.asc  # in the repository's entry`,
        `unsigned: ["${chosen.name}"]  # in the set, when it is to be carried all the same`,
      ],
    },
  );
}

const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");

/** Two architectures of one name can't meet: a set has one, and `all`. */
const pathOf = ({ name, version, arch }: Pick<LockedPackage, "name" | "version" | "arch">): string =>
  `pool/${name}_${version.replaceAll(":", "%3a")}_${arch}.deb`;

async function look(
  set: PackageSetSpec,
  chosen: ChosenPackage,
  heads: Heads,
  context: ResolveContext,
): Promise<Prepared<string>> {
  checkTrusted(set, chosen);
  const relations = chosen.relations ?? { depends: [], conflicts: [], breaks: [], provides: [] };
  const check = async (parsed: DebHead): Promise<void> =>
    inspectDeb(parsed, { ...chosen, ...relations }, chosen.id);
  const head = await readHead(heads, chosen, FIRST_BYTES, check, context);
  checkUnpackable(head, set.for, chosen.id);
  const placed = await placePackage(chosen, context);
  const fields = parseParagraph(head.control, `The control file of ${chosen.id}`);
  const locked: LockedPackage = {
    id: chosen.id,
    name: chosen.name,
    version: chosen.version,
    arch: chosen.arch,
    repository: chosen.repository,
    href: chosen.href,
    size: chosen.size,
    digest: placed.digest,
    head: { size: head.end, sha256: sha256(head.control) },
    reason: chosen.reason,
    ...aboutPackage({
      license: undefined,
      source: fields.get("source") ?? chosen.name,
      vendor: fields.get("maintainer"),
    }),
    ...(chosen.unsignedRepository ? { unsigned: true as const } : {}),
  };
  return { locked, source: packageSource(chosen, placed, []), path: pathOf(locked), head: head.control };
}

function readHead(
  heads: Heads,
  of: Headed,
  guess: number,
  check: (head: DebHead) => Promise<void>,
  context: ResolveContext,
): Promise<DebHead> {
  return heads.read(of, guess, (bytes) => readDebHead(bytes, of.id), check, context.signal);
}

async function prepare(
  set: PackageSetSpec,
  chosen: ChosenPackage[],
  context: ResolveContext,
): ReturnType<SetFormat<string>["prepare"]> {
  const heads = new Heads(context.cacheDir);
  const prepared = await forEachPackage(chosen, (item) => look(set, item, heads, context));
  const rings = new Map<string, KeyRing>();
  for (const repository of set.repositories) {
    const ring = await repositoryKeys(repository, context);
    if (ring) rings.set(repository.id, ring);
  }
  return { prepared, extra: { keys: {}, keyPins: pinsOf(rings) } };
}

async function prepareLocked(
  set: PackageSetSpec,
  facts: PackageSetFacts,
  context: ResolveContext,
): Promise<Prepared<string>[]> {
  const heads = new Heads(context.cacheDir);
  return forEachPackage(facts.packages, async (locked) => {
    const repository = set.repositories.find(({ id }) => id === locked.repository);
    if (repository?.uris === undefined)
      throw new AirgapError(
        "spec",
        `The lock takes packages of ${set.name} from the repository ${locked.repository}, which the spec does not name any more`,
      );
    const base = placeOf(context.baseDir, repository.uris);
    const places = placesBelow([base], locked.href, `the lock's ${locked.id}`);
    const [algorithm = "", value = ""] = locked.digest.split(":");
    const from = {
      id: locked.id,
      places,
      http: repositoryHttp(repository, context),
      size: locked.size,
      checksum: { algorithm, value },
    };
    const check = async ({ control }: DebHead): Promise<void> => {
      if (sha256(control) !== locked.head.sha256)
        throw new AirgapError(
          "corrupt",
          `${locked.id} is not the package of the lock: expected a control file with sha256 ${locked.head.sha256}, found ${sha256(control)}`,
        );
    };
    const head = await readHead(heads, from, locked.head.size, check, context);
    return {
      locked,
      source: packageSource(from, { digest: locked.digest }, []),
      path: pathOf(locked),
      head: head.control,
    };
  });
}

function metadata(set: PackageSetSpec, _facts: unknown, { prefix, packages }: Tree<string>): TreeMetadata {
  const entries = packages.map(({ locked, path, head }) => {
    const [algorithm = "", value = ""] = locked.digest.split(":");
    return { filename: path, size: locked.size, checksum: { algorithm, value }, control: head };
  });
  const made = makeDebMetadata(set.name, set.arch, entries);
  const release = Buffer.from(made.release);
  return {
    files: [
      fileFromBytes(`${prefix}Packages`, "text/plain", made.packages),
      fileFromBytes(`${prefix}Packages.gz`, "application/gzip", made.packagesGz),
      fileFromBytes(`${prefix}Release`, "text/plain", release),
    ],
    toSign: [
      { path: `${prefix}InRelease`, content: release, inline: true },
      { path: `${prefix}Release.gpg`, content: release },
    ],
  };
}

export const debFormat: SetFormat<string> = {
  mediaType: DEB,
  closures,
  prepare,
  prepareLocked,
  metadata,
  clientFiles: aptFiles,
};
