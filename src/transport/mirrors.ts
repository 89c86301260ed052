import { Readable } from "node:stream";
import { AirgapError, type ErrorCode, isAirgapError, messageOf } from "../errors.ts";
import { type Emit, silent } from "../events.ts";
import type { Trust } from "../http.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import { formatReference, isHost, isRepository, type Reference } from "../oci/reference.ts";
import { readBlob } from "./read.ts";
import type { Registries } from "./registry/registries.ts";
import type { RegistrySource } from "./registry/source.ts";
import type { FetchOptions, Range, Source } from "./types.ts";
import { verifiedStream } from "./verify.ts";

/** How a registry is reached: `sources:` of a spec, by the registry's host. */
export interface SourceEntry {
  /** Tried in this order instead of the registry: `host`, `host/prefix`, or flat `host/path/*`. */
  mirrors?: string[];
  insecure?: boolean;
  caFile?: string;
}
export type SourceEntries = Record<string, SourceEntry>;

/** A repository that may have what a reference names. */
export interface Candidate {
  host: string;
  repository: string;
}

/** Registries that hold the same images under the same paths; a `sources` entry for one serves the other. */
const SAME: Record<string, string> = { "k8s.gcr.io": "registry.k8s.io" };

function invalidMirror(entry: string, host: string): AirgapError {
  return new AirgapError("spec", `sources: ${host}: '${entry}' is not a mirror`, {
    suggestions: ["write it as host, host/prefix (paths are kept) or host/path/* (last component only)"],
  });
}

/** Splits `host/path/*`. @throws AirgapError `spec` */
function parseMirror(entry: string, registry: string): { host: string; path: string; flat: boolean } {
  const [host = "", ...parts] = entry.split("/");
  const flat = parts.at(-1) === "*";
  const path = (flat ? parts.slice(0, -1) : parts).join("/");
  if (!isHost(host) || (path !== "" && !isRepository(path))) throw invalidMirror(entry, registry);
  return { host: host.toLowerCase(), path, flat };
}

/**
 * Where to look for a reference, in order: its registry, or the mirrors that `sources` names. Only an
 * entry that ends in `/*` drops a repository's path. For `flat` (kubeadm's own images, which
 * `imageRepository` drops it for as well) every mirror is asked both ways.
 * @throws AirgapError `spec` for an entry that is not a mirror
 */
export function candidatesFor(reference: Reference, sources: SourceEntries, flat = false): Candidate[] {
  const { host, repository } = reference;
  const named =
    sources[host] !== undefined || SAME[host] === undefined || sources[SAME[host]] === undefined
      ? host
      : (SAME[host] as string);
  const last = repository.slice(repository.lastIndexOf("/") + 1);
  const found = (sources[named]?.mirrors ?? [named]).flatMap((entry): Candidate[] => {
    const mirror = parseMirror(entry, named);
    const at = (path: string): Candidate => ({
      host: mirror.host,
      repository: mirror.path === "" ? path : `${mirror.path}/${path}`,
    });
    if (mirror.flat) return [at(last)];
    return flat && mirror.host !== named ? [at(repository), at(last)] : [at(repository)];
  });
  return [
    ...new Map(found.map((candidate) => [`${candidate.host}/${candidate.repository}`, candidate])).values(),
  ];
}

/** How `sources` says to trust a host. */
export function trustFor(host: string, sources: SourceEntries): Trust {
  const { insecure, caFile } = sources[host] ?? {};
  return { ...(insecure === undefined ? {} : { insecure }), ...(caFile === undefined ? {} : { caFile }) };
}

export interface MirrorRequest {
  reference: Reference;
  flat?: boolean | undefined;
  /** The digest that a lock requires; a mirror with other content is skipped. */
  expect?: Digest | undefined;
  foreignLayers?: boolean | undefined;
}

/** Finds images on the mirrors of their registries; remembers for a whole run which hosts are unreachable. */
export class Mirrors {
  readonly #registries: Registries;
  readonly #sources: SourceEntries;
  readonly #emit: Emit;
  readonly #dead = new Map<string, AirgapError>();

  constructor(registries: Registries, sources: SourceEntries = {}, emit: Emit = silent) {
    this.#registries = registries;
    this.#sources = sources;
    this.#emit = emit;
  }

