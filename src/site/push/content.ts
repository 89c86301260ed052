import { graphOf } from "../../copy.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { isManifestLike } from "../../oci/media-types.ts";
import { mapConcurrent } from "../../transport/map-concurrent.ts";
import type { Source } from "../../transport/types.ts";
import type { Load } from "../harbor/quota.ts";
import { type Found, type ImageState, isPresent } from "./inventory.ts";
import { projectOf } from "./plan.ts";
import type { PushTarget } from "./target.ts";

/** Everything that a manifest of the bundle reaches, itself included; each graph is read once. */
export type Graph = (root: Descriptor) => Promise<Descriptor[]>;

export function graphs(source: Source, carries: (descriptor: Descriptor) => boolean): Graph {
  const known = new Map<Digest, Promise<Descriptor[]>>();
  return (root) => {
    const graph = known.get(root.digest) ?? graphOf(source, root, carries);
    known.set(root.digest, graph);
    return graph;
  };
}

/** An image's root and what is attached to it, as they were found. */
export const rootsOf = ({ found, attached }: ImageState): Found[] => [found, ...attached];

interface Wanted {
  descriptor: Descriptor;
  /** Where it goes to. */
  repositories: Set<string>;
}

/** What a push may bring, each blob and manifest once: in all, and by Harbor project. */
export class NewContent {
  readonly #target: PushTarget;
  readonly #wanted = new Map<Digest, Wanted>();
  /** What the images that are there consist of, by project. */
  readonly #there = new Map<string, Set<Digest>>();
  readonly #answers = new Map<string, Promise<boolean>>();
  readonly #signal: AbortSignal | undefined;

  private constructor(target: PushTarget, signal?: AbortSignal) {
    this.#target = target;
    this.#signal = signal;
  }

  /** @param states all that was found, also of images that are there */
  static async of(
    states: ImageState[],
    { target, graph, signal }: { target: PushTarget; graph: Graph; signal?: AbortSignal },
  ): Promise<NewContent> {
    const content = new NewContent(target, signal);
    for (const found of states.flatMap(rootsOf)) {
      for (const descriptor of await graph(found.root.descriptor)) {
        if (isPresent(found)) content.#thereIn(projectOf(found.root.repository)).add(descriptor.digest);
        else content.#want(descriptor, found.root.repository);
      }
    }
    return content;
  }

  /** What goes into one project; without a name, all that goes to the registry. */
  load(project?: string): Load {
    const wanted = [...this.#wanted.values()]
      .map(({ descriptor, repositories }) => ({
        descriptor,
        repositories: [...repositories].filter(
          (repository) => project === undefined || projectOf(repository) === project,
        ),
      }))
      .filter(
        ({ descriptor, repositories }) => repositories.length > 0 && !this.#isThere(descriptor, project),
      );
    return {
      bytes: sum(wanted.map(({ descriptor }) => descriptor)),
      newBytes: async () => sum(await this.#missing(wanted)),
    };
  }

  /** The blobs that the registry does not have, and those that it has already, as far as it tells by HEAD. */
  async blobs(): Promise<{ missing: Descriptor[]; present: Descriptor[] }> {
    const wanted = [...this.#wanted.values()]
      .map(({ descriptor, repositories }) => ({ descriptor, repositories: [...repositories] }))
      .filter(({ descriptor }) => !isManifestLike(descriptor.mediaType));
    const missing = await this.#missing(wanted.filter(({ descriptor }) => !this.#isThere(descriptor)));
    return {
      missing,
      present: wanted.map(({ descriptor }) => descriptor).filter((each) => !missing.includes(each)),
    };
  }

  #want(descriptor: Descriptor, repository: string): void {
    const wanted = this.#wanted.get(descriptor.digest) ?? { descriptor, repositories: new Set() };
    wanted.repositories.add(repository);
    this.#wanted.set(descriptor.digest, wanted);
  }

  #thereIn(project: string): Set<Digest> {
    const there = this.#there.get(project) ?? new Set();
    this.#there.set(project, there);
    return there;
  }

  #isThere({ digest }: Descriptor, project?: string): boolean {
    return project === undefined
      ? [...this.#there.values()].some((there) => there.has(digest))
      : this.#thereIn(project).has(digest);
  }

  async #missing(wanted: { descriptor: Descriptor; repositories: string[] }[]): Promise<Descriptor[]> {
    const found = await mapConcurrent(
      wanted,
      async ({ descriptor, repositories }, stop) => {
        for (const repository of repositories) if (await this.#asked(repository, descriptor, stop)) return [];
        return [descriptor];
      },
      this.#signal,
    );
    return found.flat();
  }

  #asked(repository: string, descriptor: Descriptor, signal: AbortSignal): Promise<boolean> {
    const key = `${repository} ${descriptor.digest}`;
    const answer = this.#answers.get(key) ?? this.#target.has(repository, descriptor, signal);
    this.#answers.set(key, answer);
    return answer;
  }
}

const sum = (descriptors: Descriptor[]): number => descriptors.reduce((bytes, { size }) => bytes + size, 0);
