import { createHash } from "node:crypto";
import { AirgapError } from "../../errors.ts";
import { fileFromBytes } from "../../lock/artifact.ts";
import type { CarriedModule, LockedPackage, PackageSetFacts } from "../../lock/package-facts.ts";
import type { ResolveContext } from "../../lock/resolved.ts";
import type { PackageSetSpec } from "../../lock/spec.ts";
import { aboutPackage } from "../about.ts";
import type { Prepared, SetFormat, Tree, TreeMetadata } from "../format.ts";
import { globRegExp } from "../glob.ts";
import { Heads } from "../heads.ts";
import { readInstalled } from "../installed-file.ts";
import { pinsOf } from "../key-pins.ts";
import type { KeyRing } from "../keys.ts";
import { placesBelow } from "../locations.ts";
import { datesOf } from "../metadata-dates.ts";
import { named } from "../mirrors.ts";
import { forEachPackage, type Part, packageSource, placePackage } from "../prepare.ts";
import { repositoryHttp } from "../repository-http.ts";
import { rolesOf } from "../roles.ts";
import type { ChosenPackage, Closure } from "../types.ts";
import { joined, modulesYaml } from "./carried.ts";
import { repoFiles } from "./client-files.ts";
import { parseRpm, type RpmHeaders, Tag } from "./header.ts";
import { inspectRpm, type RpmFacts } from "./inspect.ts";
import { parseInstalledRpms } from "./installed.ts";
import { Modules } from "./modules.ts";
import { findBases, openRepository, repositoryKeys } from "./open.ts";
import { makeRepodata, rpmFileName } from "./repodata.ts";
import type { RpmRepository } from "./repository.ts";
import { solve } from "./solve.ts";
import { checkTarget } from "./target.ts";

const RPM = "application/x-rpm";
/** Most headers are smaller; a larger one costs a second request. */
const FIRST_BYTES = 32 << 10;

async function closures(set: PackageSetSpec, context: ResolveContext): Promise<Closure[]> {
  const text = await readInstalled(set, context.baseDir);
  const installed =
    text === undefined ? { packages: [], capabilities: [] } : parseInstalledRpms(text, set.installed ?? "");
  const repositories: RpmRepository[] = [];
  try {
    for (const repository of set.repositories)
      repositories.push(await named(repository.id, openRepository(repository, set, context)));
    const paths = new Set(
      (await Promise.all(repositories.map((repository) => repository.requiredPaths()))).flat(),
    );
    for (const repository of repositories) repository.wantedPaths = paths;
    const warn = (message: string): void => context.emit({ type: "warning", message });
    const modules = await Modules.read(repositories, set.arch, set.for, warn);
    const found: Closure[] = [];
    for (const { role, install } of rolesOf(set)) {
      const options = {
        set: set.name,
        role,
        install,
        repositories,
        modules,
        arch: set.arch,
        recommends: set.recommends === true,
      };
      const closure = await solve({
        ...options,
        installed: installed.packages,
        hostCapabilities: installed.capabilities,
        emit: context.emit,
      });
      closure.dates = datesOf(repositories);
      if (modules.any) closure.modules = modules.carried(new Set(closure.packages.map(({ id }) => id)));
      found.push(closure);
    }
    return found;
  } finally {
    await Promise.all(repositories.map((repository) => repository.close()));
  }
}

function mayBeUnsigned(set: PackageSetSpec, { name, id }: ChosenPackage): boolean {
  return (set.unsigned ?? []).some(
    (pattern) => globRegExp(pattern).test(name) || globRegExp(pattern).test(id),
  );
}

interface Looked {
  prepared: Prepared<RpmHeaders>;
  facts: RpmFacts;
}

