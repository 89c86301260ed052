import { type AirgapError, isAirgapError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { mapConcurrent } from "../../transport/map-concurrent.ts";
import { type PushImage, type PushRoot, projectOf } from "./plan.ts";
import type { PushTarget } from "./target.ts";

/** What a target has under a root's name: nothing, the same manifest, or another one. */
export interface Found {
  root: PushRoot;
  digest: Digest | undefined;
}

export const isPresent = ({ root, digest }: Found): boolean => digest === root.descriptor.digest;

/** What a target has of an image and its attachments. */
export interface ImageState {
  image: PushImage;
  found: Found;
  attached: Found[];
}

export const isComplete = ({ found, attached }: ImageState): boolean =>
  isPresent(found) && attached.every(isPresent);

/** Asks for each root once: HEAD by tag or digest tells the digest that is there. */
class Inventory {
  readonly #target: PushTarget;
  readonly #projects = new Map<string, Promise<boolean>>();
  readonly #answers = new Map<string, Promise<Found>>();

  constructor(target: PushTarget) {
    this.#target = target;
  }

  async state(image: PushImage, signal: AbortSignal): Promise<ImageState> {
    const [found, ...attached] = await mapConcurrent(
      [image.root, ...image.attached],
      (root) => this.#once(root, signal),
      signal,
    );
    return { image, found: found as Found, attached };
  }

  #once(root: PushRoot, signal: AbortSignal): Promise<Found> {
    const key = `${root.repository} ${root.reference}`;
    const answer =
      this.#answers.get(key) ??
      (this.#target.harbor ? this.#inProject(root, signal) : this.#ask(root, signal));
    this.#answers.set(key, answer);
    return answer;
  }

  /** Harbor answers 401 to everything in a missing project: one root of each project is asked first. */
  async #inProject(root: PushRoot, signal: AbortSignal): Promise<Found> {
    const project = projectOf(root.repository);
    const first = this.#projects.get(project);
    if (first !== undefined)
      return (await first) ? await this.#ask(root, signal) : { root, digest: undefined };
    const ahead = this.#ask(root, signal).catch(async (error: unknown) => {
      if (!isAirgapError(error, "unauthorized")) throw error;
      await this.#target.refused(root, error as AirgapError);
      return undefined;
    });
    const there = ahead.then((found) => found !== undefined);
    // The root that was asked first throws the error.
    there.catch(() => {});
    this.#projects.set(project, there);
    return (await ahead) ?? { root, digest: undefined };
  }

  async #ask(root: PushRoot, signal: AbortSignal): Promise<Found> {
    return { root, digest: await this.#target.head(root, signal) };
  }
}

/** What a target has of several images: one request a root and name. */
export async function takeInventory(
  images: PushImage[],
  target: PushTarget,
  signal?: AbortSignal,
): Promise<ImageState[]> {
  const inventory = new Inventory(target);
  return await mapConcurrent(images, (image, stop) => inventory.state(image, stop), signal);
}
