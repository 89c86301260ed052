import { basename } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Overview, OverviewFile, OverviewImage, OverviewSet } from "../../../registry/overview.ts";
import { mergeOverviews } from "../../../registry/overview.ts";
import { type Listing, listReader } from "../../bundle/list.ts";
import type { BundleReader } from "../../bundle/reader.ts";
import { itemsOf } from "../../lock/lock.ts";
import { hostComponent, tryParseReference } from "../../oci/reference.ts";
import type { ChartShelf } from "./charts.ts";

/** What bundles have, for the page. Reads their manifests once. */
export async function overviewOf(bundles: readonly BundleReader[], charts: ChartShelf): Promise<Overview> {
  const parts: Overview[] = [];
  for (const bundle of bundles) {
    parts.push(oneOf(bundle));
    await nextTurn();
  }
  return { ...mergeOverviews(parts), charts: charts.versions() };
}

function oneOf(bundle: BundleReader): Overview {
  const listing = listReader(bundle);
  const images = listing.items.flatMap((item) => (item.kind === "image" ? (imageOf(item) ?? []) : []));
  return {
    bundles: [
      {
        name: listing.name,
        file: basename(bundle.path),
        lockDigest: listing.lockDigest,
        bytes: listing.tarBytes,
        platforms: listing.platforms,
        kubernetes: listing.kubernetes ?? [],
      },
    ],
    images,
    charts: [],
    packageSets: setsOf(bundle),
    files: filesOf(listing, ["file", "self"], ({ name }) => `files/${name}`),
    manifests: filesOf(listing, ["manifests"], ({ item, name }) => `manifests/${item}/${name}`),
    upstreams: [...new Set(images.map(({ name }) => name.slice(0, name.indexOf("/"))))],
  };
}

function imageOf({
  name,
  digest,
  bytes = 0,
  platforms = [],
}: Listing["items"][number]): OverviewImage | undefined {
  const reference = tryParseReference(name);
  if (reference === undefined) return undefined;
  const { host, repository, tag } = reference;
  const end = tag === undefined ? `@${digest}` : `:${tag}`;
  return { name, path: `${hostComponent(host)}/${repository}${end}`, digest, bytes, platforms };
}

function setsOf({ lock }: BundleReader): OverviewSet[] {
  return itemsOf(lock, "packages").map(({ name, facts }) => ({
    name,
    format: facts.format,
    for: facts.for,
    arch: facts.arch,
    bytes: facts.packages.reduce((sum, { size }) => sum + size, 0),
    packages: facts.packages.map((each) => ({
      name: each.name,
      version: each.version,
      arch: each.arch,
      bytes: each.size,
    })),
  }));
}

function filesOf(
  { files = [] }: Listing,
  kinds: string[],
  path: (file: { item: string; name: string }) => string,
): OverviewFile[] {
  return files
    .filter(({ kind }) => kinds.includes(kind))
    .map((file) => ({ path: path(file), bytes: file.bytes, digest: file.digest }));
}
