import { gzip } from "pako";
import { parseFile } from "../discovery/charts/chart.ts";
import { type ChartFiles, readArchive } from "../discovery/charts/tree.ts";
import { get, stringAt } from "../discovery/documents/node.ts";
import { type ItemOf, itemsOf } from "../lock/lock.ts";
import { corrupt } from "../lock/shape.ts";
import { checkedTitle, TITLE, type TitledLayer } from "../lock/titles.ts";
import { canonicalJson } from "../oci/canonical-json.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import { MediaType } from "../oci/media-types.ts";
import type { BundleReader } from "./reader.ts";
import { END_OF_ARCHIVE, entryHeader, padded } from "./tar.ts";

/** https://helm.sh/docs/topics/registries/#specifying-the-version-of-the-helm-chart-using-oci */
const CONFIG = "application/vnd.cncf.helm.config.v1+json";
const LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/** What helm takes of an archive by default. Bytes. */
const MAX_ARCHIVE = 100 << 20;
/** Of Chart.yaml, what helm shows of a chart in a repository. */
const SHOWN = ["apiVersion", "appVersion", "description", "type", "kubeVersion", "home", "icon"];

/** A chart of a bundle, by what the lock says of it. */
export interface ChartOfBundle {
  bundle: BundleReader;
  item: ItemOf<"chart">;
  /** Its own name and version, as Chart.yaml has them. */
  name: string;
  version: string;
  /** The same for the same files, wherever they were packed. */
  identity: string;
}

/** A chart as helm takes it: an archive, and an artifact of a registry. */
export interface PackedChart {
  archive: Buffer;
  /** What an index.yaml says of it. */
  metadata: Record<string, string>;
  /** The artifact's manifest. */
  root: Descriptor;
  /** Manifest, config and archive. */
  blobs: Map<Digest, Buffer>;
}

/** A chart's version as a tag, which takes no `+`. */
export const chartTag = (version: string): string => version.replaceAll("+", "_");

export const chartFileName = ({ name, version }: Pick<ChartOfBundle, "name" | "version">): string =>
  `${name}-${version}.tgz`.replaceAll("/", "_");

/** A chart item's files that are the chart itself: its archive, or each of its files. */
export function isOfChart({ title }: TitledLayer): boolean {
  return title.startsWith("chart/") || (title.endsWith(".tgz") && !title.includes("/"));
}

export function chartsOf(bundle: BundleReader): ChartOfBundle[] {
  return itemsOf(bundle.lock, "chart").flatMap((item): ChartOfBundle[] => {
    const { rendered } = item.facts;
    if (rendered === undefined) return [];
    const files = bundle.files(item).filter(isOfChart);
    if (files.length === 0) return [];
    const identity = files.map(({ title, layer }) => `${title} ${layer.digest}`).join("\n");
    return [{ bundle, item, name: rendered.chart, version: rendered.version, identity }];
  });
}

/** @throws AirgapError `corrupt` when the item holds no chart */
export async function packChart(chart: ChartOfBundle): Promise<PackedChart> {
  const { bundle, item, name, version } = chart;
  const files = bundle.files(item).filter(isOfChart);
  const whole = files.find(({ title }) => title.endsWith(".tgz") && !title.includes("/"));
  const tree: ChartFiles = new Map(
    whole === undefined
      ? files.map(({ title, layer }) => [title.slice("chart/".length), bundle.read(layer.digest)])
      : [],
  );
  const archive = whole === undefined ? pack(name, tree) : bundle.read(whole.layer.digest, MAX_ARCHIVE);
  const what = `chart ${item.name} of ${bundle.path}`;
  const root = parseFile(whole === undefined ? tree : await readArchive(archive, what), "Chart.yaml", what);
  if (get(root) === undefined) throw corrupt(`${what} has no Chart.yaml`);
  const shown = SHOWN.flatMap((key): [string, string][] => {
    const value = stringAt(root, key);
    return value === undefined ? [] : [[key, value]];
  });
  const metadata = { apiVersion: "v1", ...Object.fromEntries(shown), name, version };
  return { archive, metadata, ...artifactOf(archive, metadata) };
}

/** The same files give the same bytes: no time, no owner, in the order of their names. */
function pack(name: string, tree: ChartFiles): Buffer {
  const parts: Buffer[] = [];
  const folder = checkedTitle(name.replaceAll("/", "_"));
  for (const [path, bytes] of [...tree].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    parts.push(
      // The header is written as Latin-1: each character is a byte of the name's UTF-8.
      entryHeader(Buffer.from(`${folder}/${path}`).toString("latin1"), bytes.length),
      bytes,
      Buffer.alloc(padded(bytes.length) - bytes.length),
    );
  return Buffer.from(gzip(Buffer.concat([...parts, END_OF_ARCHIVE]), { level: 9 }));
}

function artifactOf(archive: Buffer, metadata: Record<string, string>): Pick<PackedChart, "root" | "blobs"> {
  const config = Buffer.from(canonicalJson(metadata));
  const describe = (mediaType: string, bytes: Buffer): Descriptor => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  const { name = "", version = "", description } = metadata;
  const manifest = Buffer.from(
    canonicalJson({
      schemaVersion: 2,
      mediaType: MediaType.ociManifest,
      config: describe(CONFIG, config),
      layers: [describe(LAYER, archive)],
      annotations: {
        [TITLE]: name,
        "org.opencontainers.image.version": version,
        ...(description === undefined ? {} : { "org.opencontainers.image.description": description }),
      },
    }),
  );
  const blobs = new Map([config, archive, manifest].map((bytes) => [digestOf(bytes), bytes]));
  return { root: describe(MediaType.ociManifest, manifest), blobs };
}
