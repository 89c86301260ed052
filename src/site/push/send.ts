import pLimit from "p-limit";
import { Copier, type CopyJob, type CopyTotals } from "../../copy.ts";
import { AirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { isManifestLike } from "../../oci/media-types.ts";
import { mapConcurrent } from "../../transport/map-concurrent.ts";
import type { Source } from "../../transport/types.ts";
import { type ImageState, isPresent } from "./inventory.ts";
import type { PushImage } from "./plan.ts";
import type { PushTarget } from "./target.ts";

export interface SendOptions {
  target: PushTarget;
  source: Source;
  /** What of a graph the bundle has. */
  carries: (descriptor: Descriptor) => boolean;
  graph: (image: PushImage) => Promise<Descriptor[]>;
  repair: boolean;
  /** Images at a time. */
  concurrency: number;
  emit: Emit;
  signal?: AbortSignal;
}

function jobFor(
  { image, found, attached }: ImageState,
  { target, source, carries, repair }: SendOptions,
): CopyJob {
  const { root } = image;
  return {
    name: image.to,
    root: root.descriptor,
    tags: root.reference === root.descriptor.digest ? [] : [root.reference],
    source,
    destination: target.repository(root.repository),
    carries,
    attached: image.attached.filter((_, i) => repair || !isPresent(attached[i] as ImageState["found"])),
    rootPresent: isPresent(found),
  };
}

/** What a registry took is asked for again: only what it gives out counts. */
async function readBack({ image }: ImageState, { target }: SendOptions, signal: AbortSignal): Promise<void> {
  for (const { repository, reference, descriptor } of [image.root, ...image.attached]) {
    const found = await target.repository(repository).readBack(reference, signal);
    if (found === descriptor.digest) continue;
    throw new AirgapError(
      "corrupt",
      `${target.client.host}/${repository}:${reference} was pushed as ${descriptor.digest}, but reads back as ${found}`,
      {
        suggestions: ["see who else pushes there, then run the same command again"],
        data: { expected: descriptor.digest, found },
      },
    );
  }
}

/** Sends what is to do and reads it back. `states` is all that was found: what is there may be mounted from. */
export async function send(
  todo: ImageState[],
  states: ImageState[],
  options: SendOptions,
): Promise<CopyTotals> {
  const { emit, signal, repair, concurrency, graph } = options;
  const copier = new Copier({ emit, repair, ...(signal ? { signal } : {}) });
  if (todo.length === 0) return copier.totals;
  if (!repair)
    for (const state of states) if (isPresent(state.found)) await copier.knows(jobFor(state, options));
  const ahead = new Map<Digest, number>();
  for (const { image } of todo) for (const { digest, size } of await graph(image)) ahead.set(digest, size);
  emit({ type: "plan", items: ahead.size, bytes: [...ahead.values()].reduce((sum, size) => sum + size, 0) });
  const limit = pLimit(concurrency);
  const one = async (state: ImageState, stop: AbortSignal): Promise<void> => {
    stop.throwIfAborted();
    await copier.copy(jobFor(state, options));
    await readBack(state, options, stop);
    emit({ type: "item", item: state.image.to, state: "done", detail: state.image.root.descriptor.digest });
  };
  await mapConcurrent(todo, (state, stop) => limit(one, state, stop), signal);
  return copier.totals;
}

/** What would be sent: what no image that is there shares, and the target does not know when asked by HEAD. */
export async function pretend(
  todo: ImageState[],
  states: ImageState[],
  { target, graph, signal }: SendOptions,
): Promise<CopyTotals> {
  const { totals } = new Copier();
  const blobsOf = async (image: PushImage): Promise<Descriptor[]> =>
    (await graph(image)).filter(({ mediaType }) => !isManifestLike(mediaType));
  const there = new Set<Digest>();
  for (const { image, found } of states)
    if (isPresent(found)) for (const { digest } of await blobsOf(image)) there.add(digest);
  const asked = new Map<Digest, { repository: string; blob: Descriptor }>();
  for (const { image } of todo) {
    totals.manifests++;
    for (const blob of await blobsOf(image))
      if (!asked.has(blob.digest)) asked.set(blob.digest, { repository: image.root.repository, blob });
  }
  const ask = async (
    { repository, blob }: { repository: string; blob: Descriptor },
    stop: AbortSignal,
  ): Promise<void> => {
    const known =
      there.has(blob.digest) ||
      (!target.isMissing(repository) && (await target.repository(repository).exists(blob, stop)));
    const kind = known ? totals.present : totals.sent;
    kind.blobs++;
    kind.bytes += blob.size;
  };
  await mapConcurrent(asked.values(), ask, signal);
  return totals;
}
