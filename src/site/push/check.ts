import type { Emit } from "../../events.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { isManifestLike } from "../../oci/media-types.ts";
import { mapConcurrent } from "../../transport/map-concurrent.ts";
import type { NewProject } from "../harbor/api.ts";
import { noPushRight } from "../harbor/errors.ts";
import { harborPreflight, type ProjectLoad } from "../harbor/preflight.ts";
import { type ImageState, isPresent } from "./inventory.ts";
import { type PushImage, projectOf } from "./plan.ts";
import { refusesSparse, takesSparse } from "./sparse.ts";
import type { PushTarget } from "./target.ts";

export interface CheckOptions {
  target: PushTarget;
  /** What an image consists of. */
  graph: (image: PushImage) => Promise<Descriptor[]>;
  createProjects?: NewProject;
  dryRun: boolean;
  repair: boolean;
  yes: boolean;
  emit: Emit;
  signal?: AbortSignal;
}

/**
 * Everything that may be refused half-way, asked before the first byte.
 * @returns Harbor projects that were made, or would be
 * @throws AirgapError `check-failed`, `unauthorized`, `refused`
 */
export async function checkBeforeSending(todo: ImageState[], options: CheckOptions): Promise<string[]> {
  const { target, createProjects, dryRun, yes, emit, signal } = options;
  const projects = target.harbor
    ? await harborPreflight(target.harbor, await loadsOf(todo, options), {
        words: target.words,
        dryRun,
        yes,
        emit,
        ...(createProjects ? { create: createProjects } : {}),
        ...(signal ? { signal } : {}),
      })
    : [];
  await checkSparse(todo, options);
  if (!dryRun) await checkRights(todo, options);
  return projects;
}

async function checkSparse(
  todo: ImageState[],
  { target, dryRun, emit, signal }: CheckOptions,
): Promise<void> {
  const sparse = todo
    .filter(({ image, found }) => image.item.exact === true && !isPresent(found))
    .map(({ image }) => image);
  const [first] = sparse;
  if (first === undefined) return;
  const { host } = target.client;
  if (target.harbor) throw refusesSparse(host, sparse);
  if (dryRun) {
    const names = sparse.map(({ from }) => from).join(", ");
    emit({
      type: "note",
      message: `Whether ${host} takes indexes with missing children is asked when it is pushed to; it concerns ${names}`,
    });
    return;
  }
  if (!(await takesSparse(target.repository(first.root.repository), signal)))
    throw refusesSparse(host, sparse);
}

/** An upload is opened in each repository whose token does not say that it may be pushed to. */
async function checkRights(
  todo: ImageState[],
  { target, graph, repair, signal }: CheckOptions,
): Promise<void> {
  const firsts = new Map<string, PushImage>();
  for (const { image } of todo)
    if (!firsts.has(image.root.repository)) firsts.set(image.root.repository, image);
  const one = async ([repository, image]: [string, PushImage], stop: AbortSignal): Promise<void> => {
    const may = await target.client.mayPush(repository, stop);
    if (may === false) throw noPushRight(projectOf(repository), target.words);
    if (may === true || repair) return;
    const blob = (await graph(image)).find(({ mediaType }) => !isManifestLike(mediaType));
    if (blob) await target.repository(repository).prepare(blob, stop);
  };
  await mapConcurrent(firsts, one, signal);
}

/** What goes into each Harbor project, each blob counted once. */
async function loadsOf(todo: ImageState[], { target, graph }: CheckOptions): Promise<ProjectLoad[]> {
  const loads = new Map<string, ProjectLoad & { digests: Set<Digest> }>();
  for (const { image, found } of todo) {
    const { repository, reference, descriptor } = image.root;
    const name = projectOf(repository);
    const load = loads.get(name) ?? {
      name,
      repository,
      missing: target.missing.has(name),
      bytes: 0,
      moved: [],
      digests: new Set<Digest>(),
    };
    loads.set(name, load);
    if (isPresent(found)) continue;
    if (found.digest !== undefined)
      load.moved.push({ repository, tag: reference, from: found.digest, to: descriptor.digest });
    for (const { digest, size } of await graph(image)) {
      if (!load.digests.has(digest)) load.bytes += size;
      load.digests.add(digest);
    }
  }
  return [...loads.values()].map(({ digests: _, ...load }) => load);
}
