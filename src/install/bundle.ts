import { basename } from "node:path";
import { BundleReader } from "../bundle/reader.ts";
import type { AirgapError } from "../errors.ts";
import { type Item, type ItemOf, itemsOf, type Lock } from "../lock/lock.ts";
import type { PackageSetFacts } from "../lock/package-facts.ts";
import { corrupt } from "../lock/shape.ts";
import type { RewriteLocation } from "../names/rewrite.ts";
import type { Digest } from "../oci/digest.ts";

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
  /** Bytes. */
  size: number;
  lockDigest: Digest;
  lock: Lock;
  /** Manifests and charts by `as:` name. */
  manifests: Record<string, Manifests>;
  packageSets: PackageSet[];
  /** The tool for each architecture, as Node calls them: `x64`. */
  tools: Record<string, PackedTool>;
  /** Files by their name. */
  files: Record<string, FileRegion>;
}

function titled(reader: BundleReader, item: Item): { title: string; place: FileRegion }[] {
  return reader.files(item).map(({ title, layer }) => {
    const region = reader.region(layer.digest);
    if (region === undefined) throw lacks(reader, item, title);
    return { title, place: { digest: layer.digest, offset: region.offset, size: region.size } };
  });
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
      return architecture && layer ? [[architecture, { name: item.name, ...layer.place }]] : [];
    }),
  );
}

/**
 * Reads what an installation needs from a bundle; images and packages stay in it.
 * @throws AirgapError `disk`, `corrupt`
 */
export async function readBundle(path: string, signal?: AbortSignal): Promise<Bundle> {
  const reader = await BundleReader.openUnless(signal, path);
  try {
    const { lock, layout, fileSize } = reader;
    return {
      path,
      size: fileSize,
      lockDigest: layout.lockDigest,
      lock,
      manifests: byName(
        itemsOf(lock, "manifests", "chart").map((item) => [item.name, manifestsOf(reader, item)]),
      ),
      packageSets: itemsOf(lock, "packages").map(({ name, facts }) => ({ name, facts })),
      tools: toolsOf(reader),
      files: byName(
        itemsOf(lock, "file").flatMap((item) => {
          const [layer] = titled(reader, item);
          return layer ? [[item.name, layer.place]] : [];
        }),
      ),
    };
  } finally {
    reader.close();
  }
}

/** The name of the bundle's file on hosts: other content has another name. */
export function bundleFileName({ lock, lockDigest }: Pick<Bundle, "lock" | "lockDigest">): string {
  return `${lock.name}-${lockDigest.slice(7, 19)}.tar`;
}

/** `site.tar`: the file name that the user knows. */
export const localName = ({ path }: Bundle): string => basename(path);
