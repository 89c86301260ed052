import { chartsOf, chartTag, packChart } from "../../bundle/packed-chart.ts";
import type { BundleReader } from "../../bundle/reader.ts";
import { parseTarget } from "../../names/landing.ts";
import type { Digest } from "../../oci/digest.ts";
import { formatReference, isRepository, isTag } from "../../oci/reference.ts";
import type { Source } from "../../transport/types.ts";
import { withMade } from "./made.ts";
import type { PushImage } from "./plan.ts";

/** Charts on their way to a registry, with the content that is made of them. */
export interface PushCharts {
  images: PushImage[];
  digests: ReadonlySet<Digest>;
  /** The bundle, and what was made. */
  source: Source;
}

/**
 * The charts of a bundle as artifacts for `helm pull oci://TARGET/charts/NAME`: NAME is the chart's
 * own name, or the spec's where two charts of one name and version differ.
 */
export async function chartsToPush(bundle: BundleReader, target: string): Promise<PushCharts> {
  const { host, prefix } = parseTarget(target);
  const blobs = new Map<Digest, Buffer>();
  const byPlace = new Map<string, PushImage>();
  for (const chart of chartsOf(bundle)) {
    const packed = await packChart(chart);
    for (const [digest, bytes] of packed.blobs) blobs.set(digest, bytes);
    const tag = chartTag(chart.version);
    for (const name of [chart.name, chart.item.name]) {
      const repository = [prefix, "charts", name].filter(Boolean).join("/");
      if (!isRepository(repository) || !isTag(tag)) continue;
      const to = formatReference({ host, repository, tag });
      const other = byPlace.get(to);
      if (other && other.root.descriptor.digest !== packed.root.digest) continue;
      byPlace.set(to, {
        item: { ...chart.item, root: packed.root },
        from: formatReference({ host: "charts", repository: name, tag }),
        to,
        root: { repository, reference: tag, descriptor: packed.root },
        attached: [],
      });
      break;
    }
  }
  return {
    images: [...byPlace.values()],
    digests: new Set(blobs.keys()),
    source: withMade(bundle.source(), blobs),
  };
}
