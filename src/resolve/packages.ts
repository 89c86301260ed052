import { resolve as resolvePath } from "node:path";
import { AirgapError } from "../errors.ts";
import { count } from "../format.ts";
import { redactUrl } from "../http.ts";
import { type ArtifactFile, fileFromBytes, makeArtifact } from "../lock/artifact.ts";
import { itemsOf, type Lock, type PackagesItem } from "../lock/lock.ts";
import type { MetadataDates, PackageSetFacts } from "../lock/package-facts.ts";
import type { Resolution, ResolveContext, Resolved } from "../lock/resolved.ts";
import type { BundleSpec, PackageSetSpec } from "../lock/spec.ts";
import { canonicalJson } from "../oci/canonical-json.ts";
import { digestOf } from "../oci/digest.ts";
import type { Prepared, SetFormat, Tree, UnsignedFacts } from "../packages/format.ts";
import { checkPins } from "../packages/key-pins.ts";
import { checkFits } from "../packages/limit.ts";
import { checkDates } from "../packages/metadata-dates.ts";
import { packagesOf } from "../packages/roles.ts";
import {
  readRepositoryKey,
  type Signatures,
  signAll,
  signaturesFit,
  type ToSign,
} from "../packages/signing.ts";
import type { Closure } from "../packages/types.ts";
import { isRemote } from "../transport/url.ts";

/** Path of our public key in every set. */
export const REPOSITORY_KEY = "keys/airgap.asc";

async function formatOf(set: PackageSetSpec): Promise<SetFormat<unknown>> {
  const format =
    set.format === "rpm"
      ? (await import("../packages/rpm/set.ts")).rpmFormat
      : (await import("../packages/deb/set.ts")).debFormat;
  return format as SetFormat<unknown>;
}

/** What hosts of each role get, from metadata alone: no package is fetched. */
export async function resolveClosures(set: PackageSetSpec, context: ResolveContext): Promise<Closure[]> {
  return (await formatOf(set)).closures(set, context);
}

/** The package sets of a spec: one artifact each, with packages, metadata, keys and signatures. */
export async function resolvePackages(
  spec: Pick<BundleSpec, "packages" | "repositoryKey">,
  context: ResolveContext,
): Promise<Resolution> {
  const resolved: Resolved[] = [];
  for (const set of spec.packages) {
    context.emit({ type: "phase", name: "packages", detail: set.name });
    resolved.push(await resolveSet(set, spec.repositoryKey, context));
  }
  return { resolved, images: [] };
}

async function resolveSet(
  set: PackageSetSpec,
  repositoryKey: string | undefined,
  context: ResolveContext,
): Promise<Resolved> {
  const format = await formatOf(set);
  const { facts, prepared, signing } = context.locked
    ? await fromLock(set, format, context)
    : await fromRepositories(set, format, context);
  const trees = treesOf(set, facts, prepared);
  const files: ArtifactFile[] = trees.flatMap(({ prefix, packages }) =>
    packages.map((item) => packageFile(item, prefix, format.mediaType)),
  );
  const toSign: ToSign[] = [];
  for (const tree of trees) {
    const metadata = format.metadata(set, facts, tree);
    files.push(...metadata.files);
    toSign.push(...metadata.toSign);
  }
  const signed = await signatures(set, toSign, signing, repositoryKey, context);
  for (const { path } of toSign)
    files.push(fileFromBytes(path, "application/pgp-signature", Buffer.from(signed.signatures[path] ?? "")));
  files.push(fileFromBytes(REPOSITORY_KEY, "application/pgp-keys", Buffer.from(signed.publicKey)));
  for (const [path, armored] of Object.entries(facts.keys))
    files.push(fileFromBytes(path, "application/pgp-keys", Buffer.from(armored)));
  files.push(...format.clientFiles(set, facts, trees, signed.publicKey));
  const { kubernetes: _, ...unmarked } = facts;
  const all: PackageSetFacts = {
    ...unmarked,
    ...(set.kubernetes ? { kubernetes: set.kubernetes } : {}),
    signing: signed,
  };
  const wantedBy = [`packages ${set.name}`];
  return makeArtifact({
    kind: "packages",
    name: set.name,
    files,
    origins: origins(set),
    wantedBy,
    facts: all,
  });
}

interface Start {
  facts: UnsignedFacts;
  prepared: Prepared[];
  /** Signatures that exist already. */
  signing?: { signatures: Signatures; mustFit: boolean };
}

function itemOf(lock: Lock | undefined, name: string): PackagesItem | undefined {
  return lock && itemsOf(lock, "packages").find((item) => item.name === name);
}

