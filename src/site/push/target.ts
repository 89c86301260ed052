import { AirgapError, isAirgapError } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { isManifestLike } from "../../oci/media-types.ts";
import { formatPlatform } from "../../oci/platform.ts";
import { RegistryError } from "../../transport/registry/answer.ts";
import type { RegistryClient } from "../../transport/registry/client.ts";
import type { RegistryDestination } from "../../transport/registry/destination.ts";
import type { Registries } from "../../transport/registry/registries.ts";
import type { Source } from "../../transport/types.ts";
import { HarborApi } from "../harbor/api.ts";
import {
  type Asker,
  explain,
  isImmutableTag,
  isWithheld,
  saysMissingProject,
  wordsOf,
} from "../harbor/errors.ts";
import type { PushRoot } from "./plan.ts";
import { projectOf } from "./plan.ts";

export interface TargetOptions {
  registries: Registries;
  host: string;
  /** A repository that is pushed to: credentials may hold for a namespace. */
  repository?: string;
  /** The command with all its options, for suggestions. */
  command: string;
  makesProjects: boolean;
  emit: Emit;
  signal?: AbortSignal;
}

/** The registry that is pushed to: its repositories, and whether it is a Harbor. */
export class PushTarget {
  readonly client: RegistryClient;
  readonly harbor: HarborApi | undefined;
  readonly asker: Asker;
  /** Harbor projects that are missing. */
  readonly missing = new Set<string>();
  /** Manifests that a policy keeps from being pulled, with the registry's words. By repository and reference. */
  readonly withheld = new Map<string, string>();
  readonly #registries: Registries;
  readonly #emit: Emit;
  readonly #signal: AbortSignal | undefined;
  readonly #repositories = new Map<string, RegistryDestination>();

  private constructor(options: TargetOptions, asker: Asker, harbor: HarborApi | undefined) {
    this.client = options.registries.client(asker.host);
    this.harbor = harbor;
    this.asker = asker;
    this.#registries = options.registries;
    this.#emit = options.emit;
    this.#signal = options.signal;
  }

  /** @throws AirgapError `unauthorized` when a Harbor does not know the login */
  static async open(options: TargetOptions): Promise<PushTarget> {
    const { registries, host, repository, command, makesProjects, signal } = options;
    const client = registries.client(host);
    const credential = await client.credential(repository);
    const user = credential && "username" in credential ? { user: credential.username } : {};
    const url = (await client.base()).origin;
    const harbor = await HarborApi.meet(client, repository, signal);
    return new PushTarget(options, { host, url, command, makesProjects, ...user }, harbor);
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

  /** Whether a repository is in a project that is missing. */
  isMissing(repository: string): boolean {
    return this.missing.has(projectOf(repository));
  }

  /** Whether a repository has a blob or manifest, as far as it tells by HEAD. */
  async has(repository: string, descriptor: Descriptor, signal?: AbortSignal): Promise<boolean> {
    if (this.isMissing(repository)) return false;
    return await this.repository(repository)
      .exists(descriptor, signal)
      .catch((error: unknown) => {
        if (this.harbor && isManifestLike(descriptor.mediaType) && isWithheld(error)) return true;
        // In a missing project Harbor says 401 to everything.
        if (this.harbor && isAirgapError(error, "unauthorized")) return false;
        throw error;
      });
  }

  /** The digest that a root's name stands for; undefined when nothing has the name. */
  async head(root: PushRoot, signal?: AbortSignal): Promise<Digest | undefined> {
    try {
      return await this.repository(root.repository).head(root.reference, signal);
    } catch (error) {
      if (!this.harbor || !isWithheld(error)) throw error;
      return await this.#digestOfWithheld(root, signal);
    }
  }

  /**
   * Asks for a root that was sent: only what the registry gives out counts.
   * @throws AirgapError `corrupt` when it gives out something else, `refused` when it has nothing
   */
  async readBack(root: PushRoot, signal?: AbortSignal): Promise<void> {
    const { repository, reference, descriptor } = root;
    this.withheld.delete(nameOf(root));
    const found = await this.repository(repository)
      .readBack(reference, signal)
      .catch(async (error: unknown) => {
        if (this.harbor && isWithheld(error)) return await this.#digestOfWithheld(root, signal, error);
        throw isAirgapError(error, "not-found") ? this.#notGivenOut(root, error) : error;
      });
    // Where a policy is before it and the account may not ask the API, the answer to the PUT has to do.
    if (found === undefined || found === descriptor.digest) return;
    throw new AirgapError(
      "corrupt",
      `${this.client.host}/${repository}:${reference} was pushed as ${descriptor.digest}, but reads back as ${found}`,
      {
        suggestions: ["find out who else pushes to it, then run the same command again"],
        data: { expected: descriptor.digest, found },
      },
    );
  }

  /**
   * Asks for each image of an index that was sent: Harbor holds these to its policies one by one, and
   * signing an index does not sign them. What is withheld is noted under the name of the index.
   */
  async readChildren(root: PushRoot, children: Descriptor[], signal?: AbortSignal): Promise<void> {
    const name = nameOf(root);
    if (this.withheld.has(name) || !(await this.mayWithhold(root.repository))) return;
    const platforms = new Map<string, string[]>();
    for (const descriptor of children) {
      const { digest, platform } = descriptor;
      const child: PushRoot = { repository: root.repository, reference: digest, descriptor };
      await this.head(child, signal);
      const reason = this.withheld.get(nameOf(child));
      if (reason !== undefined)
        platforms.set(reason, [
          ...(platforms.get(reason) ?? []),
          platform ? formatPlatform(platform) : digest,
        ]);
    }
    if (platforms.size > 0)
      this.withheld.set(
        name,
        [...platforms].map(([reason, held]) => `${held.join(", ")}: ${reason}`).join("; "),
      );
  }

  /** Whether a project gives out only what is signed by cosign, as far as the account may know. */
  async wantsSigned(repository: string): Promise<boolean> {
    const project = await this.harbor?.project(projectOf(repository));
    return typeof project === "object" && project.signed;
  }

  /** Whether a project's policies may keep manifests from being pulled, as far as the account may know. */
  async mayWithhold(repository: string): Promise<boolean> {
    const project = await this.harbor?.project(projectOf(repository));
    return project === "denied" || (project !== undefined && project.policies.length > 0);
  }

  /**
   * Gives a tag its new manifest before any blob is sent. @returns whether the registry refuses
   * that because the tag is immutable
   */
  async refusesTag(root: PushRoot, source: Source, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.repository(root.repository).tag(root.descriptor, root.reference, source, signal);
      return false;
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      if (isImmutableTag(error)) return true;
      // It got as far as the blobs that are not there yet.
      if (error.data?.["missing"] === true || [400, 404].includes(error.status)) return false;
      throw error;
    }
  }

