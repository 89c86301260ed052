import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { layOut } from "../bundle/layout.ts";
import { BundleReader, type Opening } from "../bundle/reader.ts";
import { setIsFor } from "../bundle/stones.ts";
import type { AirgapError } from "../errors.ts";
import { type Item, type ItemOf, itemsOf, type Lock } from "../lock/lock.ts";
import type { PackageSetFacts } from "../lock/package-facts.ts";
import { corrupt } from "../lock/shape.ts";
import type { RewriteLocation } from "../names/rewrite.ts";
import type { Digest } from "../oci/digest.ts";
import type { Upload } from "../plan/step.ts";
import { readRegion, slice } from "../transport/region.ts";
import { type CarriedPolicy, carriedPolicy } from "../trust/carried.ts";
import { completeDelta, type FetchBlobs } from "./base-blobs.ts";
import { ARCHIVE_HEAD, type EtcdRelease, readEtcdRelease } from "./etcd/release.ts";

/** Most bytes of a manifest, which people write by hand. */
const MAX_TEXT = 32 * 1024 * 1024;

export interface ManifestFile {
  path: string;
  text: string;
  /** Where the bundle's file holds its images. */
  sites: RewriteLocation[];
}

/** The documents behind the name of a network or an add-on. */
export interface Manifests {
  /** In the order in which they are applied. */
  files: ManifestFile[];
  /** The namespace of a chart's objects that name none. */
  namespace?: string;
}

/** A region of the bundle's file. */
export interface FileRegion {
  digest: Digest;
  /** A delta leaves it out; the serving host has it in its full bundle. */
  onHost?: true;
  /** The bundle's file; absent where it is the bundle itself. */
  from?: string;
  /** The files that it lies in, when it is in volumes. */
  parts?: readonly { path: string; size: number }[];
  offset: number;
  size: number;
}

/** airgap itself as an archive: in the bundle, or on this machine. */
export interface PackedTool extends FileRegion {
  name: string;
  /** Undefined when it is in the bundle. */
  file?: string;
}

export interface PackageSet {
  name: string;
  facts: PackageSetFacts;
}

/** What a plan needs to know of a bundle. */
export interface Bundle {
  path: string;
  /** The files that it lies in, when it is in volumes. */
  parts?: readonly { path: string; size: number }[];
  /** Bytes. */
  size: number;
  /** Bytes of the full bundle, when this is a delta. */
  fullSize?: number;
  lockDigest: Digest;
  lock: Lock;
  /** Manifests and charts by `as:` name. */
  manifests: Record<string, Manifests>;
  packageSets: PackageSet[];
  /** The tool for each architecture, as Node calls them: `x64`. */
  tools: Record<string, PackedTool>;
  /** Files by their name. */
  files: Record<string, FileRegion>;
  /** Signatures: what follows the bundle's name in the name of the file, and its text. */
  signatures?: { suffix: string; text: string }[];
  /** What this machine asks of signatures, for the host that serves. */
  policy?: CarriedPolicy | undefined;
  /** The release of its `etcd` file; absent when it has none. */
  etcd?: EtcdRelease;
}

function titled(reader: BundleReader, item: Item): { title: string; place: FileRegion }[] {
  return reader.files(item).map(({ title, layer }) => {
    const found = reader.locate(layer.digest) ?? onHost(reader, layer.digest);
    if (found === undefined) throw lacks(reader, item, title);
    if (!("file" in found)) return { title, place: found };
    const { file, offset, size } = found;
    const parts = file.volumes.length > 0 ? { parts: file.volumes } : {};
    return { title, place: { digest: layer.digest, from: file.path, ...parts, offset, size } };
  });
}

/** What a delta counts on is on the host that serves, where the full bundle will have it at this place. */
function onHost({ delta, lock }: BundleReader, digest: Digest): FileRegion | undefined {
  if (!delta?.blobs.some((blob) => blob.digest === digest)) return undefined;
  const entry = layOut(lock).byDigest.get(digest);
  return entry && { digest, offset: entry.offset, size: entry.size, onHost: true };
}

const lacks = ({ path }: BundleReader, { kind, name }: Item, title: string): AirgapError =>
  corrupt(`${kind} ${name} of ${path} lacks ${title}`, [`airgap verify ${path}`]);

/** The facts that the resolver wrote into the lock about an item. */
function manifestsOf(reader: BundleReader, item: ItemOf<"manifests" | "chart">): Manifests {
  const { apply, sites, rendered } = item.facts;
  const places = new Map(titled(reader, item).map(({ title, place }) => [title, place]));
  const files = apply.map((title): ManifestFile => {
    const place = places.get(title);
    if (place === undefined) throw lacks(reader, item, title);
    return {
      path: title,
      text: reader.read(place.digest, MAX_TEXT).toString("utf8"),
      sites: Object.hasOwn(sites, title) ? (sites[title] ?? []) : [],
    };
  });
  return { files, ...(rendered ? { namespace: rendered.namespace } : {}) };
}

