import { createHash } from "node:crypto";
import { AirgapError } from "../../errors.ts";
import type { ResolveContext } from "../../lock/resolved.ts";
import type { PackageSetSpec } from "../../lock/spec.ts";
import { describePlace, readPlace } from "../../transport/url.ts";
import { type KeyRing, readKeys } from "../keys.ts";
import { below, placeOf } from "../locations.ts";
import { fromMirrors } from "../mirrors.ts";
import { verifyDetached } from "../openpgp.ts";
import { repositoryHttp } from "../repository-http.ts";
import { parseMetalink, parseMirrorlist, parseRepomd, type RepomdData } from "./repomd.ts";
import { RpmRepository } from "./repository.ts";

export type RepositorySpec = PackageSetSpec["repositories"][number];

const MAX_REPOMD = 16 << 20;
const MAX_LIST = 4 << 20;

/**
 * Puts the variables in that the spec gives. The architecture is the set's; anything else, such as
 * `$releasever`, differs between systems in ways that can't be told from their names.
 * @throws AirgapError `spec`
 */
function substitute(text: string, repository: RepositorySpec, arch: string): string {
  const known: Record<string, string> = { basearch: arch, arch, ...repository.vars };
  return text.replace(/\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?/g, (_, name: string) => {
    const value = known[name];
    if (value !== undefined) return value;
    throw new AirgapError(
      "spec",
      `Repository ${repository.id}: the variable $${name} in ${text} has no value`,
      {
        suggestions: [`vars: { ${name}: "…" }  # in the spec, beside the URL`],
      },
    );
  });
}

/** The keys of a repository, from files or URLs. */
export function repositoryKeys(
  repository: RepositorySpec,
  set: PackageSetSpec,
  context: ResolveContext,
): Promise<KeyRing> {
  const places = (repository.gpgkey ?? []).map((key) =>
    placeOf(context.baseDir, substitute(key, repository, set.arch)),
  );
  return readKeys(places, repositoryHttp(repository, context), context);
}

interface Bases {
  /** Where the spec points to: the repository itself, or its list of mirrors. */
  place: string;
  /** In the order to try. */
  bases: string[];
  /** What repomd.xml must be, where a metalink says so. */
  sha256: string[];
}

/** Where the repository is. */
export async function findBases(
  repository: RepositorySpec,
  set: PackageSetSpec,
  context: ResolveContext,
): Promise<Bases> {
  const { baseurl, mirrorlist, metalink, id } = repository;
  if (baseurl !== undefined) {
    const base = placeOf(context.baseDir, substitute(baseurl, repository, set.arch));
    return { place: base, bases: [base], sha256: [] };
  }
  const list = metalink ?? mirrorlist;
  if (list === undefined)
    throw new AirgapError(
      "spec",
      `Repository ${id} of ${set.name} has neither baseurl nor mirrorlist nor metalink`,
    );
  const place = placeOf(context.baseDir, substitute(list, repository, set.arch));
  const bytes = await readPlace(
    repositoryHttp(repository, context),
    place,
    MAX_LIST,
    undefined,
    context.signal,
  );
  const text = bytes.toString("utf8");
  const what = `${metalink === undefined ? "mirrorlist" : "metalink"} ${describePlace(place)}`;
  const isMetalink = /^\s*(<\?xml|<metalink)/.test(text);
  const read = isMetalink ? await parseMetalink(bytes, what) : { urls: parseMirrorlist(text), sha256: [] };
  const bases = read.urls.map((url) =>
    substitute(url.replace(/\/repodata\/repomd\.xml$/, ""), repository, set.arch),
  );
  if (bases.length === 0) throw new AirgapError("protocol", `The ${what} names no mirror`);
  return { place, bases, sha256: read.sha256 };
}

/** Opens a repository of a set: finds its metadata, checks them as the spec wants, makes or takes its index. */
export async function openRepository(
  repository: RepositorySpec,
  set: PackageSetSpec,
  context: ResolveContext,
): Promise<RpmRepository> {
  const found = await findBases(repository, set, context);
  return fromMirrors(
    found.bases,
    (base) => openMirror(base, found, repository, set, context),
    context.signal,
  );
}

/** All metadata come from one mirror, since another may have another state. */
async function openMirror(
  base: string,
  { place, bases, sha256 }: Bases,
  repository: RepositorySpec,
  set: PackageSetSpec,
  context: ResolveContext,
): Promise<RpmRepository> {
  const { signal } = context;
  const http = repositoryHttp(repository, context);
  const read = (href: string, limit: number): Promise<Buffer> =>
    readPlace(http, below(base, href, "the spec"), limit, undefined, signal);
  const bytes = await read("repodata/repomd.xml", MAX_REPOMD);
  const digest = createHash("sha256").update(bytes).digest("hex");
  const what = `repomd.xml of ${repository.id} (${describePlace(base)})`;
  if (sha256.length > 0 && !sha256.includes(digest))
    throw new AirgapError(
      "corrupt",
      `${what} is not what its metalink says: expected sha256 ${sha256[0]}, found ${digest}`,
    );
  if (repository.repoGpgcheck) {
    const signature = await read("repodata/repomd.xml.asc", MAX_LIST);
    await verifyDetached({
      content: bytes,
      signature,
      keys: await repositoryKeys(repository, set, context),
      what,
    });
  }
  const metadata = await parseRepomd(bytes, what);
  if (!metadata.has("primary")) throw noPrimary(what, metadata);
  return RpmRepository.open({
    id: repository.id,
    place,
    priority: repository.priority ?? 99,
    bases: [base, ...bases.filter((other) => other !== base)],
    revision: digest,
    metadata,
    moduleHotfixes: repository.moduleHotfixes === true,
    http,
    indexDir: `${context.cacheDir}/packages`,
    signal,
  });
}

function noPrimary(what: string, metadata: Map<string, RepomdData>): AirgapError {
  const sqlite = metadata.has("primary_db");
  const only = sqlite ? " but only primary_db (sqlite), which airgap does not read" : "";
  return new AirgapError("protocol", `${what} lists no primary metadata (XML)${only}`, {
    suggestions: sqlite
      ? ["createrepo_c DIR  # on the repository's server: it writes primary.xml too", "name another mirror"]
      : ["check the URL: repomd.xml must list primary.xml, as createrepo_c writes it"],
  });
}