  /**
   * Opens an image at the first candidate that has it. Resolve the returned tag or digest; with
   * `expect` the source is already known to have it.
   * @throws AirgapError when no candidate has it, with the answer of each
   */
  async open(request: MirrorRequest, signal?: AbortSignal): Promise<{ source: Source; reference: string }> {
    const { reference, flat = false, expect, foreignLayers = false } = request;
    const candidates = candidatesFor(reference, this.#sources, flat).map(({ host, repository }) =>
      this.#registries.source(host, repository, { foreignLayers }),
    );
    const asked = expect ?? reference.digest ?? reference.tag ?? "latest";
    const source = new MirroredSource({ candidates, dead: this.#dead, emit: this.#emit, reference });
    if (expect !== undefined) await source.resolve(expect, signal);
    return { source, reference: asked };
  }
}

interface MirroredOptions {
  candidates: RegistrySource[];
  dead: Map<string, AirgapError>;
  emit: Emit;
  reference: Reference;
}

/** Errors after which the next candidate is tried; any other (a full disk, Ctrl-C) ends the search. */
const PASSED_OVER: readonly ErrorCode[] = [
  "not-found",
  "unauthorized",
  "refused",
  "network",
  "protocol",
  "corrupt",
  "unsupported",
];

/**
 * The candidates of one image as one source: the first that answers is used from then on, and the
 * others replace it when it does not have the content.
 */
class MirroredSource implements Source {
  readonly #options: MirroredOptions;
  #chosen: RegistrySource | undefined;
  /** Who gave the bytes of a digest last, and who gave wrong ones. */
  readonly #gave = new Map<Digest, RegistrySource>();
  readonly #refused = new Map<Digest, Set<RegistrySource>>();

  constructor(options: MirroredOptions) {
    this.#options = options;
  }

  /** The origin that answered. */
  get name(): string {
    return (this.#chosen ?? (this.#options.candidates[0] as RegistrySource)).name;
  }

  async resolve(reference: string, signal?: AbortSignal): Promise<Descriptor> {
    if (this.#chosen) return await this.#chosen.resolve(reference, signal);
    return await this.#tryEach(formatReference(this.#options.reference), async (candidate) => {
      const found = await candidate.resolve(reference, signal).catch(async (error: unknown) => {
        if (isDigest(reference)) await this.#nameOther(candidate, reference, error, signal);
        throw error;
      });
      this.#chosen = candidate;
      return found;
    });
  }

  async fetch(descriptor: Descriptor, { range, signal }: FetchOptions = {}): Promise<Readable> {
    if (range === undefined && descriptor.size <= MAX_MANIFEST_SIZE)
      return Readable.from([await this.#small(descriptor, signal)], { objectMode: false });
    const chunks = this.#bytes(descriptor, new Rest(descriptor, range), signal);
    return range
      ? Readable.from(chunks, { objectMode: false })
      : verifiedStream(chunks, descriptor, this.name);
  }

  async writeTo(
    descriptor: Descriptor,
    range: Range,
    sink: (chunk: Uint8Array) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const rest = new Rest(descriptor, range);
    await this.#tryEach(
      `${descriptor.digest} of ${this.name}`,
      async (candidate: Source) => {
        const take = (chunk: Uint8Array): void => {
          rest.take(chunk);
          sink(chunk);
        };
        if (candidate.writeTo) await candidate.writeTo(descriptor, rest.range, take, signal);
        else
          for await (const chunk of await candidate.fetch(descriptor, rest.options(signal)))
            take(chunk as Uint8Array);
        rest.checkWhole(candidate.name);
      },
      descriptor.digest,
    );
  }

  refuse({ digest }: Descriptor): boolean {
    const wrong = this.#gave.get(digest);
    const refused = new Set(this.#refused.get(digest)).add(wrong as RegistrySource);
    const others = this.#options.candidates.some((candidate) => !refused.has(candidate));
    if (wrong === undefined || !others) return false;
    this.#refused.set(digest, refused);
    this.#gave.delete(digest);
    return true;
  }

  /** A small blob, from the first candidate that has it as it must be. */
  async #small(descriptor: Descriptor, signal?: AbortSignal): Promise<Buffer> {
    const wrong: AirgapError[] = [];
    const bytes = await this.#tryEach(`${descriptor.digest} of ${this.name}`, async (candidate) => {
      try {
        return await readBlob(candidate, descriptor, MAX_MANIFEST_SIZE, signal);
      } catch (error) {
        if (isAirgapError(error, "corrupt")) wrong.push(error);
        throw error;
      }
    });
    for (const error of wrong)
      this.#options.emit({ type: "warning", message: `${messageOf(error)}; it comes from another mirror` });
    return bytes;
  }

  async referrers(digest: Digest, signal?: AbortSignal): Promise<Descriptor[]> {
    return (await this.#chosen?.referrers(digest, signal)) ?? [];
  }

  async tags(signal?: AbortSignal): Promise<string[]> {
    return (await this.#chosen?.tags(signal)) ?? [];
  }

  /** When a candidate breaks off, the next one continues from the byte where it stopped. */
  async *#bytes(descriptor: Descriptor, rest: Rest, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const failures: AirgapError[] = [];
    for (const candidate of this.#usable(descriptor.digest)) {
      this.#gave.set(descriptor.digest, candidate);
      try {
        for await (const chunk of (await candidate.fetch(
          descriptor,
          rest.options(signal),
        )) as AsyncIterable<Uint8Array>) {
          rest.take(chunk);
          yield chunk;
        }
        return;
      } catch (error) {
        failures.push(this.#failure(candidate, error));
      }
    }
    throw combined(failures, `${descriptor.digest} of ${this.name}`);
  }

  async #tryEach<T>(
    what: string,
    action: (candidate: RegistrySource) => Promise<T>,
    poured?: Digest,
  ): Promise<T> {
    const failures: AirgapError[] = [];
    for (const candidate of this.#usable(poured)) {
      if (poured !== undefined) this.#gave.set(poured, candidate);
      try {
        return await action(candidate);
      } catch (error) {
        // Wrong bytes that were handed over cannot be gone on with.
        if (poured !== undefined && isAirgapError(error, "corrupt")) throw error;
        failures.push(this.#failure(candidate, error));
      }
    }
    throw combined(failures, what);
  }

  /** The one that answered first, then the others; unreachable hosts only when nothing else is left. */
  #usable(digest?: Digest): RegistrySource[] {
    const { candidates, dead } = this.#options;
    const refused = digest && this.#refused.get(digest);
    const ordered = [
      ...(this.#chosen ? [this.#chosen] : []),
      ...candidates.filter((candidate) => candidate !== this.#chosen),
    ].filter((candidate) => !refused?.has(candidate));
    const alive = ordered.filter(({ client }) => !dead.has(client.host));
    return alive.length > 0 ? alive : ordered;
  }

  #failure(candidate: RegistrySource, error: unknown): AirgapError {
    if (!isAirgapError(error, ...PASSED_OVER)) throw error;
    const { dead, emit, candidates } = this.#options;
    const { host } = candidate.client;
    if (
      error.code === "network" &&
      !dead.has(host) &&
      candidates.some(({ client }) => client.host !== host)
    ) {
      dead.set(host, error);
      emit({
        type: "warning",
        message: `${host} does not answer and is not asked again in this run: ${messageOf(error)}`,
      });
    }
    return error;
  }

  /** Warns with both digests about a mirror whose content for a name differs from the lock. */
  async #nameOther(
    candidate: RegistrySource,
    expected: Digest,
    error: unknown,
    signal?: AbortSignal,
  ): Promise<void> {
    if (!isAirgapError(error, "not-found", "corrupt")) return;
    const { tag } = this.#options.reference;
    const wrong = error.data?.["found"];
    const found =
      error.code === "corrupt" ? wrong : tag && (await candidate.head(tag, signal).catch(() => undefined));
    if (typeof found !== "string" || found === expected) return;
    this.#options.emit({
      type: "warning",
      message: `${candidate.name}${tag ? `:${tag}` : ""} is skipped: it has ${found}, but the lock has ${expected}`,
    });
  }
}

