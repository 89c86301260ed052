import pLimit from "p-limit";
import type { Lock } from "../../bundle/lock.ts";
import { Copier, type CopyJob, type CopyTotals, graphOf } from "../../copy.ts";
import { AirgapError, Exit, isAirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { checkNames, HARBOR_NAMES, type LandingRules, type NameLayout, parseTarget } from "../../names/landing.ts";
import { parseMapRule } from "../../names/map-rule.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { isManifestLike } from "../../oci/media-types.ts";
import { parseReference } from "../../oci/reference.ts";
import type { RegistryDestination } from "../../transport/registry/destination.ts";
import type { Registries } from "../../transport/registry/registries.ts";
import type { Source } from "../../transport/types.ts";
import { HarborApi, type NewProject } from "../harbor/api.ts";
import { type ProjectLoad, preflight } from "../harbor/preflight.ts";
import { explain, noPushRight, type PushWords, saysMissingProject } from "../harbor/words.ts";
import { type ImageState, isComplete, isPresent, takeInventory } from "./inventory.ts";
import { carriedBy, type PushImage, planPush, projectOf } from "./plan.ts";
import { refusesSparse, takesSparse } from "./sparse.ts";

export interface PushOptions {
  bundle: { name: string; lock: Lock; source: Source };
  /** `host[:port][/prefix]` */
  target: string;
  layout: NameLayout;
  /** `FROM=TO`, in their order. */
  map: string[];
  createProjects?: NewProject;
  dryRun: boolean;
  repair: boolean;
  yes: boolean;
  /** Images at a time; requests at a time are the registries' matter. */
  concurrency: number;
  registries: Registries;
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

/** One push, from the plan to the report. */
class Push {
  readonly #options: PushOptions;
  readonly #rules: LandingRules;
  readonly #carries: (descriptor: Descriptor) => boolean;
  readonly #destinations = new Map<string, RegistryDestination>();
  readonly #missing = new Set<string>();
  #harbor: HarborApi | undefined;
  #user: string | undefined;
  #moved = false;

  constructor(options: PushOptions) {
    const { lock } = options.bundle;
    this.#options = options;
    this.#carries = carriedBy(lock);
    this.#rules = {
      target: parseTarget(options.target),
      layout: options.layout,
      map: options.map.map(parseMapRule),
      ...(lock.siteName ? { siteName: lock.siteName } : {}),
    };
  }

  async run(): Promise<PushResult> {
    try {
      return await this.#run();
    } catch (error) {
      throw this.#told(error);
    }
  }

  async #run(): Promise<PushResult> {
    const { emit, signal, registries, bundle, repair, dryRun } = this.#options;
    const images = planPush(bundle.lock, this.#rules);
    const client = registries.client(this.#rules.target.host);
    const credential = await client.credential();
    this.#user = credential && "username" in credential ? credential.username : undefined;
    this.#harbor = await HarborApi.meet(client, signal);
    if (this.#harbor)
      checkNames(
        images.map(({ from, to, root }) => ({ from: parseReference(from), to: parseReference(to), digest: root.descriptor.digest })),
        HARBOR_NAMES,
      );
    emit({ type: "phase", name: "inventory", detail: `${images.length} images at ${this.#options.target}` });
    const states = await takeInventory(images, {
      open: (repository) => this.#open(repository),
      ...(this.#harbor ? { refused: (project, error) => this.#refused(project, error, images) } : {}),
      ...(signal ? { signal } : {}),
    });
    const todo = repair ? states : states.filter((state) => !isComplete(state));
    const projects = todo.length > 0 ? await this.#check(todo) : [];
    const copier = dryRun ? await this.#pretend(todo, states) : await this.#copy(todo, states);
    return this.#result(states, projects, copier);
  }

  #open(repository: string): RegistryDestination {
    const { registries, emit } = this.#options;
    const known = this.#destinations.get(repository);
    const destination =
      known ??
      registries.destination(this.#rules.target.host, repository, {
        emit,
        // Harbor protects a blob from its garbage collection when it is asked for by HEAD.
        probe: this.#harbor ? "head" : "mount",
      });
    this.#destinations.set(repository, destination);
    return destination;
  }

  get #words(): PushWords {
    const { bundle, target } = this.#options;
    return { host: this.#rules.target.host, bundle: bundle.name, target, ...(this.#user === undefined ? {} : { user: this.#user }) };
  }

  /** Harbor's 401: for a project that is not there, or for a right that is. */
  async #refused(project: string, error: AirgapError, images: PushImage[]): Promise<boolean> {
    const { signal } = this.#options;
    let there = await this.#harbor?.hasProject(project);
    if (there === undefined) {
      const root = images.find((image) => projectOf(image.root.repository) === project)?.root;
      // A HEAD's refusal has no words; a GET's has.
      const words =
        root &&
        (await this.#open(root.repository)
          .readBack(root.reference, signal)
          .catch((second: unknown) => second));
      there = !saysMissingProject(words);
    }
    if (there) throw explain(error, this.#words);
    this.#missing.add(project);
    return false;
  }

  /** Everything that may be refused half-way, asked before the first byte. */
  async #check(todo: ImageState[]): Promise<string[]> {
    const { createProjects, dryRun, yes, emit, signal } = this.#options;
    const projects = this.#harbor
      ? await preflight(this.#harbor, await this.#loads(todo), {
          words: this.#words,
          dryRun,
          yes,
          emit,
          ...(createProjects ? { create: createProjects } : {}),
          ...(signal ? { signal } : {}),
        })
      : [];
    await this.#checkSparse(todo);
    if (!dryRun) await this.#checkRights(todo);
    return projects;
  }

  async #checkSparse(todo: ImageState[]): Promise<void> {
    const { dryRun, emit, signal } = this.#options;
    const sparse = todo.filter(({ image, found }) => image.item.exact === true && !isPresent(found)).map(({ image }) => image);
    const [first] = sparse;
    if (first === undefined) return;
    const { host } = this.#rules.target;
    if (this.#harbor) throw refusesSparse(host, sparse);
    if (dryRun)
      emit({
        type: "note",
        message: `Whether ${host} takes indexes with missing children is asked when it is pushed to: ${sparse.map(({ from }) => from).join(", ")}`,
      });
    else if (!(await takesSparse(this.#open(first.root.repository), signal))) throw refusesSparse(host, sparse);
  }

  /** An upload is opened in each repository that has not said yet that it may be pushed to. */
  async #checkRights(todo: ImageState[]): Promise<void> {
    const { bundle, signal } = this.#options;
    const firsts = new Map<string, PushImage>();
    for (const { image } of todo) if (!firsts.has(image.root.repository)) firsts.set(image.root.repository, image);
    await Promise.all(
      [...firsts].map(async ([repository, image]) => {
        const destination = this.#open(repository);
        const may = await destination.client.mayPush(repository, signal);
        if (may === false) throw noPushRight(projectOf(repository), this.#words);
        if (may === true || this.#options.repair) return;
        const blob = (await graphOf(bundle.source, image.root.descriptor, this.#carries)).find(({ mediaType }) => !isManifestLike(mediaType));
        if (blob) await destination.prepare(blob, signal);
      }),
    );
  }

  /** What goes into each Harbor project; what another image of the project has there already is no load. */
  async #loads(todo: ImageState[]): Promise<ProjectLoad[]> {
    const { source } = this.#options.bundle;
    const loads = new Map<string, ProjectLoad & { digests: Set<Digest> }>();
    for (const { image, found } of todo) {
      const { repository, reference, descriptor } = image.root;
      const name = projectOf(repository);
      const load = loads.get(name) ?? { name, repository, missing: this.#missing.has(name), bytes: 0, moved: [], digests: new Set<Digest>() };
      loads.set(name, load);
      if (found.digest !== undefined && !isPresent(found)) load.moved.push({ repository, tag: reference, from: found.digest, to: descriptor.digest });
      if (isPresent(found)) continue;
      for (const { digest, size } of await graphOf(source, descriptor, this.#carries)) {
        if (!load.digests.has(digest)) load.bytes += size;
        load.digests.add(digest);
      }
    }
    return [...loads.values()].map(({ digests: _, ...load }) => load);
  }

  #job({ image, found, attached }: ImageState): CopyJob {
    const { repair, bundle } = this.#options;
    const { root } = image;
    return {
      name: image.to,
      root: root.descriptor,
      tags: root.reference === root.descriptor.digest ? [] : [root.reference],
      source: bundle.source,
      destination: this.#open(root.repository),
      carries: this.#carries,
      attached: image.attached.filter((_, i) => repair || !isPresent(attached[i] as ImageState["found"])),
      attachedOnly: !repair && isPresent(found),
    };
  }

  async #copy(todo: ImageState[], states: ImageState[]): Promise<CopyTotals> {
    const { emit, signal, repair, concurrency, bundle } = this.#options;
    const copier = new Copier({ emit, repair, ...(signal ? { signal } : {}) });
    if (todo.length === 0) return copier.totals;
    if (!repair) for (const state of states) if (isPresent(state.found)) await copier.knows(this.#job(state));
    const all = new Map<Digest, number>();
    for (const { image } of todo) for (const { digest, size } of await graphOf(bundle.source, image.root.descriptor, this.#carries)) all.set(digest, size);
    emit({ type: "plan", items: all.size, bytes: [...all.values()].reduce((sum, size) => sum + size, 0) });
    this.#moved = true;
    const limit = pLimit(concurrency);
    const results = await Promise.allSettled(
      todo.map((state) =>
        limit(async () => {
          signal?.throwIfAborted();
          await copier.copy(this.#job(state));
          await this.#readBack(state);
          emit({ type: "item", item: state.image.to, state: "done", detail: state.image.root.descriptor.digest });
        }),
      ),
    );
    for (const result of results) if (result.status === "rejected") throw result.reason;
    return copier.totals;
  }

  /** What a registry took is asked for again: only what it gives out counts. */
  async #readBack({ image }: ImageState): Promise<void> {
    const { signal } = this.#options;
    for (const { repository, reference, descriptor } of [image.root, ...image.attached]) {
      const found = await this.#open(repository).readBack(reference, signal);
      if (found === descriptor.digest) continue;
      throw new AirgapError("corrupt", `${this.#rules.target.host}/${repository}:${reference} was pushed as ${descriptor.digest}, but reads back as ${found}`, {
        suggestions: ["see who else pushes there, then run the same command again"],
        data: { expected: descriptor.digest, found },
      });
    }
  }

  /** What would be sent: what no image that is there shares, and the target does not know by HEAD. */
  async #pretend(todo: ImageState[], states: ImageState[]): Promise<CopyTotals> {
    const { signal, bundle } = this.#options;
    const { totals } = new Copier();
    const there = new Set<Digest>();
    const blobsOf = async ({ image }: ImageState): Promise<Descriptor[]> =>
      (await graphOf(bundle.source, image.root.descriptor, this.#carries)).filter(({ mediaType }) => !isManifestLike(mediaType));
    for (const state of states) if (isPresent(state.found)) for (const { digest } of await blobsOf(state)) there.add(digest);
    const asked = new Map<Digest, Promise<void>>();
    const ask = async (state: ImageState, blob: Descriptor): Promise<void> => {
      const { repository } = state.image.root;
      const has = there.has(blob.digest) || (!this.#missing.has(projectOf(repository)) && (await this.#open(repository).exists(blob, signal)));
      const kind = has ? totals.present : totals.sent;
      kind.blobs++;
      kind.bytes += blob.size;
    };
    for (const state of todo) {
      totals.manifests++;
      for (const blob of await blobsOf(state)) if (!asked.has(blob.digest)) asked.set(blob.digest, ask(state, blob));
    }
    await Promise.all(asked.values());
    return totals;
  }

  #result(states: ImageState[], projects: string[], totals: CopyTotals): PushResult {
    const { target, dryRun, repair, bundle } = this.#options;
    const version = this.#harbor?.info.version;
    const images = states.map((state): PushedImage => {
      const { image, found } = state;
      const { digest, mediaType } = image.root.descriptor;
      const todo = repair || !isComplete(state);
      const attached = image.attached.map((each) => ({
        name: `${each.repository}${each.tag ? ":" : "@"}${each.reference}`,
        digest: each.descriptor.digest,
        subject: each.subject,
      }));
      return {
        image: image.from,
        name: image.to,
        digest,
        mediaType,
        state: todo ? (dryRun ? "would-push" : "pushed") : "present",
        ...(found.digest !== undefined && found.digest !== digest ? { replaced: found.digest } : {}),
        ...(attached.length > 0 ? { attached } : {}),
      };
    });
    return {
      target,
      registry: this.#harbor ? "harbor" : "registry",
      ...(version ? { version } : {}),
      dryRun,
      projects,
      images,
      notImages: bundle.lock.items.filter(({ kind }) => kind !== "image").length,
      totals,
    };
  }

  /** An error in Harbor's words where it is one; what broke off half-way can be gone on with. */
  #told(error: unknown): unknown {
    const told = this.#harbor ? explain(error, this.#words) : error;
    if (!this.#moved || !isAirgapError(told, "network")) return told;
    const { suggestions, data, message } = told;
    return new AirgapError("network", message, {
      cause: told,
      exit: Exit.interrupted,
      suggestions: [...suggestions, "run the same command again: what arrived is not sent twice"],
      ...(data ? { data } : {}),
    });
  }
}

/**
 * Fills a registry from a bundle: nothing is sent before everything that can be checked is; what
 * is there already is not sent; what was sent is read back.
 * @throws AirgapError `conflict`, `check-failed`, `unauthorized` before the first byte; `network` with exit 4 half-way
 */
export async function push(options: PushOptions): Promise<PushResult> {
  return await new Push(options).run();
}