async function look(
  set: PackageSetSpec,
  chosen: ChosenPackage,
  keys: KeyRing,
  heads: Heads,
  context: ResolveContext,
): Promise<Looked> {
  let facts: RpmFacts | undefined;
  const headers = await heads.read(
    chosen,
    FIRST_BYTES,
    (bytes) => parseRpm(bytes, chosen.id),
    async (parsed) => {
      facts = await inspectRpm({
        headers: parsed,
        expected: chosen,
        keys,
        mayBeUnsigned: mayBeUnsigned(set, chosen),
        what: chosen.id,
      });
    },
    context.signal,
  );
  if (facts === undefined) throw new AirgapError("corrupt", `${chosen.id} was not looked at`);
  checkTarget(set.for, chosen.id, facts);
  const placed = await placePackage(chosen, context);
  const head = { size: headers.end, sha256: headDigest(headers) };
  const locked: LockedPackage = {
    id: chosen.id,
    name: chosen.name,
    version: chosen.version,
    arch: chosen.arch,
    repository: chosen.repository,
    href: chosen.href,
    ...(chosen.base === undefined ? {} : { base: chosen.base }),
    size: chosen.size,
    digest: placed.digest,
    head,
    reason: chosen.reason,
    ...(chosen.alternative === undefined ? {} : { alternative: chosen.alternative }),
    ...aboutPackage({
      license: headers.main.string(Tag.license),
      source: headers.main.string(Tag.sourceRpm),
      vendor: headers.main.string(Tag.vendor),
    }),
    ...(facts.signature ? { signature: facts.signature } : { unsigned: true as const }),
  };
  const source = packageSource(chosen, placed, partsOf(headers, facts.payload));
  return { prepared: { locked, source, path: pathOf(locked, headers), head: headers }, facts };
}

const headDigest = (headers: RpmHeaders): string => createHash("sha256").update(headers.region).digest("hex");

function partsOf(headers: RpmHeaders, payload: RpmFacts["payload"]): Part[] {
  const header: Part = {
    what: "header",
    from: headers.start,
    to: headers.end,
    algorithm: "sha256",
    value: headDigest(headers),
  };
  return payload ? [header, { what: "payload", from: headers.end, ...payload }] : [header];
}

const pathOf = (locked: LockedPackage, headers: RpmHeaders): string =>
  `${locked.unsigned ? "unsigned/" : ""}Packages/${rpmFileName(headers)}`;

async function prepare(
  set: PackageSetSpec,
  chosen: ChosenPackage[],
  context: ResolveContext,
  closures: Closure[],
): ReturnType<SetFormat<RpmHeaders>["prepare"]> {
  const rings = new Map<string, KeyRing>();
  const used = new Set(chosen.map(({ repository }) => repository));
  for (const repository of set.repositories)
    if (used.has(repository.id)) rings.set(repository.id, await repositoryKeys(repository, set, context));
  const heads = new Heads(context.cacheDir);
  const looked = await forEachPackage(chosen, (item) =>
    look(set, item, rings.get(item.repository) as KeyRing, heads, context),
  );
  const keys: Record<string, string> = {};
  for (const [id, ring] of rings)
    for (const [i, { armored }] of ring.files.entries())
      keys[`keys/${id.replace(/[^\w.-]/g, "_")}${i === 0 ? "" : `-${i + 1}`}.asc`] = armored;
  const labelled = looked.some(({ facts }) => facts.modularityLabel !== undefined);
  const known = closures.flatMap((closure) => (closure.modules ? [closure.modules] : []));
  const spared = set.repositories.some(({ id, moduleHotfixes }) => moduleHotfixes && used.has(id));
  const modules = joined(known);
  const extra = {
    keys,
    keyPins: pinsOf(rings),
    ...(labelled || spared || known.length > 0 ? { moduleHotfixes: true as const } : {}),
    ...(modules.length > 0 ? { modules } : {}),
  };
  return { prepared: looked.map(({ prepared }) => prepared), extra };
}

