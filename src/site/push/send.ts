import pLimit from "p-limit";
import { Copier, type CopyJob, type CopyTotals, planOf, stillBroken } from "../../copy.ts";
import type { Emit } from "../../events.ts";
import { count } from "../../format.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { mapConcurrent } from "../../transport/map-concurrent.ts";
import type { Destination, Source } from "../../transport/types.ts";
import { type Graph, type NewContent, rootsOf } from "./content.ts";
import { type ImageState, isPresent } from "./inventory.ts";
import { isRunnableChild, type PushTarget } from "./target.ts";

export interface SendOptions {
  target: PushTarget;
  source: Source;
  /** Which part of a graph the bundle has. */
  carries: (descriptor: Descriptor) => boolean;
  graph: Graph;
  /** Who at the target has what a delta counts on. */
  holders?: ReadonlyMap<Digest, Destination> | undefined;
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
    attached: image.attached
      .map((each, i) => ({ ...each, present: isPresent(attached[i] as ImageState["found"]) }))
      .filter(({ present }) => repair || !present),
    rootPresent: isPresent(found),
  };
}

/** How much is going to move: each blob once a repository. */
async function plan(
  todo: ImageState[],
  { graph, repair }: SendOptions,
): Promise<{ items: number; bytes: number; names: Map<string, string> }> {
  const names = new Map<string, string>();
  for (const state of todo)
    for (const { root } of rootsOf(state))
      for (const { digest } of await graph(root.descriptor)) names.set(digest, state.image.to);
  const roots = todo.flatMap(rootsOf).filter((found) => repair || !isPresent(found));
  const total = { items: 0, bytes: 0 };
  for (const [, group] of Map.groupBy(roots, ({ root }) => root.repository)) {
    const { items, bytes } = planOf(await Promise.all(group.map(({ root }) => graph(root.descriptor))));
    total.items += items;
    total.bytes += bytes;
  }
  return { ...total, names };
}

/**
 * Sends images and reads them back.
 * @param states all that was found: blobs are mounted from images that are there
 * @throws AirgapError `corrupt` for what the registry does not give out
 */
export async function send(
  todo: ImageState[],
  states: ImageState[],
  options: SendOptions,
): Promise<CopyTotals> {
  const { emit, signal, repair, concurrency, target } = options;
  const copier = new Copier({ emit, repair, ...(signal ? { signal } : {}) });
  for (const [digest, holder] of options.holders ?? []) copier.holds(digest, holder);
  if (todo.length === 0) return copier.totals;
  if (!repair)
    for (const state of states) if (isPresent(state.found)) await copier.knows(jobFor(state, options));
  emit({ type: "phase", name: "Sending", detail: `${count(todo.length, "image")} to ${target.client.host}` });
  emit({ type: "plan", ...(await plan(todo, options)) });
  const limit = pLimit(concurrency);
  const one = async (state: ImageState, stop: AbortSignal): Promise<void> => {
    stop.throwIfAborted();
    await copier.copy(jobFor(state, options));
    for (const { root } of rootsOf(state)) await target.readBack(root, stop);
    const { root } = state.image;
    await target.readChildren(
      root,
      (await options.graph(root.descriptor)).filter(isRunnableChild(root)),
      stop,
    );
    emit({ type: "item", item: state.image.to, state: "done", detail: state.image.root.descriptor.digest });
  };
  await mapConcurrent(todo, (state, stop) => limit(one, state, stop), signal);
  if (copier.broken.size > 0) throw stillBroken(copier, target.client.host);
  return copier.totals;
}

/** What would be sent: what no image that is there shares, and the target does not know when it is asked by HEAD. */
export async function pretend(todo: ImageState[], content: NewContent): Promise<CopyTotals> {
  const { totals } = new Copier();
  const { missing, present } = await content.blobs();
  for (const [kind, blobs] of [
    [totals.sent, missing],
    [totals.present, present],
  ] as const) {
    kind.blobs = blobs.length;
    kind.bytes = blobs.reduce((sum, { size }) => sum + size, 0);
  }
  totals.manifests = todo.flatMap(rootsOf).filter((found) => !isPresent(found)).length;
  return totals;
}
