import { AirgapError, isAirgapError } from "../errors.ts";
import { type Item, itemsOf, type Lock } from "../lock/lock.ts";
import type { LockedPackage } from "../lock/package-facts.ts";
import type { Digest } from "../oci/digest.ts";
import { chainsTo } from "../packages/report.ts";
import { nearest } from "../schema/nearest.ts";
import { readLockOf, readLockUnless } from "./diff.ts";
import { layOut } from "./layout.ts";
import { BundleReader, type Opening } from "./reader.ts";
import { licenseOf, type ManifestReader, platformsOf, sizeOf } from "./sizes.ts";

export interface ListedItem {
  kind: Item["kind"];
  name: string;
  digest: Digest;
  /** Of every blob that it reaches; blobs that items share count for each. Absent in a lock of its own. */
  bytes?: number;
  /** Of images, as far as their manifests tell. */
  platforms?: string[];
  /** Of images: what their label says. */
  license?: string;
  /** Number of packages of a set. */
  packages?: number;
  origins: string[];
  wantedBy: string[];
}

/** A package of a set. */
export interface ListedPackage {
  set: string;
  name: string;
  version: string;
  arch: string;
  bytes: number;
  digest: Digest;
  repository: string;
  /** What asked for it: the spec's words, or a package. */
  reason: string;
}

/** A file in an item that is not an image. */
export interface ListedFile {
  kind: Item["kind"];
  item: string;
  name: string;
  bytes: number;
  digest: Digest;
}

export interface Listing {
  name: string;
  lockDigest: Digest;
  platforms: string[];
  siteName?: string;
  kubernetes?: string[];
  items: ListedItem[];
  packages: ListedPackage[];
  /** Absent in a lock of its own. */
  files?: ListedFile[];
  blobs: number;
  /** Bytes of all blobs. */
  size: number;
  /** Bytes of the whole tar. */
  tarBytes: number;
}

/** Contents of a bundle or lock; reads the lock, and a bundle's manifests. */
export async function listBundle(path: string, signal?: AbortSignal, opening?: Opening): Promise<Listing> {
  if (path.endsWith(".json")) return listLock(readLockOf(path));
  const bundle = await BundleReader.openUnless(signal, path, opening);
  try {
    return listReader(bundle);
  } finally {
    bundle.close();
  }
}

/** Contents of an open bundle. */
export function listReader(bundle: BundleReader): Listing {
  const read = memo((digest: Digest) => unlessDamaged(() => bundle.read(digest)));
  return { ...listLock(bundle.lock, read), files: filesIn(bundle) };
}

/** @param read manifests and configs by digest; without it, sizes and platforms of items are not known */
export function listLock(lock: Lock, read?: ManifestReader): Listing {
  const { lockDigest, size } = layOut(lock);
  return {
    name: lock.name,
    lockDigest,
    platforms: lock.platforms,
    ...(lock.siteName ? { siteName: lock.siteName } : {}),
    ...(lock.kubernetes ? { kubernetes: lock.kubernetes } : {}),
    items: lock.items.map((item) => listed(lock, item, read)),
    packages: itemsOf(lock, "packages").flatMap(({ name, facts }) =>
      facts.packages.map((each) => listedPackage(name, each)),
    ),
    blobs: lock.blobs.length,
    size: lock.blobs.reduce((sum, blob) => sum + blob.size, 0),
    tarBytes: size,
  };
}

function listed(lock: Lock, item: Item, read: ManifestReader | undefined): ListedItem {
  const { kind, name, root, origins, wantedBy } = item;
  const known = read?.(root.digest) === undefined ? undefined : read;
  const image = kind === "image" ? known : undefined;
  const platforms = (image && unlessDamaged(() => platformsOf(item, image))) ?? [];
  const license = image && unlessDamaged(() => licenseOf(item, image));
  return {
    ...{ kind, name, digest: root.digest },
    ...(known ? { bytes: sizeOf(lock, item, known) } : {}),
    ...(platforms.length > 0 ? { platforms } : {}),
    ...(license ? { license } : {}),
    ...(kind === "packages" ? { packages: item.facts.packages.length } : {}),
    origins,
    wantedBy,
  };
}

const listedPackage = (
  set: string,
  { name, version, arch, size, digest, repository, reason }: LockedPackage,
): ListedPackage => ({
  ...{ set, name, version, arch, bytes: size, digest, repository },
  reason: reason.by === undefined ? reason.relation : `${reason.by} requires ${reason.relation}`,
});

function filesIn(bundle: BundleReader): ListedFile[] {
  return bundle.lock.items
    .filter(({ kind }) => kind !== "image" && kind !== "packages")
    .flatMap((item) =>
      (unlessDamaged(() => bundle.files(item)) ?? []).map(({ title, layer }) => ({
        kind: item.kind,
        item: item.name,
        name: title,
        bytes: layer.size,
        digest: layer.digest,
      })),
    );
}

/** What is damaged is not listed; `verify` says why. */
function unlessDamaged<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isAirgapError(error)) return undefined;
    throw error;
  }
}

function memo<K, V>(make: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    if (!known.has(key)) known.set(key, make(key));
    return known.get(key) as V;
  };
}

/**
 * Why a package is in a bundle's sets: lines from what was asked for to it; empty when no set has it.
 * @param asked a name, an id, or a pattern of these
 */
export async function packageChains(path: string, asked: string, signal?: AbortSignal): Promise<string[]> {
  const lock = await readLockUnless(signal, path);
  return itemsOf(lock, "packages").flatMap(({ name, facts }) =>
    chainsTo(
      {
        name,
        packages: facts.packages,
        roles: Object.entries(facts.roles).map(([role, entry]) => ({ role, ...entry })),
      },
      asked,
    ),
  );
}

/**
 * Who asked for an item: by its name, its short name or a digest.
 * @throws AirgapError `not-found` with the nearest name
 */
export function why(
  path: string,
  listing: Listing,
  item: string,
  canonical: string | undefined,
): ListedItem[] {
  const found = listing.items.filter(
    ({ name, digest }) =>
      name === item || name === canonical || digest === item || name.startsWith(`${canonical ?? item}:`),
  );
  if (found.length > 0) return found;
  const near = nearestItem(listing, item, canonical);
  throw new AirgapError("not-found", `The bundle has no item and no package ${item}`, {
    suggestions: [near ? `airgap list ${path} --why ${near}` : `airgap list ${path}`],
  });
}

/** The item or package whose name is most similar, the last part of image names alone too. */
function nearestItem(
  { items, packages }: Listing,
  item: string,
  canonical: string | undefined,
): string | undefined {
  const names = [...items.map(({ name }) => name), ...packages.map(({ name }) => name)];
  const whole = nearest(item, names) ?? (canonical === undefined ? undefined : nearest(canonical, names));
  if (whole !== undefined) return whole;
  const short = new Map(
    items.map(({ name }) => [name.replace(/^.*\//, "").replace(/[:@].*$/, ""), name] as const),
  );
  const near = nearest(item.replace(/:.*$/, ""), [...short.keys()]);
  return near === undefined ? undefined : short.get(near);
}
