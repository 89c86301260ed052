import { graphOf, planOf } from "../../copy.ts";
import { isAirgapError } from "../../errors.ts";
import { count } from "../../format.ts";
import type { Lock } from "../../lock/lock.ts";
import { checkLandingNames, HARBOR_NAMES, type LandingRules, parseTarget } from "../../names/landing.ts";
import { parseMapRule } from "../../names/map-rule.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { isIndexType } from "../../oci/media-types.ts";
import type { Registries } from "../../transport/registry/registries.ts";
import type { RegistrySource } from "../../transport/registry/source.ts";
import type { Source } from "../../transport/types.ts";
import { withExit } from "../exit.ts";
import type { NewProject } from "../harbor/api.ts";
import { parseQuota } from "../harbor/quota.ts";
import { RobotMaker } from "../harbor/robots.ts";
import type { PushCharts } from "./charts.ts";
import { checkBeforeSending } from "./check.ts";
import { type Graph, graphs, NewContent } from "./content.ts";
import { type Completed, type CountedOn, findCountedOn } from "./counted-on.ts";
import { type ImageState, isComplete, takeInventory } from "./inventory.ts";
import { withMade } from "./made.ts";
import { commandOf, type PushOptions } from "./options.ts";
import { carriedBy, landingsOf, type PushRoot, planPush, projectOf } from "./plan.ts";
import { type PushedImage, type PushResult, resultOf } from "./result.ts";
import { pretend, send } from "./send.ts";
import type { ImageSignatures } from "./signatures.ts";
import { isRunnableChild, PushTarget } from "./target.ts";

export interface FillOptions extends PushOptions {
  bundle: { name: string; lock: Lock; source: Source; counted?: CountedOn | undefined };
  registries: Registries;
  /** The bundle's charts, where they are to land too. */
  charts?: PushCharts | undefined;
}

/** Images at a time; how many requests a registry gets at once adapts to its answers. */
const CONCURRENCY = 8;

function rulesOf({ bundle: { lock }, target, layout, map }: FillOptions): LandingRules {
  return {
    target: parseTarget(target),
    layout,
    map: map.map(parseMapRule),
    ...(lock.siteName ? { siteName: lock.siteName } : {}),
  };
}

function newProjects({ createProjects, projectQuota }: PushOptions): NewProject | undefined {
  const quota = projectQuota === undefined ? {} : { quota: parseQuota(projectQuota) };
  return createProjects === undefined ? undefined : { public: createProjects === "public", ...quota };
}

/**
 * Fills a registry from a bundle. Nothing is sent before all checks are done; what is there is not
 * sent again; what was sent is read back.
 * @throws AirgapError exit 3 before the first byte (`conflict`, `check-failed`, `unauthorized`,
 * `refused`), exit 4 for a `network` error while sending
 */