async function prepareLocked(
  set: PackageSetSpec,
  facts: PackageSetFacts,
  context: ResolveContext,
): Promise<Prepared<RpmHeaders>[]> {
  const heads = new Heads(context.cacheDir);
  const bases = new Map<string, { bases: string[]; http: ReturnType<ResolveContext["http"]> }>();
  for (const id of new Set(facts.packages.map(({ repository }) => repository))) {
    const repository = set.repositories.find((candidate) => candidate.id === id);
    if (repository === undefined)
      throw new AirgapError(
        "spec",
        `The lock takes packages of ${set.name} from the repository ${id}, which the spec does not name any more`,
      );
    bases.set(id, {
      bases: (await findBases(repository, set, context)).bases,
      http: repositoryHttp(repository, context),
    });
  }
  return forEachPackage(facts.packages, async (locked) => {
    const at = bases.get(locked.repository) as { bases: string[]; http: ReturnType<ResolveContext["http"]> };
    const within = locked.base === undefined ? at.bases : [locked.base];
    const places = placesBelow(within, locked.href, `the lock's ${locked.id}`);
    const [algorithm = "", value = ""] = locked.digest.split(":");
    const from = { id: locked.id, places, http: at.http, size: locked.size, checksum: { algorithm, value } };
    const check = async (parsed: RpmHeaders): Promise<void> => {
      if (headDigest(parsed) !== locked.head.sha256)
        throw new AirgapError(
          "corrupt",
          `${locked.id} is not the package of the lock: expected a header with sha256 ${locked.head.sha256}, found ${headDigest(parsed)}`,
        );
    };
    const headers = await heads.read(
      from,
      locked.head.size,
      (bytes) => parseRpm(bytes, locked.id),
      check,
      context.signal,
    );
    const source = packageSource(from, { digest: locked.digest }, partsOf(headers, undefined));
    return { locked, source, path: pathOf(locked, headers), head: headers };
  });
}

/** Signed packages in the tree itself; those without a signature in a second repository, whose metadata alone are signed. */
function metadata(
  set: PackageSetSpec,
  facts: { modules?: CarriedModule[] },
  tree: Tree<RpmHeaders>,
): TreeMetadata {
  const made: TreeMetadata = { files: [], toSign: [] };
  for (const unsigned of [false, true]) {
    const own = tree.packages.filter(({ locked }) => (locked.unsigned === true) === unsigned);
    if (unsigned && own.length === 0) continue;
    const folder = `${tree.prefix}${unsigned ? "unsigned/" : ""}`;
    const listed = own.map(({ locked, path, head }) => {
      const [algorithm = "", value = ""] = locked.digest.split(":");
      return {
        href: path.replace(/^unsigned\//, ""),
        size: locked.size,
        checksum: { algorithm, value },
        headers: head,
      };
    });
    checkNames(set, listed);
    const ids = new Set(own.map(({ locked }) => locked.id));
    const modules = modulesYaml(facts.modules ?? [], ids, new Set(own.map(({ locked }) => locked.name)));
    const { repomd, files } = makeRepodata(listed, modules === undefined ? {} : { modules });
    for (const { path, bytes } of files)
      made.files.push(fileFromBytes(`${folder}${path}`, "application/gzip", bytes));
    made.files.push(fileFromBytes(`${folder}repodata/repomd.xml`, "application/xml", repomd));
    made.toSign.push({ path: `${folder}repodata/repomd.xml.asc`, content: repomd });
  }
  return made;
}

function checkNames(set: PackageSetSpec, listed: { href: string }[]): void {
  const seen = new Set<string>();
  for (const { href } of listed) {
    if (seen.has(href))
      throw new AirgapError(
        "conflict",
        `Package set ${set.name} has two packages that would both be called ${href}`,
      );
    seen.add(href);
  }
}

export const rpmFormat: SetFormat<RpmHeaders> = {
  mediaType: RPM,
  closures,
  prepare,
  prepareLocked,
  metadata,
  clientFiles: repoFiles,
};
