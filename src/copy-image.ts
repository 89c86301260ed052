import {
  type AttachedCopy,
  Copier,
  type CopyTotals,
  graphOf,
  planOf,
  readContent,
  stillBroken,
} from "./copy.ts";
import { AirgapError, isAirgapError } from "./errors.ts";
import type { Emit } from "./events.ts";
import type { Descriptor } from "./oci/descriptor.ts";
import type { Digest } from "./oci/digest.ts";
import { childrenOf } from "./oci/manifest.ts";
import { isForeignLayer, isIndexType, isManifestLike } from "./oci/media-types.ts";
import { formatPlatform, matchesPlatform, type Platform } from "./oci/platform.ts";
import { danglingWarning, foreignWarning } from "./transport/left-out.ts";
import type { Destination, Source } from "./transport/types.ts";

/** One image on its way. */
export interface CopyPlan {
  root: Descriptor;
  attached: AttachedCopy[];
  /** Everything that these reach. */
  content: Descriptor[];
  /** The destination has the root under its names. */
  rootPresent?: boolean;
}

export interface CopyImageOptions {
  source: Source;
  /** The tag, name or digest in the source. */
  reference: string;
  destination: Destination;
  /** Names at the destination; none = the digest alone. */
  tags: string[];
  /** The digest that the destination asks for. */
  expect?: Digest | undefined;
  /** Copy an index whole; else its child for `platform`. */
  all: boolean;
  platform: Platform;
  foreignLayers: boolean;
  /** The source as a destination, where both are in one registry: blobs are mounted, not moved. */
  mountFrom?: Destination | undefined;
  /** Looks at what is going to be copied before the first byte, and gives back what is left to do. */
  check?: ((plan: CopyPlan) => Promise<CopyPlan>) | undefined;
  /** Finds what is attached to manifests; absent where the destination cannot hold it. */
  findAttached?: (source: Source, subjects: Digest[], signal?: AbortSignal) => Promise<AttachedCopy[]>;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

/** What `airgap copy --json` prints. */
export interface CopyImageResult {
  source: string;
  destination: string;
  digest: Digest;
  mediaType: string;
  size: number;
  attached: number;
  totals: CopyTotals;
}

/** The child of an index for a platform. @throws AirgapError `not-found` */
async function childFor(
  source: Source,
  index: Descriptor,
  platform: Platform,
  signal?: AbortSignal,
): Promise<Descriptor> {
  const content = await readContent(source, index, signal);
  const children = content.kind === "index" ? content.manifests : [];
  const runnable = children.filter(
    (child) => child.platform !== undefined && child.platform.os !== "unknown",
  );
  if (children.length === 0)
    throw new AirgapError(
      "not-found",
      `${source.name} has no image for ${formatPlatform(platform)}; its index is empty`,
    );
  // A set of artifacts has no platforms to choose from.
  if (runnable.length === 0) return index;
  const child = runnable.find((each) => each.platform && matchesPlatform(each.platform, platform));
  if (child) return isIndexType(child.mediaType) ? await childFor(source, child, platform, signal) : child;
  const offered = [
    ...new Set(runnable.flatMap((each) => (each.platform ? [formatPlatform(each.platform)] : []))),
  ];
  throw new AirgapError(
    "not-found",
    `${source.name} has no image for ${formatPlatform(platform)}; it has ${offered.join(", ")}`,
    {
      suggestions: [`--platform ${offered[0]}`, "add --all, which copies the whole index"],
    },
  );
}

async function foreignLayersOf(
  source: Source,
  graph: Descriptor[],
  signal?: AbortSignal,
): Promise<Descriptor[]> {
  const found: Descriptor[] = [];
  for (const each of graph.filter(({ mediaType }) => isManifestLike(mediaType)))
    found.push(...childrenOf(await readContent(source, each, signal)));
  return found.filter(({ mediaType }) => isForeignLayer(mediaType));
}

/** Without what is listed and not there: a registry's cleanup may have deleted it. */
async function present(source: Source, attached: AttachedCopy[], emit: Emit): Promise<AttachedCopy[]> {
  const kept: AttachedCopy[] = [];
  for (const each of attached) {
    try {
      await graphOf(source, each.descriptor);
      kept.push(each);
    } catch (error) {
      if (!isAirgapError(error, "not-found")) throw error;
      emit(danglingWarning(source.name, each));
    }
  }
  return kept;
}

/** Copies one image, whole or for one platform, with what is attached to what is copied. */
export async function copyImage(options: CopyImageOptions): Promise<CopyImageResult> {
  const { source, destination, signal, emit } = options;
  const found = await source.resolve(options.reference, signal);
  const chosen =
    isIndexType(found.mediaType) && !options.all
      ? await childFor(source, found, options.platform, signal)
      : found;
  const { mediaType, digest, size } = chosen;
  if (options.expect !== undefined && options.expect !== digest) {
    throw new AirgapError(
      "conflict",
      `${source.name} has ${digest}, and the destination asks for ${options.expect}`,
      {
        suggestions:
          isIndexType(found.mediaType) && !options.all
            ? ["add --all, which copies the whole index"]
            : ["leave out the digest in the destination"],
      },
    );
  }
  const root: Descriptor = { mediaType, digest, size };
  const carries = (descriptor: Descriptor): boolean =>
    options.foreignLayers || !isForeignLayer(descriptor.mediaType);
  const graph = await graphOf(source, root, carries);
  const left = options.foreignLayers ? [] : await foreignLayersOf(source, graph, signal);
  if (left.length > 0) emit(foreignWarning(options.reference || source.name, left, "--foreign-layers"));
  const subjects = graph
    .filter((descriptor) => isManifestLike(descriptor.mediaType))
    .map((descriptor) => descriptor.digest);
  const alongside = await present(
    source,
    (await options.findAttached?.(source, subjects, signal)) ?? [],
    emit,
  );
  const graphs = [
    graph,
    ...(await Promise.all(alongside.map(({ descriptor }) => graphOf(source, descriptor, carries)))),
  ];
  const whole: CopyPlan = { root, attached: alongside, content: graphs.flat() };
  const { attached, rootPresent } = (await options.check?.(whole)) ?? whole;
  const names = new Map(graphs.flat().map((each) => [each.digest, source.name]));
  emit({ type: "plan", ...planOf(graphs), names });
  const copier = new Copier({ emit, signal });
  for (const known of options.mountFrom ? [root, ...attached.map((each) => each.descriptor)] : []) {
    await copier.knows({ root: known, source, destination: options.mountFrom as Destination, carries });
  }
  await copier.copy({
    name: destination.name,
    root,
    tags: options.tags,
    source,
    destination,
    carries,
    attached,
    ...(rootPresent ? { rootPresent } : {}),
  });
  if (copier.broken.size > 0) throw stillBroken(copier, destination.name);
  return {
    source: source.name,
    destination: destination.name,
    digest,
    mediaType,
    size,
    attached: attached.length,
    totals: copier.totals,
  };
}
