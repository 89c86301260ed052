import { AirgapError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import type { RegistryDestination } from "../../transport/registry/destination.ts";
import { type PushImage, type PushRoot, projectOf } from "./plan.ts";

/** What a target has of one root: nothing, the same, or something else under the same tag. */
export interface Found {
  root: PushRoot;
  digest: Digest | undefined;
}

export const isPresent = ({ root, digest }: Found): boolean => digest === root.descriptor.digest;

/** What a target has of an image. */
export interface ImageState {
  image: PushImage;
  found: Found;
  attached: Found[];
}

export const isComplete = ({ found, attached }: ImageState): boolean => isPresent(found) && attached.every(isPresent);

export interface InventoryOptions {
  open(repository: string): RegistryDestination;
  /**
   * Harbor answers 401 for all of a project that is not there: one root of each project goes
   * ahead, and a refusal is handed to this. False = there is nothing in this project.
   */
  refused?: (project: string, error: AirgapError) => Promise<boolean>;
  signal?: AbortSignal;
}

/** Asks for each root once: HEAD by tag or digest tells the digest that is there. */
class Inventory {
  readonly #options: InventoryOptions;
  readonly #projects = new Map<string, Promise<boolean>>();
  readonly #answers = new Map<string, Promise<Found>>();

  constructor(options: InventoryOptions) {
    this.#options = options;
  }

  async state(image: PushImage): Promise<ImageState> {
    const [found, ...attached] = await Promise.all([image.root, ...image.attached].map((root) => this.#once(root)));
    return { image, found: found as Found, attached };
  }

  #once(root: PushRoot): Promise<Found> {
    const key = `${root.repository} ${root.reference}`;
    const answer = this.#answers.get(key) ?? this.#find(root);
    this.#answers.set(key, answer);
    return answer;
  }

  async #find(root: PushRoot): Promise<Found> {
    const { refused } = this.#options;
    if (refused === undefined) return await this.#ask(root);
    const project = projectOf(root.repository);
    const first = this.#projects.get(project);
    if (first !== undefined) return (await first) ? await this.#ask(root) : { root, digest: undefined };
    const ahead = this.#ask(root).catch(async (error: unknown): Promise<Found | undefined> => {
      if (!(error instanceof AirgapError) || error.code !== "unauthorized") throw error;
      return (await refused(project, error)) ? await this.#ask(root) : undefined;
    });
    this.#projects.set(
      project,
      ahead.then((found) => found !== undefined),
    );
    return (await ahead) ?? { root, digest: undefined };
  }

  async #ask(root: PushRoot): Promise<Found> {
    const { open, signal } = this.#options;
    return { root, digest: await open(root.repository).head(root.reference, signal) };
  }
}

/** What a target has of several images: one request a root and name. */
export async function takeInventory(images: PushImage[], options: InventoryOptions): Promise<ImageState[]> {
  const inventory = new Inventory(options);
  return await Promise.all(images.map((image) => inventory.state(image)));
}
