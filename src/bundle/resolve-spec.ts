import { resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import { run } from "../host/process.ts";
import { HttpClients } from "../http.ts";
import { resolveImages } from "../resolve/images/resolve.ts";
import type { Resolution, ResolveContext, Resolved } from "../resolve/types.ts";
import { storedCredentials } from "../transport/credentials.ts";
import { Mirrors, type SourceEntries, trustFor } from "../transport/mirrors.ts";
import { Registries } from "../transport/registry/registries.ts";
import type { Source } from "../transport/types.ts";
import { ImageSources } from "./image-sources.ts";
import type { Lock } from "./lock.ts";
import type { BundleSpec } from "./spec.ts";

export interface ResolveOptions {
  spec: BundleSpec;
  baseDir: string;
  cacheDir: string;
  /** Requests to a host at a time; by default as many as it bears. */
  concurrency?: number;
  /** Bundles at hand, asked for content before the network is. */
  atHand: Source[];
  emit: Emit;
  signal?: AbortSignal;
  locked?: Lock;
  previous?: Lock;
}

/** A resolved spec. Its sources stay open until `close`, since the bundle is filled from them. */
export interface Session {
  resolved: Resolved[];
  close(): Promise<void>;
}

/** Images at a time; how many requests a host gets is its client's matter. */
const IMAGES = 32;

/** Keys of the spec that this version can't build yet: refused by name, never ignored. */
const NOT_YET = ["manifests", "charts"] as const;

/** Works out everything that a spec asks for. @throws AirgapError */
export async function resolveSpec(options: ResolveOptions): Promise<Session> {
  const { spec, emit, signal, concurrency } = options;
  for (const key of NOT_YET) if (spec[key].length > 0) throw new AirgapError("spec", `${key}: can't be built by this version of airgap`);
  const sources = resolveCaFiles(spec.sources, options.baseDir);
  const clients = new HttpClients({ connections: Math.max(16, concurrency ?? 0), emit });
  const limits = concurrency === undefined ? {} : { limits: { start: concurrency, max: concurrency } };
  const registries = new Registries({ trust: (host) => trustFor(host, sources), credentials: storedCredentials(run), emit, ...limits });
  const mirrors = new Mirrors(registries, sources, emit);
  const { baseDir, cacheDir, atHand } = options;
  const places = new ImageSources({ mirrors, baseDir, cacheDir, atHand, ...(signal ? { signal } : {}) });
  const context: ResolveContext = {
    baseDir,
    cacheDir,
    http: (trust) => clients.for(trust ?? {}),
    emit,
    ...(signal ? { signal } : {}),
    ...(options.locked ? { locked: options.locked } : {}),
    ...(options.previous ? { previous: options.previous } : {}),
  };
  const close = async (): Promise<void> => {
    await places.close();
    await registries.close();
    await clients.close();
  };
  try {
    const resolutions = await resolveWants(spec, context);
    const wants = resolutions.flatMap(({ images }) => images);
    const images = await resolveImages({
      images: spec.images,
      wants,
      platforms: spec.platforms,
      open: (request) => places.open(request),
      concurrency: concurrency ?? IMAGES,
      context,
    });
    return { resolved: [...resolutions.flatMap(({ resolved }) => resolved), ...images], close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Asks one resolver for each kind that the spec names; the others are not even loaded. */
async function resolveWants(spec: BundleSpec, context: ResolveContext): Promise<Resolution[]> {
  const found: Resolution[] = [];
  if (spec.kubernetes.length > 0) {
    const { resolveKubernetes } = await import("../resolve/kubernetes/resolve.ts");
    for (const entry of spec.kubernetes) found.push(await resolveKubernetes(entry, context));
  }
  if (spec.packages.length > 0) {
    const { resolvePackages } = await import("../resolve/packages.ts");
    found.push(await resolvePackages(spec, context));
  }
  if (spec.files.length > 0) {
    const { resolveFiles } = await import("../resolve/files.ts");
    const { resolveSelf } = await import("../resolve/self.ts");
    found.push({ resolved: [...(await resolveFiles(spec.files, context)), ...(await resolveSelf(spec.files, spec.platforms, context))], images: [] });
  }
  return found;
}

/** Paths in a spec start at the spec. */
function resolveCaFiles(sources: BundleSpec["sources"], baseDir: string): SourceEntries {
  return Object.fromEntries(
    Object.entries(sources).map(([host, entry]) => [host, entry.caFile ? { ...entry, caFile: resolve(baseDir, entry.caFile) } : entry]),
  );
}