/** An object without a prototype, so that a name like `constructor` finds nothing. */
const byName = <T>(entries: [string, T][]): Record<string, T> =>
  Object.assign(Object.create(null) as Record<string, T>, Object.fromEntries(entries));

function toolsOf(reader: BundleReader): Bundle["tools"] {
  return byName(
    itemsOf(reader.lock, "self").flatMap((item) => {
      const architecture = /-linux-([a-z0-9]+)\.tar\.gz$/.exec(item.name)?.[1];
      const [layer] = titled(reader, item);
      if (architecture === undefined || layer === undefined) return [];
      const { from } = layer.place;
      // What lies in a base here is sent as an archive of its own.
      const file = from === undefined || from === reader.path ? {} : { file: from };
      return [[architecture, { name: item.name, ...layer.place, ...file }]];
    }),
  );
}

const filesIn = (reader: BundleReader): Bundle["files"] =>
  byName(
    itemsOf(reader.lock, "file").flatMap((item) => {
      const [layer] = titled(reader, item);
      return layer ? [[item.name, layer.place]] : [];
    }),
  );

/**
 * Reads what an installation needs from a bundle; images and packages stay in it.
 * @param fetchBlobs asks the serving host for documents that a delta counts on
 * @throws AirgapError `disk`, `corrupt`
 */
export async function readBundle(
  path: string,
  signal?: AbortSignal,
  opening?: Opening,
  fetchBlobs?: FetchBlobs,
): Promise<Bundle> {
  const reader = await BundleReader.openUnless(signal, path, opening);
  try {
    if (reader.delta && fetchBlobs) await completeDelta(reader, fetchBlobs);
    const { lock, layout, fileSize } = reader;
    const files = filesIn(reader);
    const { etcd } = files;
    return {
      path: reader.path,
      size: fileSize,
      ...(reader.file.volumes.length > 0 ? { parts: reader.file.volumes } : {}),
      ...(reader.delta ? { fullSize: layOut(lock).size } : {}),
      lockDigest: layout.lockDigest,
      lock,
      manifests: byName(
        itemsOf(lock, "manifests", "chart").map((item) => [item.name, manifestsOf(reader, item)]),
      ),
      packageSets: itemsOf(lock, "packages").map(({ name, facts }) => ({ name, facts })),
      tools: toolsOf(reader),
      files,
      ...(etcd && !etcd.onHost ? { etcd: readEtcdRelease(path, headOf(reader, etcd.digest)) } : {}),
      signatures: reader.proof.signatures.map(({ file }) => ({
        suffix: basename(file).slice(basename(reader.path).length),
        text: readFileSync(file, "utf8"),
      })),
      policy: opening?.trust && carriedPolicy(opening.trust),
    };
  } finally {
    reader.close();
  }
}

/** The first bytes of a file. */
function headOf(reader: BundleReader, digest: Digest): Buffer {
  const region = reader.region(digest);
  return region ? readRegion(slice(region, 0, Math.min(ARCHIVE_HEAD, region.size))) : Buffer.alloc(0);
}

/** What is sent to a host of a bundle: all of it, or a region of it. */
export const uploadOf = (
  bundle: Pick<Bundle, "path" | "parts">,
  {
    from = bundle.path,
    parts = from === bundle.path ? bundle.parts : undefined,
    offset,
    size,
  }: Omit<FileRegion, "digest">,
  names: Pick<Upload, "to" | "beside">,
): Upload => ({ from, ...(parts ? { parts } : {}), offset, size, ...names });

/** The name of the bundle's file on hosts: other content has another name. */
export function bundleFileName({ lock, lockDigest }: Pick<Bundle, "lock" | "lockDigest">): string {
  return `${lock.name}-${lockDigest.slice(7, 19)}.tar`;
}

/** `site.tar`: the file name that the user knows. */
export const localName = ({ path }: Bundle): string => basename(path);

/** How well a set fits a version: the smaller the better; undefined when it is for another one. */
function fitOf({ facts }: PackageSet, version: string): number | undefined {
  if (facts.kubernetes !== undefined) return facts.kubernetes === version ? 0 : undefined;
  if (setIsFor(facts, version)) return 1;
  return facts.packages.some(({ name }) => name === "kubelet") ? 3 : 2;
}

/** The bundle as hosts of one Kubernetes version use it: only package sets that are for it, the best first. */
export function bundleAt(bundle: Bundle, version: string): Bundle {
  const fits = bundle.packageSets.flatMap((set) => {
    const fit = fitOf(set, version);
    return fit === undefined ? [] : [{ set, fit }];
  });
  return { ...bundle, packageSets: fits.toSorted((a, b) => a.fit - b.fit).map(({ set }) => set) };
}