async function fromLock(
  set: PackageSetSpec,
  format: SetFormat<unknown>,
  context: ResolveContext,
): Promise<Start> {
  const item = itemOf(context.locked, set.name);
  if (item === undefined)
    throw new AirgapError("spec", `The lock has no package set ${set.name}, which the spec asks for`, {
      suggestions: ["build without --locked, which makes a new lock"],
    });
  const { signing, ...facts } = item.facts;
  return {
    facts,
    prepared: await format.prepareLocked(set, { ...facts, signing }, context),
    signing: { signatures: signing, mustFit: true },
  };
}

async function fromRepositories(
  set: PackageSetSpec,
  format: SetFormat<unknown>,
  context: ResolveContext,
): Promise<Start> {
  const closures = await format.closures(set, context);
  checkFits(set, closures, format.mediaType);
  const chosen = packagesOf(closures);
  context.emit({
    type: "note",
    message: `${set.name}: ${count(chosen.length, "package")} for ${closures.map(({ role }) => role).join(", ")}`,
  });
  const { prepared, extra } = await format.prepare(set, chosen, context, closures);
  const roles = Object.fromEntries(
    closures.map(({ role, asked, packages }) => [role, { asked, packages: packages.map(({ id }) => id) }]),
  );
  const dates = closures[0]?.dates ?? {};
  const found: UnsignedFacts = {
    format: set.format,
    arch: set.arch,
    for: set.for,
    roles,
    packages: prepared.map(({ locked }) => locked),
    ...extra,
  };
  const last = itemOf(context.previous, set.name);
  checkPins(set, extra.keyPins ?? {}, last?.facts.keyPins);
  for (const warning of checkDates(set.name, dates, last?.facts.metadataDates)) context.emit(warning);
  const facts = dated(found, dates, last?.facts);
  return last === undefined
    ? { facts, prepared }
    : { facts, prepared, signing: { signatures: last.facts.signing, mustFit: false } };
}

/** The facts with the dates of their metadata; where nothing else is new, as the last lock has them, so that it stays. */
function dated(found: UnsignedFacts, dates: MetadataDates, last?: PackageSetFacts): UnsignedFacts {
  const { signing: _, metadataDates: before, ...rest } = last ?? {};
  const kept = before && canonicalJson(rest) === canonicalJson(found) ? before : dates;
  return Object.keys(kept).length > 0 ? { ...found, metadataDates: kept } : found;
}

/** One repository with everything, and one for each role, so that hosts see only the packages of their role. */
function treesOf(set: PackageSetSpec, facts: UnsignedFacts, prepared: Prepared[]): Tree[] {
  const trees: Tree[] = [{ id: `airgap-${set.name}`, prefix: "", packages: prepared }];
  const byId = new Map(prepared.map((item) => [item.locked.id, item]));
  const roles = Object.entries(facts.roles);
  if (roles.length === 1 && roles[0]?.[0] === "all") return trees;
  for (const [role, { packages }] of roles) {
    const own = packages.map((id) => byId.get(id)).filter((item) => item !== undefined);
    trees.push({ id: `airgap-${set.name}-${role}`, prefix: `roles/${role}/`, packages: own });
  }
  return trees;
}

function packageFile({ locked, source, path }: Prepared, prefix: string, mediaType: string): ArtifactFile {
  return { title: `${prefix}${path}`, mediaType, digest: locked.digest, size: locked.size, source };
}

async function signatures(
  set: PackageSetSpec,
  toSign: ToSign[],
  present: Start["signing"],
  repositoryKey: string | undefined,
  context: ResolveContext,
): Promise<Signatures> {
  const userKey =
    repositoryKey === undefined
      ? undefined
      : await readRepositoryKey(resolvePath(context.baseDir, repositoryKey));
  const userPublic = userKey?.toPublic().armor();
  const usable =
    present !== undefined &&
    (present.mustFit ||
      userPublic === undefined ||
      digestOf(userPublic) === digestOf(present.signatures.publicKey));
  if (present !== undefined && usable && (await signaturesFit(toSign, present.signatures)))
    return present.signatures;
  if (present?.mustFit) {
    throw new AirgapError(
      "corrupt",
      `The metadata made for ${set.name} differ from the metadata that the lock's signatures are for`,
      {
        suggestions: [
          "if the spec or the version of airgap has changed since, build without --locked, which makes a new lock",
        ],
      },
    );
  }
  return signAll(set.name, toSign, userKey);
}

function origins(set: PackageSetSpec): string[] {
  const given = set.repositories.map(
    ({ baseurl, metalink, mirrorlist, uris }) => baseurl ?? metalink ?? mirrorlist ?? uris ?? "",
  );
  return [...new Set(given.map((place) => (isRemote(place) ? redactUrl(place) : place)))];
}
