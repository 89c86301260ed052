import type { FileTree, OpenBlob, Repository } from "../../../registry/library.ts";
import {
  type ChartOfBundle,
  chartFileName,
  chartsOf,
  chartTag,
  type PackedChart,
  packChart,
} from "../../bundle/packed-chart.ts";
import type { BundleReader } from "../../bundle/reader.ts";
import { AirgapError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Digest, digestOf, hexOf, isDigest } from "../../oci/digest.ts";
import { isRepository, isTag } from "../../oci/reference.ts";
import { Generated } from "./generated.ts";

/** Charts are packed when one of them is first asked for. */
type Packed = ChartOfBundle &
  Pick<PackedChart, "root" | "metadata"> & { digests: ReadonlySet<Digest>; archive: Descriptor };

/**
 * The charts of bundles as helm reads them: `charts/index.yaml` with archives beside it, and the
 * repositories `charts/NAME` of a registry, each version a tag. NAME is the chart's own name, and
 * what the spec calls it.
 */
export class ChartShelf implements FileTree {
  readonly #charts: ChartOfBundle[];
  readonly #names: Map<string, Map<string, ChartOfBundle>>;
  readonly #generated = new Generated();
  #packed: Promise<Map<ChartOfBundle, Packed>> | undefined;

  /** @throws AirgapError `conflict` when bundles have two charts of one name and version */
  constructor(bundles: BundleReader[]) {
    this.#charts = bundles.flatMap(chartsOf);
    this.#names = byName(this.#charts);
  }

  /** `charts/kube-vip`, sorted. */
  names(): string[] {
    return [...this.#names.keys()].sort();
  }

  /** Names as helm asks for them below `charts/`, each with its versions. */
  versions(): { name: string; version: string }[] {
    return this.names().flatMap((name) =>
      [...(this.#names.get(name)?.keys() ?? [])].map((version) => ({
        name: name.replace(/^charts\//, ""),
        version: version.replaceAll("_", "+"),
      })),
    );
  }

  repository(name: string): Repository | undefined {
    const versions = this.#names.get(name);
    return versions && new ChartRepository(versions, () => this.#pack(), this.#generated);
  }

  async list(path: string): Promise<string[] | undefined> {
    if (path !== "charts" || this.#charts.length === 0) return undefined;
    return [...(await this.#files()).keys()].sort();
  }

  async file(path: string): Promise<Descriptor | undefined> {
    return path.startsWith("charts/") && this.#charts.length > 0
      ? (await this.#files()).get(path.slice("charts/".length))
      : undefined;
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    return this.#generated.open(digest);
  }

  #pack(): Promise<Map<ChartOfBundle, Packed>> {
    this.#packed ??= this.#packAll().catch((error: unknown) => {
      this.#packed = undefined;
      throw error;
    });
    return this.#packed;
  }

  async #packAll(): Promise<Map<ChartOfBundle, Packed>> {
    const packed = new Map<ChartOfBundle, Packed>();
    for (const chart of this.#charts) {
      const { root, metadata, blobs, archive } = await packChart(chart);
      for (const bytes of blobs.values()) this.#generated.add(bytes);
      const file = { mediaType: "application/gzip", digest: digestOf(archive), size: archive.length };
      packed.set(chart, { ...chart, root, metadata, digests: new Set(blobs.keys()), archive: file });
    }
    return packed;
  }

  /** Every file of the folder, index.yaml last. JSON is YAML too. */
  async #files(): Promise<Map<string, Descriptor>> {
    const files = new Map<string, Descriptor>();
    const entries = new Map<string, object[]>();
    for (const chart of (await this.#pack()).values()) {
      const { archive, metadata, name } = chart;
      const file = chartFileName(chart);
      if (files.has(file)) continue;
      files.set(file, archive);
      const listed = {
        ...metadata,
        digest: hexOf(archive.digest),
        urls: [encodeURIComponent(file)],
      };
      entries.set(name, [...(entries.get(name) ?? []), listed]);
    }
    const index = Buffer.from(
      JSON.stringify({ apiVersion: "v1", entries: Object.fromEntries(entries) }, null, 2),
    );
    const digest = this.#generated.add(index);
    return files.set("index.yaml", { mediaType: "application/yaml", digest, size: index.length });
  }
}

/** By repository and tag. A spec's own names come first: they are unique in a bundle. */
function byName(charts: ChartOfBundle[]): Map<string, Map<string, ChartOfBundle>> {
  const names = new Map<string, Map<string, ChartOfBundle>>();
  const add = (name: string, chart: ChartOfBundle, own: boolean): void => {
    const [repository, tag] = [`charts/${name}`, chartTag(chart.version)];
    if (!isRepository(repository) || !isTag(tag)) return;
    const tags = names.get(repository) ?? new Map<string, ChartOfBundle>();
    const other = tags.get(tag);
    if (own && other && other.identity !== chart.identity) throw clash(`${repository}:${tag}`, other, chart);
    if (!other) tags.set(tag, chart);
    names.set(repository, tags);
  };
  for (const chart of charts) add(chart.item.name, chart, true);
  for (const chart of charts) add(chart.name, chart, false);
  return names;
}

function clash(name: string, a: ChartOfBundle, b: ChartOfBundle): AirgapError {
  const [one, two] = [a.bundle.path, b.bundle.path];
  return new AirgapError("conflict", `${name} would be two different charts: of ${one} and of ${two}`, {
    suggestions: [`airgap serve ${one}`, `airgap serve ${two} --listen 127.0.0.1:5001`],
    data: { name, bundles: [one, two] },
  });
}

class ChartRepository implements Repository {
  readonly #versions: Map<string, ChartOfBundle>;
  readonly #pack: () => Promise<Map<ChartOfBundle, Packed>>;
  readonly #generated: Generated;

  constructor(
    versions: Map<string, ChartOfBundle>,
    pack: () => Promise<Map<ChartOfBundle, Packed>>,
    generated: Generated,
  ) {
    this.#versions = versions;
    this.#pack = pack;
    this.#generated = generated;
  }

  async tags(): Promise<string[]> {
    return [...this.#versions.keys()].sort();
  }

  async resolve(reference: string): Promise<Descriptor | undefined> {
    const packed = await this.#own();
    if (isDigest(reference)) return packed.find(({ root }) => root.digest === reference)?.root;
    const chart = this.#versions.get(reference);
    return packed.find(({ item, bundle }) => item === chart?.item && bundle === chart.bundle)?.root;
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    const held = (await this.#own()).some(({ digests }) => digests.has(digest));
    return held ? this.#generated.open(digest) : undefined;
  }

  async referrers(): Promise<Descriptor[]> {
    return [];
  }

  async #own(): Promise<Packed[]> {
    const packed = await this.#pack();
    return [...this.#versions.values()].flatMap((chart) => packed.get(chart) ?? []);
  }
}
