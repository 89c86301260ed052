import { basename } from "node:path";
import { BundleReader } from "../bundle/reader.ts";
import { AirgapError, Exit } from "../errors.ts";
import type { Item, Lock } from "../lock/lock.ts";
import { type PackageSetFacts, parseFacts } from "../lock/package-facts.ts";
import type { RewriteSite } from "../names/rewrite.ts";
import type { Digest } from "../oci/digest.ts";
import type { CarriedFacts } from "../resolve/carry.ts";

const TITLE = "org.opencontainers.image.title";
/** A manifest is text that people wrote. Bytes. */
const MAX_TEXT = 32 * 1024 * 1024;

export interface ManifestFile {
  path: string;
  text: string;
  /** Where the images of the bundle stand in it. */
  sites: RewriteSite[];
}

/** What a network's or an add-on's name stands for. */
export interface Manifests {
  /** In the order in which they are applied. */
  files: ManifestFile[];
  /** Where a chart's objects go that name no namespace. */
  namespace?: string;
}

/** A stretch of the bundle's file. */
export interface Place {
  digest: Digest;
  offset: number;
  size: number;
}

/** The tool itself, packed: in the bundle, or beside it on the machine that we run on. */
export interface PackedTool extends Place {
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
  files: Record<string, Place>;
}

function titled(reader: BundleReader, item: Item): { title: string; place: Place }[] {
  const manifest = reader.manifest(item.root, `${item.kind} ${item.name}`);
  const layers = manifest.kind === "manifest" ? manifest.layers : [];
  return layers.flatMap((layer) => {
    const title = layer.annotations?.[TITLE];
    const region = reader.region(layer.digest);
    return title === undefined || region === undefined
      ? []
      : [{ title, place: { digest: layer.digest, offset: region.offset, size: region.size } }];
  });
}

/** The resolver's own words about an item; it wrote them into the lock. */
function manifestsOf(reader: BundleReader, item: Item): Manifests {
  const facts = (item.facts ?? {}) as unknown as Partial<CarriedFacts>;
  const places = new Map(titled(reader, item).map(({ title, place }) => [title, place]));
  const files = (facts.apply ?? []).map((title): ManifestFile => {
    const place = places.get(title);
    if (place === undefined)
      throw new AirgapError("corrupt", `${item.kind} ${item.name} of ${reader.path} lacks ${title}`, {
        exit: Exit.check,
        suggestions: [`airgap verify ${reader.path}`],
      });
    if (place.size > MAX_TEXT)
      throw new AirgapError(
        "corrupt",
        `${title} of ${item.name} has ${place.size} bytes, too many for a manifest`,
        { exit: Exit.check },
      );
    return {
      path: title,
      text: reader.read(place.digest).toString("utf8"),
      sites: facts.sites?.[title] ?? [],
    };
  });
  return { files, ...(facts.rendered?.namespace ? { namespace: facts.rendered.namespace } : {}) };
}

const ofKind = (lock: Lock, ...kinds: Item["kind"][]): Item[] =>
  lock.items.filter(({ kind }) => kinds.includes(kind));

function toolsOf(reader: BundleReader): Bundle["tools"] {
  return Object.fromEntries(
    ofKind(reader.lock, "self").flatMap((item) => {
      const architecture = /-linux-([a-z0-9]+)\.tar\.gz$/.exec(item.name)?.[1];
      const [layer] = titled(reader, item);
      return architecture && layer ? [[architecture, { name: item.name, ...layer.place }]] : [];
    }),
  );
}

/**
 * Reads what installing needs of a bundle; its images and packages stay where they are.
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
      manifests: Object.fromEntries(
        ofKind(lock, "manifests", "chart").map((item) => [item.name, manifestsOf(reader, item)]),
      ),
      packageSets: ofKind(lock, "packages").map(({ name, facts }) => ({
        name,
        facts: parseFacts(facts, name),
      })),
      tools: toolsOf(reader),
      files: Object.fromEntries(
        ofKind(lock, "file").flatMap((item) => {
          const [layer] = titled(reader, item);
          return layer ? [[item.name, layer.place]] : [];
        }),
      ),
    };
  } finally {
    reader.close();
  }
}

/** A name for the bundle's file on hosts: another content has another name. */
export function bundleFileName({ lock, lockDigest }: Pick<Bundle, "lock" | "lockDigest">): string {
  return `${lock.name}-${lockDigest.slice(7, 19)}.tar`;
}

/** `site.tar`, as the user calls it. */
export const localName = ({ path }: Bundle): string => basename(path);
