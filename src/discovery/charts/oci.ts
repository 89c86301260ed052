import { AirgapError, isAirgapError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Manifest, parseManifest } from "../../oci/manifest.ts";
import { parseReference } from "../../oci/reference.ts";
import type { Source } from "../../transport/types.ts";
import { MAX_ARCHIVE, type Packaged } from "./helm-repository.ts";
import { newest } from "./semver.ts";

/** https://helm.sh/docs/topics/registries/ */
const CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/** Opens a repository of a registry, with the user's credentials and mirrors. */
export type OpenRepository = (host: string, repository: string) => Source;

async function read(
  source: Source,
  descriptor: Descriptor,
  limit: number,
  signal?: AbortSignal,
): Promise<Buffer> {
  if (descriptor.size > limit)
    throw new AirgapError(
      "protocol",
      `${source.name} has ${descriptor.size} bytes, more than a chart may have`,
    );
  const chunks: Buffer[] = [];
  for await (const chunk of (await source.fetch(
    descriptor,
    signal ? { signal } : {},
  )) as AsyncIterable<Buffer>)
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A chart's version as a tag, which cannot contain `+`. */
const tagOf = (version: string): string => version.replaceAll("+", "_");

async function chooseTag(
  source: Source,
  range: string | undefined,
  url: string,
  signal?: AbortSignal,
): Promise<string> {
  const exact = range !== undefined && /^v?\d+\.\d+\.\d+/.test(range) ? tagOf(range) : undefined;
  if (exact !== undefined || source.tags === undefined) return exact ?? "latest";
  const tags = (await source.tags(signal)).map((tag) => tag.replaceAll("_", "+"));
  const version = newest(tags, range);
  if (version === undefined)
    throw new AirgapError(
      "not-found",
      `${url} has no version that fits '${range ?? "*"}'; it has ${tags.slice(-10).join(", ")}`,
    );
  return tagOf(version);
}

/** Manifests of one index that are searched for a chart. */
const MAX_CHILDREN = 64;

/**
 * The manifest with a chart in it: the tag's own, or one in its index, since some publishers keep images
 * and chart under one tag.
 * @throws AirgapError `spec` when there is no chart
 */
async function findChart(
  source: Source,
  root: Descriptor,
  what: string,
  signal: AbortSignal | undefined,
): Promise<{ manifest: Manifest; layer: Descriptor }> {
  const waiting = [root];
  for (let seen = 0; seen < MAX_CHILDREN; seen++) {
    const descriptor = waiting.shift();
    if (descriptor === undefined) break;
    const manifest = parseManifest(
      await read(source, descriptor, 4 << 20, signal),
      descriptor.mediaType,
      what,
    );
    if (manifest.kind === "index") waiting.push(...manifest.manifests);
    else {
      const layer = manifest.layers.find(({ mediaType }) => mediaType === CHART_LAYER);
      if (layer !== undefined) return { manifest, layer };
    }
  }
  throw new AirgapError("spec", `${what} is not a Helm chart: no layer of type ${CHART_LAYER}`);
}

/**
 * Fetches a chart from a registry: `oci://host/path/name`, with a tag or digest after it or a
 * separate version or range.
 * @throws AirgapError
 */
export async function fetchFromRegistry(
  open: OpenRepository,
  url: string,
  range: string | undefined,
  signal?: AbortSignal,
): Promise<Packaged> {
  const { host, repository, tag, digest } = parseReference(url.replace(/^oci:\/\//, ""));
  const source = open(host, repository);
  const reference = digest ?? tag ?? (await chooseTag(source, range, url, signal));
  const root = await source.resolve(reference, signal).catch((error: unknown) => {
    throw isAirgapError(error, "not-found")
      ? new AirgapError("not-found", `${url} has no ${reference}`, { cause: error })
      : error;
  });
  const { manifest, layer } = await findChart(source, root, `${url}:${reference}`, signal);
  const version =
    manifest.annotations?.["org.opencontainers.image.version"] ?? reference.replaceAll("_", "+");
  return {
    bytes: await read(source, layer, MAX_ARCHIVE, signal),
    version,
    origin: `oci://${host}/${repository}:${reference}`,
  };
}
