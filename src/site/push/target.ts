import type { AirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import type { RegistryClient } from "../../transport/registry/client.ts";
import type { RegistryDestination } from "../../transport/registry/destination.ts";
import type { Registries } from "../../transport/registry/registries.ts";
import { HarborApi } from "../harbor/api.ts";
import { explain, type PushWords, saysMissingProject } from "../harbor/errors.ts";
import type { PushRoot } from "./plan.ts";
import { projectOf } from "./plan.ts";

/** The registry that is pushed to: its repositories, and whether it is a Harbor. */
export class PushTarget {
  readonly client: RegistryClient;
  readonly harbor: HarborApi | undefined;
  readonly words: PushWords;
  /** Harbor projects that are not there. */
  readonly missing = new Set<string>();
  readonly #registries: Registries;
  readonly #emit: Emit;
  readonly #signal: AbortSignal | undefined;
  readonly #repositories = new Map<string, RegistryDestination>();

  private constructor(
    registries: Registries,
    words: PushWords,
    harbor: HarborApi | undefined,
    emit: Emit,
    signal?: AbortSignal,
  ) {
    this.client = registries.client(words.host);
    this.harbor = harbor;
    this.words = words;
    this.#registries = registries;
    this.#emit = emit;
    this.#signal = signal;
  }

  /** @param words without what is found out: the user among the credentials, the address by asking */
  static async open(
    registries: Registries,
    words: Omit<PushWords, "user" | "url">,
    emit: Emit,
    signal?: AbortSignal,
  ): Promise<PushTarget> {
    const client = registries.client(words.host);
    const credential = await client.credential();
    const user = credential && "username" in credential ? { user: credential.username } : {};
    const url = (await client.base()).origin;
    return new PushTarget(
      registries,
      { ...words, url, ...user },
      await HarborApi.meet(client, signal),
      emit,
      signal,
    );
  }

  repository(name: string): RegistryDestination {
    const known = this.#repositories.get(name);
    if (known) return known;
    // Harbor protects a blob from its garbage collection when it is asked for by HEAD.
    const probe = this.harbor ? "head" : "mount";
    const opened = this.#registries.destination(this.client.host, name, { emit: this.#emit, probe });
    this.#repositories.set(name, opened);
    return opened;
  }

  /** Whether a repository is in a project that is not there. */
  isMissing(repository: string): boolean {
    return this.missing.has(projectOf(repository));
  }

  /**
   * What Harbor's 401 to a HEAD means: false for a project that is not there.
   * @throws the error in words when the project is there, but not for this user
   */
  async refused({ repository, reference }: PushRoot, error: AirgapError): Promise<false> {
    const project = projectOf(repository);
    let there = await this.harbor?.hasProject(project);
    if (there === undefined) {
      // A HEAD's refusal has no words; a GET's has.
      const words = await this.repository(repository)
        .readBack(reference, this.#signal)
        .catch((second: unknown) => second);
      there = !saysMissingProject(words);
    }
    if (there) throw this.explain(error);
    this.missing.add(project);
    return false;
  }

  /** An error in Harbor's words, where it is Harbor's. */
  explain(error: unknown): unknown {
    return this.harbor ? explain(error, this.words) : error;
  }
}
