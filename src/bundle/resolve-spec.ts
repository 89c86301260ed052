import { resolve } from "node:path";
import type { OpenRepository } from "../discovery/charts/oci.ts";
import { isAirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import { run } from "../host/process.ts";
import { HttpClients } from "../http.ts";
import type { Lock } from "../lock/lock.ts";
import type { Resolution, ResolveContext, Resolved } from "../lock/resolved.ts";
import type { BundleSpec } from "../lock/spec.ts";
import { resolveImages } from "../resolve/images/resolve.ts";
import type { DocumentsContext } from "../resolve/manifests.ts";
import type { Logins } from "../transport/logins.ts";
import { Mirrors, type SourceEntries, trustFor } from "../transport/mirrors.ts";
import { Registries } from "../transport/registry/registries.ts";
import type { Source } from "../transport/types.ts";
import { allOf } from "./all-errors.ts";
import { ImageSources } from "./image-sources.ts";

export interface ResolveOptions {
  spec: BundleSpec;
  /** The logins that were taken out of the spec. */
  logins: Logins;
  baseDir: string;
  cacheDir: string;
  /** Requests to a host at a time; by default as many as it can handle. */
  concurrency?: number | undefined;
  /** Resolve the rest when something cannot be resolved, and fail with all of it. */
  keepGoing?: boolean | undefined;
  /** Local bundles, asked for content before the network is. */
  atHand: Source[];
  emit: Emit;
  signal?: AbortSignal | undefined;
  locked?: Lock | undefined;
  previous?: Lock | undefined;
}

/** A resolved spec. Its sources stay open until `close`, since the bundle is filled from them. */
export interface ResolveSession {
  resolved: Resolved[];
  /** The images that kubeadm of each version needs. */
  kubeadm: Record<string, string[]>;
  close(): Promise<void>;
}

/** Images at a time; each host's client limits the requests to that host. */
const IMAGES = 32;

/** Works out everything that a spec asks for. @throws AirgapError */
export async function resolveSpec(options: ResolveOptions): Promise<ResolveSession> {
  const { spec, emit, signal, concurrency } = options;
  const sources = resolveCaFiles(spec.sources, options.baseDir);
  const clients = new HttpClients({
    connections: Math.max(16, concurrency ?? 0),
    emit,
    logins: options.logins.header,
  });
  const limits = concurrency === undefined ? {} : { limits: { start: concurrency, max: concurrency } };
  const registries = Registries.forUser(run, {
    trust: (host) => trustFor(host, sources),
    emit,
    ...limits,
  });
  const mirrors = new Mirrors(registries, sources, emit);
  const { baseDir, cacheDir, atHand } = options;
  const places = new ImageSources({ mirrors, baseDir, cacheDir, atHand, signal });
  const context: ResolveContext = {
    baseDir,
    cacheDir,
    http: (trust) => clients.for(trust ?? {}),
    emit,
    signal,
    locked: options.locked,
    previous: options.previous,
  };
  const close = async (): Promise<void> => {
    await places.close();
    await registries.close();
    await clients.close();
  };
  try {
    const kubeadm: ResolveSession["kubeadm"] = {};
    const registry: OpenRepository = (host, repository) => registries.source(host, repository);
    const failures = new Failures(options.keepGoing === true);
    const resolutions = await resolveWants(spec, { ...context, registry }, kubeadm, failures);
    const wants = resolutions.flatMap(({ images }) => images);
    const images = await failures.collect(
      () =>
        resolveImages({
          images: spec.images,
          wants,
          platforms: spec.platforms,
          attachments: spec.attachments,
          open: (request) => places.open(request),
          concurrency: concurrency ?? IMAGES,
          context,
        }),
      [],
    );
    failures.throwAll();
    return { resolved: [...resolutions.flatMap(({ resolved }) => resolved), ...images], kubeadm, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What could not be resolved. Without `keepGoing` the first failure is thrown at once. */
class Failures {
  readonly #keepGoing: boolean;
  readonly #errors: unknown[] = [];

  constructor(keepGoing: boolean) {
    this.#keepGoing = keepGoing;
  }

  async collect<T>(work: () => Promise<T>, instead: T): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!this.#keepGoing || !isAirgapError(error) || error.code === "interrupted") throw error;
      this.#errors.push(error);
      return instead;
    }
  }

  /** All entries together; when that fails, each alone with its index, so that every one that fails is named. */
  async each<E>(
    entries: E[],
    resolveAll: (entries: E[], first: number) => Promise<Resolution>,
  ): Promise<Resolution> {
    const nothing: Resolution = { resolved: [], images: [] };
    if (!this.#keepGoing || entries.length < 2) return this.collect(() => resolveAll(entries, 0), nothing);
    try {
      return await resolveAll(entries, 0);
    } catch (error) {
      if (!isAirgapError(error) || error.code === "interrupted") throw error;
      const before = this.#errors.length;
      const found: Resolution[] = [];
      for (const [i, entry] of entries.entries())
        found.push(await this.collect(() => resolveAll([entry], i), nothing));
      // What fails only together.
      if (this.#errors.length === before) this.#errors.push(error);
      return {
        resolved: found.flatMap(({ resolved }) => resolved),
        images: found.flatMap(({ images }) => images),
      };
    }
  }

  throwAll(): void {
    if (this.#errors.length > 0) throw allOf(this.#errors);
  }
}

/** Calls one resolver for each kind that the spec names; the others are not loaded. */
async function resolveWants(
  spec: BundleSpec,
  context: DocumentsContext,
  kubeadm: ResolveSession["kubeadm"],
  failures: Failures,
): Promise<Resolution[]> {
  const found: Resolution[] = [];
  if (spec.kubernetes.length > 0) {
    const { resolveKubernetes } = await import("../resolve/kubernetes.ts");
    for (const [i, entry] of spec.kubernetes.entries()) {
      // `v1.28` means the patch version that the lock pins.
      const version = context.locked?.kubernetes?.[i] ?? entry.version;
      const resolution = await resolveKubernetes({ ...entry, version }, context);
      kubeadm[resolution.list.version] = resolution.list.images;
      found.push(resolution);
    }
  }
  const kubeVersion = Object.keys(kubeadm).at(-1);
  const documents = kubeVersion === undefined ? context : { ...context, kubeVersion };
  if (spec.manifests.length > 0) {
    const { resolveManifests } = await import("../resolve/manifests.ts");
    found.push(
      await failures.each(spec.manifests, (list, first) => resolveManifests(list, documents, first)),
    );
  }
  if (spec.charts.length > 0) {
    const { resolveCharts } = await import("../resolve/charts.ts");
    found.push(await failures.each(spec.charts, (list, first) => resolveCharts(list, documents, first)));
  }
  if (spec.packages.length > 0) {
    const { resolvePackages } = await import("../resolve/packages.ts");
    found.push(
      await failures.each(spec.packages, (packages) => resolvePackages({ ...spec, packages }, context)),
    );
  }
  if (spec.files.length > 0) {
    const { resolveFiles } = await import("../resolve/files.ts");
    const { resolveSelf } = await import("../resolve/self.ts");
    found.push(
      await failures.each(spec.files, async (files, first) => ({
        resolved: [
          ...(await resolveFiles(files, context, first)),
          ...(await resolveSelf(files, spec.platforms, context, { first })),
        ],
        images: [],
      })),
    );
  }
  return found;
}

/** Paths in a spec are relative to the spec. */
function resolveCaFiles(sources: BundleSpec["sources"], baseDir: string): SourceEntries {
  return Object.fromEntries(
    Object.entries(sources).map(([host, entry]) => [
      host,
      entry.caFile ? { ...entry, caFile: resolve(baseDir, entry.caFile) } : entry,
    ]),
  );
}
