import { type CopyTotals, graphOf } from "../../copy.ts";
import { AirgapError, Exit, isAirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { count } from "../../format.ts";
import type { Lock } from "../../lock/lock.ts";
import {
  checkNames,
  HARBOR_NAMES,
  type LandingRules,
  type NameLayout,
  parseTarget,
} from "../../names/landing.ts";
import { parseMapRule } from "../../names/map-rule.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Registries } from "../../transport/registry/registries.ts";
import type { Source } from "../../transport/types.ts";
import type { NewProject } from "../harbor/api.ts";
import type { PushCharts } from "./charts.ts";
import { checkBeforeSending } from "./check.ts";
import { type ImageState, isComplete, takeInventory } from "./inventory.ts";
import { carriedBy, landingsOf, type PushImage, planPush } from "./plan.ts";
import { pretend, send } from "./send.ts";
import { PushTarget } from "./target.ts";

export interface PushOptions {
  bundle: { name: string; lock: Lock; source: Source };
  /** `host[:port][/prefix]` */
  target: string;
  layout: NameLayout;
  /** `FROM=TO`, in their order. */
  map: string[];
  /** Make Harbor projects that are missing. */
  createProjects?: NewProject;
  dryRun: boolean;
  /** Look below manifests that are there. */
  repair: boolean;
  /** Doubts are no reason to stop. */
  yes: boolean;
  /** Images at a time; requests at a time are the registries' matter. */
  concurrency: number;
  registries: Registries;
  /** The bundle's charts, where they are to land too. */
  charts?: PushCharts | undefined;
  emit: Emit;
  signal?: AbortSignal;
}

/** An image, and what it is called at the target. */
export interface PushedImage {
  image: string;
  name: string;
  digest: Digest;
  mediaType: string;
  state: "pushed" | "present" | "would-push";
  /** What the tag meant before. */
  replaced?: Digest;
  attached?: { name: string; digest: Digest; subject: string }[];
}

/** What `airgap push --json` prints. */
export interface PushResult {
  target: string;
  registry: "harbor" | "registry";
  version?: string;
  dryRun: boolean;
  /** Projects that were made, or would be. */
  projects: string[];
  images: PushedImage[];
  /** Items of the bundle that no registry takes; `airgap serve` gives them out. */
  notImages: number;
  totals: CopyTotals;
}

function rulesOf({ bundle: { lock }, target, layout, map }: PushOptions): LandingRules {
  return {
    target: parseTarget(target),
    layout,
    map: map.map(parseMapRule),
    ...(lock.siteName ? { siteName: lock.siteName } : {}),
  };
}

/**
 * Fills a registry from a bundle: nothing is sent before everything that can be checked is; what
 * is there already is not sent; what was sent is read back.
 * @throws AirgapError `conflict`, `check-failed`, `unauthorized` before the first byte; `network` with exit 4 half-way
 */
export async function push(options: PushOptions): Promise<PushResult> {
  const { bundle, registries, emit, signal, repair, dryRun, charts } = options;
  const rules = rulesOf(options);
  const images = [...planPush(bundle.lock, rules), ...(charts?.images ?? [])];
  const source = charts?.source ?? bundle.source;
  const carried = carriedBy(bundle.lock);
  const carries = (descriptor: Descriptor): boolean =>
    carried(descriptor) || charts?.digests.has(descriptor.digest) === true;
  const target = await PushTarget.open(
    registries,
    { host: rules.target.host, bundle: bundle.name, target: options.target },
    emit,
    signal,
  );
  let sending = false;
  try {
    if (target.harbor) checkNames(landingsOf(images), HARBOR_NAMES);
    emit({
      type: "phase",
      name: "Looking",
      detail: `what ${options.target} has of ${count(images.length, "image")}`,
    });
    const states = await takeInventory(images, target, signal);
    const todo = repair ? states : states.filter((state) => !isComplete(state));
    const work = {
      ...options,
      target,
      source,
      carries,
      graph: graphs(source, carries),
    };
    const projects = todo.length > 0 ? await checkBeforeSending(todo, work) : [];
    sending = !dryRun;
    const totals = dryRun ? await pretend(todo, states, work) : await send(todo, states, work);
    return result(options, target, states, { projects, totals });
  } catch (error) {
    throw goesOn(target.explain(error), sending);
  }
}

/** Graphs by image, each read once. */
function graphs(
  source: Source,
  carries: (descriptor: Descriptor) => boolean,
): (image: PushImage) => Promise<Descriptor[]> {
  const known = new Map<Digest, Promise<Descriptor[]>>();
  return ({ root: { descriptor } }) => {
    const graph = known.get(descriptor.digest) ?? graphOf(source, descriptor, carries);
    known.set(descriptor.digest, graph);
    return graph;
  };
}

function result(
  { target, dryRun, repair, bundle, charts }: PushOptions,
  { harbor }: PushTarget,
  states: ImageState[],
  done: Pick<PushResult, "projects" | "totals">,
): PushResult {
  const stateOf = (state: ImageState): PushedImage["state"] =>
    !repair && isComplete(state) ? "present" : dryRun ? "would-push" : "pushed";
  const version = harbor?.info.version;
  return {
    target,
    registry: harbor ? "harbor" : "registry",
    ...(version ? { version } : {}),
    dryRun,
    projects: done.projects,
    images: states.map((state) => pushedImage(state, stateOf(state))),
    notImages: bundle.lock.items.filter(({ kind }) => kind !== "image" && !(charts && kind === "chart"))
      .length,
    totals: done.totals,
  };
}

function pushedImage({ image, found }: ImageState, state: PushedImage["state"]): PushedImage {
  const { digest, mediaType } = image.root.descriptor;
  const attached = image.attached.map(({ repository, reference, tag, descriptor, subject }) => ({
    name: `${repository}${tag === undefined ? "@" : ":"}${reference}`,
    digest: descriptor.digest,
    subject,
  }));
  return {
    image: image.from,
    name: image.to,
    digest,
    mediaType,
    state,
    ...(found.digest !== undefined && found.digest !== digest ? { replaced: found.digest } : {}),
    ...(attached.length > 0 ? { attached } : {}),
  };
}

/** What broke off while sending can be gone on with: exit code 4 says so. */
function goesOn(error: unknown, sending: boolean): unknown {
  if (!sending || !isAirgapError(error, "network")) return error;
  const { suggestions, data, message } = error;
  return new AirgapError("network", message, {
    cause: error,
    exit: Exit.interrupted,
    suggestions: [...suggestions, "run the same command again: what arrived is not sent twice"],
    ...(data ? { data } : {}),
  });
}