export async function fillRegistry(options: FillOptions): Promise<PushResult> {
  const { bundle, registries, emit, signal, repair, dryRun, charts } = options;
  const rules = rulesOf(options);
  const create = newProjects(options);
  const images = [...planPush(bundle.lock, rules), ...(charts?.images ?? [])];
  let source = charts?.source ?? bundle.source;
  let holders: Completed["holders"] | undefined;
  const repository = images[0]?.root.repository;
  let target: PushTarget | undefined;
  let sending = false;
  try {
    target = await PushTarget.open({
      registries,
      host: rules.target.host,
      ...(repository === undefined ? {} : { repository }),
      command: commandOf(bundle.name, options),
      makesProjects: true,
      emit,
      ...(signal ? { signal } : {}),
    });
    if (target.harbor) checkLandingNames(landingsOf(images), HARBOR_NAMES);
    const projects = [...new Set(images.map(({ root }) => projectOf(root.repository)))];
    const robots = options.makeRobots
      ? await RobotMaker.prepare(target.harbor, bundle.lock.name, projects, target.asker, options.robotsFile)
      : undefined;
    emit({
      type: "phase",
      name: "Looking",
      detail: `which of ${count(images.length, "image")} ${options.target} has`,
    });
    const found = await takeInventory(images, target, signal);
    const signed = await withSignatures(found, options, target);
    const { states } = signed;
    const todo = repair ? states : states.filter((state) => !isComplete(state));
    const carried = carriedBy(bundle.lock);
    const carries = (descriptor: Descriptor): boolean =>
      carried(descriptor) ||
      charts?.digests.has(descriptor.digest) === true ||
      signed.blobs.has(descriptor.digest);
    if (bundle.counted?.blobs.length) {
      const { counted, lock } = bundle;
      const search = { counted, lock, rules, images, source, registries, target, signal };
      ({ source, holders } = await findCountedOn(search));
    }
    if (signed.blobs.size > 0) source = withMade(source, signed.blobs);
    const graph = graphs(source, carries);
    const content = await NewContent.of(states, { target, graph, ...(signal ? { signal } : {}) });
    const work = {
      ...options,
      concurrency: options.concurrency ?? CONCURRENCY,
      target,
      source,
      carries,
      graph,
      content,
      holders,
      ...(create ? { create } : {}),
    };
    const made = todo.length > 0 ? await checkBeforeSending(todo, work) : [];
    sending = !dryRun;
    const totals = dryRun ? await pretend(todo, content) : await send(todo, states, work);
    const sizes = await sizesOf(states, graph);
    const result = resultOf(options, bundle.lock, target, states, sizes, {
      projects: made,
      totals,
      ...(robots && !dryRun ? { robots: await robots.make(emit) } : {}),
    });
    warnOfWithheld(result.images, options);
    return result;
  } catch (error) {
    throw withExit(target ? target.explain(error) : error, sending);
  }
}

/** With `--sign-key`: every image gets a signature, as one more attachment. */
async function withSignatures(
  states: ImageState[],
  { signer, registries, signal, bundle }: FillOptions,
  target: PushTarget,
): Promise<ImageSignatures> {
  if (signer === undefined) return { states, blobs: new Map() };
  const { signImages } = await import("./signatures.ts");
  const open = (repository: string): RegistrySource => registries.source(target.client.host, repository);
  // A Harbor that gives out only what is signed holds each image of an index to that.
  const below = async (root: PushRoot): Promise<Descriptor[]> => {
    if (!isIndexType(root.descriptor.mediaType) || !(await target.wantsSigned(root.repository))) return [];
    const graph = await graphOf(bundle.source, root.descriptor, carriedBy(bundle.lock)).catch(noneIfGone);
    return graph.filter(isRunnableChild(root));
  };
  return signImages(states, { signer, open, below, signal });
}

/** A delta may leave out the index that the target has. */
function noneIfGone(error: unknown): Descriptor[] {
  if (isAirgapError(error, "not-found")) return [];
  throw error;
}

/** Bytes that each image reaches. */
async function sizesOf(states: ImageState[], graph: Graph): Promise<Map<ImageState, number>> {
  const sizes = new Map<ImageState, number>();
  for (const state of states) {
    const reached = await graph(state.image.root.descriptor);
    sizes.set(state, planOf([reached]).bytes);
  }
  return sizes;
}

/** Says which images nobody can pull, and why; and what is attached to images that can be pulled. */
function warnOfWithheld(images: PushedImage[], { emit, target }: FillOptions): void {
  const attached = images
    .filter(({ withheld }) => withheld === undefined)
    .flatMap((image) => image.attached ?? []);
  const warn = (all: { name: string; withheld?: string }[], what: string, plural: string): void => {
    const reasons = Map.groupBy(
      all.filter(({ withheld }) => withheld !== undefined),
      ({ withheld }) => withheld as string,
    );
    for (const [reason, held] of reasons)
      emit({
        type: "warning",
        message: `Nobody can pull ${count(held.length, what, plural)} from ${target}, as a policy of the project forbids it (${reason.replace(/\.$/, "")}): ${held.map(({ name }) => name).join(", ")}. Sign or scan them there, or change the policy: Configuration, Deployment security`,
      });
  };
  warn(images, "image", "images");
  warn(attached, "artifact that is attached to an image", "artifacts that are attached to images");
}
