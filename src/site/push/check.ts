import type { Emit } from "../../events.ts";
import { isManifestLike } from "../../oci/media-types.ts";
import { mapConcurrent } from "../../transport/map-concurrent.ts";
import type { Source } from "../../transport/types.ts";
import type { NewProject } from "../harbor/api.ts";
import { noPushRight } from "../harbor/errors.ts";
import { harborPreflight, type MovedTag, type ProjectLoad } from "../harbor/preflight.ts";
import { type Graph, type NewContent, rootsOf } from "./content.ts";
import { type ImageState, isPresent } from "./inventory.ts";
import { type PushImage, type PushRoot, projectOf } from "./plan.ts";
import { refusesSparse, takesSparse } from "./sparse.ts";
import type { PushTarget } from "./target.ts";

export interface CheckOptions {
  target: PushTarget;
  source: Source;
  graph: Graph;
  content: NewContent;
  create?: NewProject;
  dryRun: boolean;
  repair: boolean;
  yes: boolean;
  emit: Emit;
  signal?: AbortSignal;
}

/**
 * Asks for everything that may be refused half-way, before the first byte.
 * @returns Harbor projects that were made, or would be
 * @throws AirgapError `check-failed`, `unauthorized`, `refused`
 */
export async function checkBeforeSending(todo: ImageState[], options: CheckOptions): Promise<string[]> {
  const { target, content, create, dryRun, yes, emit, signal } = options;
  const projects = target.harbor
    ? await harborPreflight(target.harbor, loadsOf(todo, content, target), content.load(), {
        asker: target.asker,
        dryRun,
        yes,
        isRefused: (tag) => target.refusesTag(rootOf(tag, todo), options.source, signal),
        emit,
        ...(create ? { create } : {}),
        ...(signal ? { signal } : {}),
      })
    : [];
  await checkSparse(todo, options);
  if (!dryRun) await checkRights(todo, options);
  return projects;
}

const rootOf = ({ repository, tag }: MovedTag, todo: ImageState[]): PushRoot =>
  todo
    .flatMap(rootsOf)
    .map(({ root }) => root)
    .find((root) => root.repository === repository && root.reference === tag) as PushRoot;

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

/**
 * An upload is opened in each repository whose token does not say that it may be pushed to, and in one of
 * each Harbor project that the account may not read: a proxy cache refuses it.
 */
async function checkRights(
  todo: ImageState[],
  { target, graph, repair, signal }: CheckOptions,
): Promise<void> {
  const firsts = new Map<string, PushImage>();
  for (const { image } of todo)
    if (!firsts.has(image.root.repository)) firsts.set(image.root.repository, image);
  const asked = new Set<string>();
  const isUnread = async (repository: string): Promise<boolean> => {
    const project = projectOf(repository);
    if (asked.has(project)) return false;
    asked.add(project);
    return (await target.harbor?.project(project)) === "denied";
  };
  const one = async ([repository, image]: [string, PushImage], stop: AbortSignal): Promise<void> => {
    const may = await target.client.mayPush(repository, stop);
    if (may === false) throw noPushRight(projectOf(repository), target.asker);
    if (repair || (may === true && !(await isUnread(repository)))) return;
    const blob = (await graph(image.root.descriptor)).find(({ mediaType }) => !isManifestLike(mediaType));
    if (blob) await target.repository(repository).prepare(blob, stop);
  };
  await mapConcurrent(firsts, one, signal);
}

/** What goes into each Harbor project. */
function loadsOf(todo: ImageState[], content: NewContent, target: PushTarget): ProjectLoad[] {
  const loads = new Map<string, ProjectLoad>();
  for (const { root, digest } of todo.flatMap(rootsOf)) {
    const { repository, reference, descriptor } = root;
    const name = projectOf(repository);
    const load = loads.get(name) ?? {
      name,
      repository,
      missing: target.missing.has(name),
      moved: [],
      ...content.load(name),
    };
    loads.set(name, load);
    if (digest !== undefined && digest !== descriptor.digest)
      load.moved.push({ repository, tag: reference, from: digest, to: descriptor.digest });
  }
  return [...loads.values()];
}
