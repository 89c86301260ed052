import { readLockUnless } from "../../bundle/diff.ts";
import type { Opening } from "../../bundle/reader.ts";
import { isAirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { count } from "../../format.ts";
import { run } from "../../host/process.ts";
import type { Lock } from "../../lock/lock.ts";
import { type LandingRules, type NameLayout, parseTarget } from "../../names/landing.ts";
import { parseMapRule } from "../../names/map-rule.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { mapConcurrent } from "../../transport/map-concurrent.ts";
import { listRepositories } from "../../transport/registry/catalog.ts";
import { Registries } from "../../transport/registry/registries.ts";
import { HarborApi } from "../harbor/api.ts";
import { planPush } from "./plan.ts";

export interface PrunePlanOptions {
  /** Bundles and locks whose names stay. */
  locks: string[];
  /** `host[:port][/prefix]` */
  target: string;
  layout: NameLayout;
  map: string[];
  insecure?: boolean | undefined;
  caFile?: string | undefined;
  opening?: Opening | undefined;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

/** A tag at a target that no lock names. */
export interface UnnamedTag {
  /** `harbor.site/registry.k8s.io/pause:3.8` */
  name: string;
  /** Absent where the registry does not tell. */
  digest?: Digest;
  /** Whether a lock names something else in its repository: then it is likely an older version. */
  known: boolean;
}

/** What `--prune-plan` of a push finds. */
export interface PrunePlan {
  target: string;
  /** Names of the locks that were looked at. */
  locks: string[];
  /** Tags that were looked at. */
  tags: number;
  unnamed: UnnamedTag[];
}

/** `sha256-<hex>`, with cosign's endings: what is attached to a digest. */
const ATTACHED = /^(sha256|sha512)-([0-9a-f]{64,128})(?:\.(?:sig|att|sbom))?$/;

/** What the locks keep at a target: tags by repository, and every digest that they carry. */
class Kept {
  readonly tags = new Map<string, Set<string>>();
  readonly digests = new Set<Digest>();

  add(lock: Lock, rules: LandingRules): void {
    for (const { digest } of lock.blobs) this.digests.add(digest);
    for (const { root, attached } of planPush(lock, rules))
      for (const { repository, reference } of [root, ...attached]) {
        const tags = this.tags.get(repository) ?? new Set();
        this.tags.set(repository, tags.add(reference));
      }
  }

  has(repository: string, tag: string): boolean {
    const tags = this.tags.get(repository);
    if (tags?.has(tag)) return true;
    // Signatures, and lists of referrers of registries without the API, stay with what they are attached to.
    const [, algorithm, hex] = ATTACHED.exec(tag) ?? [];
    const digest = `${algorithm}:${hex}`;
    return tags !== undefined && isDigest(digest) && this.digests.has(digest);
  }
}

/**
 * The tags at a target that no lock names. It reads, and changes nothing.
 * @throws AirgapError as a push, and `unsupported` or `unauthorized` where the registry does not list its repositories
 */
export async function prunePlan(options: PrunePlanOptions): Promise<PrunePlan> {
  const { insecure, caFile, emit, signal, opening } = options;
  const target = parseTarget(options.target);
  const kept = new Kept();
  const locks: string[] = [];
  for (const path of options.locks) {
    const lock = await readLockUnless(signal, path, opening);
    locks.push(lock.name);
    kept.add(lock, {
      ...{ target, layout: options.layout, map: options.map.map(parseMapRule) },
      ...(lock.siteName ? { siteName: lock.siteName } : {}),
    });
  }
  const registries = Registries.forUser(run, {
    trust: (asked) =>
      asked === target.host ? { ...(insecure ? { insecure } : {}), ...(caFile ? { caFile } : {}) } : {},
    emit,
  });
  try {
    const client = registries.client(target.host);
    // A wrong login is shown to a Harbor once.
    if (await client.greetsAsHarbor()) await HarborApi.meet(client, undefined, signal);
    const all = await listRepositories(client, signal);
    const { host, prefix } = target;
    const names = all.filter((name) => prefix === "" || name === prefix || name.startsWith(`${prefix}/`));
    emit({
      type: "phase",
      name: "Reading",
      detail: `tags of ${count(names.length, "repository", "repositories")} of ${host}`,
    });
    let tags = 0;
    const found = await mapConcurrent(
      names,
      async (repository, stop) => {
        const source = registries.source(host, repository);
        const listed = (await source.tags(stop).catch(noneIfGone)).toSorted();
        tags += listed.length;
        const unnamed = listed.filter((tag) => !kept.has(repository, tag));
        return await Promise.all(
          unnamed.map(async (tag): Promise<UnnamedTag> => {
            const digest = await source.head(tag, stop).catch(undefinedIfGone);
            return {
              name: `${host}/${repository}:${tag}`,
              ...(digest ? { digest } : {}),
              known: kept.tags.has(repository),
            };
          }),
        );
      },
      signal,
    );
    return { target: options.target, locks, tags, unnamed: found.flat() };
  } finally {
    await registries.close();
  }
}

function noneIfGone(error: unknown): string[] {
  if (isAirgapError(error, "not-found")) return [];
  throw error;
}

function undefinedIfGone(error: unknown): undefined {
  if (isAirgapError(error, "not-found", "refused", "unauthorized")) return undefined;
  throw error;
}
