import { AirgapError, isAirgapError } from "../../errors.ts";
import type { Attached, ImageItem, Item } from "../../lock/lock.ts";
import type { ResolveContext, Resolved } from "../../lock/resolved.ts";
import { type Descriptor, isRecord } from "../../oci/descriptor.ts";
import { type Digest, digestOf } from "../../oci/digest.ts";
import type { Index, Manifest } from "../../oci/manifest.ts";
import { isIndexType, MediaType } from "../../oci/media-types.ts";
import { formatPlatform, matchesPlatform, type Platform } from "../../oci/platform.ts";
import { formatReference, type Reference } from "../../oci/reference.ts";
import { danglingWarning, foreignWarning } from "../../transport/left-out.ts";
import { readBlob } from "../../transport/read.ts";
import type { Source } from "../../transport/types.ts";
import { findAttached, type KnownTags, knownTags } from "./attached.ts";
import { Graph } from "./graph.ts";
import { landingOf, selectChildren } from "./select.ts";
import { isSignature, type RequiredKey, verifySigned } from "./signed.ts";

const MAX_CONFIG = 4 * 1024 * 1024;

/** One image to carry, with everyone who wants it. */
export interface ImageRequest {
  reference: Reference;
  platforms: Platform[] | "all";
  /** Only `platforms`, even of an index that is named by digest. */
  exact: boolean;
  /** Undefined where the spec decides nothing: then what is left out is told. */
  foreignLayers: boolean | undefined;
  /** Signatures, SBOMs and what else refers to it. */
  attachments: Attachments;
  /** Who must have signed it. */
  keys: RequiredKey[];
  wantedBy: string[];
}

/** An image's source with the tag or digest to ask it for. */
export interface OpenedImage {
  source: Source;
  reference: string;
  /** For the lock, where the source's own name depends on the folder of the spec. */
  origin?: string;
}

/** What the work is done within. */
type Run = Pick<ResolveContext, "emit" | "signal">;

interface Chosen {
  root: Descriptor;
  original?: Descriptor;
}

/** Decides which parts of an image are carried and finds every blob of them. */
class ImageResolver {
  readonly #request: ImageRequest;
  readonly #source: Source;
  readonly #graph: Graph;
  readonly #signal: AbortSignal | undefined;
  readonly #name: string;
  readonly #emit: Run["emit"];

  constructor(request: ImageRequest, source: Source, { signal, emit }: Run) {
    this.#emit = emit;
    this.#request = request;
    this.#source = source;
    this.#signal = signal;
    this.#name = formatReference(request.reference);
    this.#graph = new Graph(source, { foreignLayers: request.foreignLayers === true, signal });
  }