/** The missing rest of a range. */
class Rest {
  readonly #digest: Digest;
  #offset: number;
  readonly #end: number;

  constructor({ digest, size }: Descriptor, { offset, length = size - offset }: Range = { offset: 0 }) {
    this.#digest = digest;
    this.#offset = offset;
    this.#end = offset + length;
  }

  get range(): Range {
    return { offset: this.#offset, length: this.#end - this.#offset };
  }

  /** @throws AirgapError `network` when an answer ended before it should */
  checkWhole(from: string): void {
    if (this.#offset < this.#end)
      throw new AirgapError("network", `${from} ended after ${this.#offset} bytes of ${this.#digest}`);
  }

  take(chunk: Uint8Array): void {
    this.#offset += chunk.length;
  }

  options(signal?: AbortSignal): FetchOptions {
    return { range: this.range, ...(signal ? { signal } : {}) };
  }
}

/** One error for all candidates; an unreachable host weighs more than one that does not have the image. */
function combined(failures: AirgapError[], what: string): AirgapError {
  const [only, ...others] = failures as [AirgapError, ...AirgapError[]];
  if (others.length === 0) return only;
  const worst =
    PASSED_OVER.toReversed().find(
      (code) => code !== "not-found" && failures.some((failure) => failure.code === code),
    ) ?? "not-found";
  const suggestions = [...new Set(failures.flatMap((failure) => failure.suggestions))];
  return new AirgapError(
    worst,
    `${what} is not available from any of its sources: ${failures.map(messageOf).join("; ")}`,
    { suggestions, cause: only },
  );
}