  /**
   * What Harbor's 401 to a HEAD means: false for a missing project.
   * @throws the explained error when the project is there, but not for this user
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

  /** An error in Harbor's terms, where it is Harbor's. */
  explain(error: unknown): unknown {
    return this.harbor ? explain(error, this.asker) : error;
  }

  /** What Harbor's API knows of a manifest that `/v2/` gives to nobody; undefined where the account may not ask. */
  async #digestOfWithheld(
    root: PushRoot,
    signal?: AbortSignal,
    refusal?: RegistryError,
  ): Promise<Digest | undefined> {
    const { repository, reference, descriptor } = root;
    // A HEAD's refusal has no words.
    const told =
      refusal ??
      (await this.repository(repository)
        .readBack(reference, signal)
        .catch((error: unknown) => error));
    this.withheld.set(
      nameOf(root),
      told instanceof RegistryError ? wordsOf(told) : "a policy of the project forbids it",
    );
    if (reference === descriptor.digest) return descriptor.digest;
    const artifact = await this.harbor?.artifact(repository, reference);
    return typeof artifact === "object" ? artifact.digest : undefined;
  }

  #notGivenOut(root: PushRoot, cause: AirgapError): AirgapError {
    const { host } = this.client;
    return new AirgapError(
      "refused",
      `${host} took ${nameOf(root)}, but does not give it out: its cache still knows what its storage has lost`,
      {
        cause,
        suggestions: [
          // A restart of Redis alone does not do: it keeps its data.
          `${this.harbor ? "empty the cache of Harbor's registry (docker exec redis redis-cli -n 1 flushdb)" : "restart the registry, or empty its cache"}, then run the same command again`,
        ],
      },
    );
  }
}

/** `site/app:v1`, `site/app@sha256:…` */
export const nameOf = ({ repository, reference }: PushRoot): string =>
  `${repository}${reference.includes(":") ? "@" : ":"}${reference}`;

/** What nodes pull below an index: not what is attached to it as another child. */
export const isRunnableChild =
  ({ descriptor }: PushRoot) =>
  ({ digest, mediaType, platform }: Descriptor): boolean =>
    digest !== descriptor.digest && isManifestLike(mediaType) && platform?.os !== "unknown";
