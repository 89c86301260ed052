import { resolve } from "node:path";
import { AirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import { run } from "../host/process.ts";
import { Http } from "../http.ts";
import { resolveFiles } from "../resolve/files.ts";
import type { OpenedImage } from "../resolve/images/image.ts";
import { type OpenRequest, resolveImages } from "../resolve/images/resolve.ts";
import { resolveSelf } from "../resolve/self.ts";
import type { ImageWant, ResolveContext, Resolved } from "../resolve/types.ts";
import { withAtHand } from "../transport/at-hand.ts";
import { storedCredentials } from "../transport/credentials.ts";
import { Mirrors, type SourceEntries, trustFor } from "../transport/mirrors.ts";
import { Registries } from "../transport/registry/registries.ts";
import type { Source } from "../transport/types.ts";
import type { Lock } from "./lock.ts";
import type { BundleSpec } from "./spec.ts";

export interface ResolveOptions {
  spec: BundleSpec;
  baseDir: string;
  cacheDir: string;
  concurrency: number;
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

/** Keys of the spec that this version can't build yet: refused by name, never ignored. */
const NOT_YET = ["kubernetes", "manifests", "charts", "packages"] as const;

/** Works out everything that a spec asks for. @throws AirgapError */
export async function resolveSpec(options: ResolveOptions): Promise<Session> {
  const { spec, emit } = options;
  for (const key of NOT_YET) if (spec[key].length > 0) throw new AirgapError("spec", `${key}: can't be built by this version of airgap`);
  const sources = resolveCaFiles(spec.sources, options.baseDir);
  const http = new Http({ connections: Math.max(16, options.concurrency), emit });
  const registries = new Registries({ trust: (host) => trustFor(host, sources), credentials: storedCredentials(run), emit });
  const mirrors = new Mirrors(registries, sources, emit);
  const context: ResolveContext = {
    baseDir: options.baseDir,
    cacheDir: options.cacheDir,
    http: () => http,
    emit,
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.locked ? { locked: options.locked } : {}),
    ...(options.previous ? { previous: options.previous } : {}),
  };
  const close = async (): Promise<void> => {
    await registries.close();
    await http.close();
  };
  const open = async (request: OpenRequest): Promise<OpenedImage> => {
    const opened = await mirrors.open(request, options.signal);
    return { ...opened, source: withAtHand(opened.source, options.atHand) };
  };
  try {
    const wants: ImageWant[] = [];
    const files = [...(await resolveFiles(spec.files, context)), ...(await resolveSelf(spec.files, spec.platforms, context))];
    const images = await resolveImages({ images: spec.images, wants, platforms: spec.platforms, open, concurrency: Math.min(8, options.concurrency), context });
    return { resolved: [...files, ...images], close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Paths in a spec start at the spec. */
function resolveCaFiles(sources: BundleSpec["sources"], baseDir: string): SourceEntries {
  return Object.fromEntries(
    Object.entries(sources).map(([host, entry]) => [host, entry.caFile ? { ...entry, caFile: resolve(baseDir, entry.caFile) } : entry]),
  );
}