  async fresh(reference: string, origin = originOf(this.#source, reference)): Promise<Resolved> {
    const found = bare(await this.#source.resolve(reference, this.#signal));
    const { attachments, keys } = this.#request;
    const verified =
      keys.length > 0 ? await verifySigned(this.#source, found.digest, keys, this.#signal) : undefined;
    const tags = attachments === "none" ? Promise.resolve(undefined) : knownTags(this.#source, this.#signal);
    // Fetched in parallel with the config; a failure matters only when they are needed.
    tags.catch(() => {});
    const chosen = isIndexType(found.mediaType) ? await this.#index(found) : await this.#single(found);
    const attached = attachments === "none" ? [] : await this.#addFresh(tags);
    const { item, blobs } = this.#resolved(chosen, attached, [origin]);
    return { item: verified ? { ...(item as ImageItem), verified } : item, blobs };
  }

  /** Follows a locked item: no tag is resolved, and children are chosen from the same index as before. */
  async locked(item: ImageItem): Promise<Resolved> {
    this.#checkVerified(item);
    if (item.original) await this.#graph.addAlone(item.original);
    const derived = item.original && isIndexType(item.root.mediaType);
    if (derived && item.original) await this.#derive(item.original, item.root);
    if (item.exact && isIndexType(item.root.mediaType)) await this.#index(item.root);
    else await this.#graph.add(item.root);
    for (const { descriptor } of item.attached ?? []) await this.#graph.add(descriptor);
    const resolved = this.#resolved(
      { root: item.root, ...(item.original ? { original: item.original } : {}) },
      item.attached ?? [],
      item.origins,
      item.exact,
    );
    const { verified } = item;
    return verified ? { ...resolved, item: { ...(resolved.item as ImageItem), verified } } : resolved;
  }

  /** The lock pins the content that was checked when it was made; it says whose signature that was. */
  #checkVerified({ verified = [] }: ImageItem): void {
    const missing = this.#request.keys.find(
      ({ key }) => !verified.some((each) => each.key === key.fingerprint),
    );
    if (missing === undefined) return;
    throw new AirgapError(
      "spec",
      `The lock does not fit the spec: it does not say that ${this.#name} was signed by ${missing.file} (${missing.key.fingerprint})`,
      { suggestions: ["build again without --locked: it checks the signature"] },
    );
  }

  #resolved(
    { root, original }: Chosen,
    attached: Attached[],
    origins: string[],
    exact = this.#sparse,
  ): Resolved {
    const { leftOut } = this.#graph;
    if (leftOut.length > 0 && this.#request.foreignLayers === undefined)
      this.#emit(foreignWarning(this.#name, leftOut, foreignRemedy(this.#name)));
    const item: Item = {
      kind: "image",
      name: this.#name,
      root,
      ...(original ? { original } : {}),
      ...(exact ? { exact: true } : {}),
      origins,
      wantedBy: [...new Set(this.#request.wantedBy)].toSorted(),
      ...(attached.length > 0 ? { attached } : {}),
    };
    return { item, blobs: this.#graph.blobs };
  }

  #sparse = false;

  async #index(found: Descriptor): Promise<Chosen> {
    const { bytes, content } = await this.#graph.content(found);
    const children = (content as Index).manifests;
    const pinned = this.#request.reference.digest !== undefined;
    const chosen = selectChildren(
      children,
      pinned && !this.#request.exact ? "all" : this.#request.platforms,
      this.#name,
    );
    const digests = new Set(chosen.map(({ digest }) => digest));
    const index = JSON.parse(bytes.toString("utf8")) as Record<string, unknown>;
    const landing = landingOf(index, children, chosen);
    if (landing.kind === "whole") {
      await this.#graph.add(found);
      return { root: found };
    }
    if (pinned) {
      this.#sparse = true;
      await this.#graph.add(found, (child) => !children.includes(child) || digests.has(child.digest));
      return { root: found };
    }
    await this.#graph.addAlone(found);
    if (landing.kind === "single") {
      await this.#graph.add(landing.child);
      return { root: bare(landing.child), original: found };
    }
    const root: Descriptor = {
      mediaType: found.mediaType,
      digest: digestOf(landing.bytes),
      size: landing.bytes.length,
    };
    this.#graph.addBytes(root, landing.bytes);
    await this.#graph.add(root);
    return { root, original: found };
  }

  /** Makes the derived index of a locked item again; no registry has it. */
  async #derive(original: Descriptor, root: Descriptor): Promise<void> {
    const { bytes, content } = await this.#graph.content(original);
    const children = (content as Index).manifests;
    const landing = landingOf(
      JSON.parse(bytes.toString("utf8")) as Record<string, unknown>,
      children,
      selectChildren(children, this.#request.platforms, this.#name),
    );
    if (landing.kind !== "derived" || digestOf(landing.bytes) !== root.digest) {
      throw new AirgapError(
        "spec",
        `The lock does not fit the spec: for ${this.#name} it has other platforms`,
        {
          suggestions: ["build again without --locked"],
        },
      );
    }
    this.#graph.addBytes(root, landing.bytes);
  }

  async #single(found: Descriptor): Promise<Chosen> {
    const { content } = await this.#graph.content(found);
    if (content.kind === "manifest") await this.#checkPlatform(content);
    await this.#graph.add(found);
    return { root: found };
  }

  /** The config of an image without an index names its platform. An artifact has none. */
  async #checkPlatform({ config }: Manifest): Promise<void> {
    const { platforms, reference } = this.#request;
    if (platforms === "all" || reference.digest !== undefined || !isImageConfig(config.mediaType)) return;
    const bytes = await readBlob(this.#source, config, MAX_CONFIG, this.#signal);
    this.#graph.addBlobBytes(config, bytes);
    const have = platformOf(bytes);
    const missing = have && platforms.find((want) => !matchesPlatform(have, want));
    if (!have || !missing) return;
    throw new AirgapError(
      "not-found",
      `${this.#name} is an image for ${formatPlatform(have)} only; the spec asks for ${formatPlatform(missing)}`,
      {
        suggestions: [
          `give this image its own platforms in the spec: { ref: "${this.#name}", platforms: [${formatPlatform(have)}] }`,
        ],
      },
    );
  }

  /** Adds what is attached to the manifests so far. A cleanup may have deleted what is still listed. */
  async #addFresh(tags: Promise<KnownTags>): Promise<Attached[]> {
    const own = this.#graph.manifests;
    const found = await findAttached(this.#source, own, this.#signal, tags);
    const wanted = this.#request.attachments === "signatures" ? await this.#signaturesIn(found, own) : found;
    const kept: Attached[] = [];
    for (const each of wanted) {
      if (await this.#graph.addIfThere(each.descriptor)) kept.push(each);
      else this.#emit(danglingWarning(this.#name, each));
    }
    return kept;
  }

  /** Signatures of the image, and of signatures; what is attached to an SBOM stays away with it. */
  async #signaturesIn(found: Attached[], own: Digest[]): Promise<Attached[]> {
    const signatures: Attached[] = [];
    for (const each of found) if (await this.#isSignature(each)) signatures.push(each);
    const reached = new Set<string>(own);
    for (let before = -1; before < reached.size; ) {
      before = reached.size;
      for (const { subject, descriptor } of signatures)
        if (reached.has(subject)) reached.add(descriptor.digest);
    }
    return signatures.filter(({ subject }) => reached.has(subject));
  }

  async #isSignature({ descriptor, tag }: Attached): Promise<boolean> {
    try {
      const { content } = await this.#graph.content(descriptor);
      return content.kind === "manifest" && isSignature(tag, content);
    } catch (error) {
      // What is gone is told where it is added.
      if (isAirgapError(error, "not-found")) return true;
      throw error;
    }
  }
}

/** What of the artifacts that are attached to an image is carried. */
export type Attachments = "none" | "signatures" | "all";

const foreignRemedy = (name: string): string =>
  `images: [{ ref: "${name}", foreignLayers: true }]  # carries them, where their licence allows it; false is silent`;

function isImageConfig(mediaType: string): boolean {
  return mediaType === MediaType.ociConfig || mediaType === MediaType.dockerConfig;
}

function platformOf(config: Buffer): Platform | undefined {
  try {
    const value: unknown = JSON.parse(config.toString("utf8"));
    if (
      !isRecord(value) ||
      typeof value["os"] !== "string" ||
      typeof value["architecture"] !== "string" ||
      value["architecture"] === ""
    )
      return undefined;
    return {
      os: value["os"],
      architecture: value["architecture"],
      ...(typeof value["variant"] === "string" && value["variant"] ? { variant: value["variant"] } : {}),
    };
  } catch {
    return undefined;
  }
}

function bare({ mediaType, digest, size, artifactType }: Descriptor): Descriptor {
  return { mediaType, digest, size, ...(artifactType ? { artifactType } : {}) };
}

function originOf(source: Source, reference: string): string {
  return source.name.startsWith("docker://")
    ? `${source.name}${reference.includes(":") ? "@" : ":"}${reference}`
    : source.name;
}

/** Resolves one image: asks the source what its tag stands for. */
export function resolveImage(
  request: ImageRequest,
  { source, reference, origin }: OpenedImage,
  run: Run,
): Promise<Resolved> {
  return new ImageResolver(request, source, run).fresh(reference, origin);
}

/** Finds the blobs of an image that a lock pins. */
export function followLockedImage(
  request: ImageRequest,
  item: ImageItem,
  source: Source,
  run: Run,
): Promise<Resolved> {
  return new ImageResolver(request, source, run).locked(item);
}
