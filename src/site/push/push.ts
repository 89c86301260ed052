import { BundleReader } from "../../bundle/reader.ts";
import { run } from "../../host/process.ts";
import { parseTarget } from "../../names/landing.ts";
import { Registries } from "../../transport/registry/registries.ts";
import type { PushCharts } from "./charts.ts";
import { fillRegistry } from "./fill.ts";
import type { PushOptions } from "./options.ts";
import type { PushResult } from "./result.ts";

/**
 * Fills a registry from a bundle file, with the logins and authorities of this machine.
 * @throws AirgapError as `fillRegistry` does, and for a bundle that is missing or damaged
 */
export async function push(options: PushOptions & { bundle: string }): Promise<PushResult> {
  const { concurrency, insecure, caFile, emit, signal } = options;
  const { host } = parseTarget(options.target);
  const reader = await BundleReader.openUnless(signal, options.bundle, options.opening);
  const registries = Registries.forUser(run, {
    trust: (asked) =>
      asked === host ? { ...(insecure ? { insecure } : {}), ...(caFile ? { caFile } : {}) } : {},
    ...(concurrency ? { limits: { start: concurrency, max: concurrency } } : {}),
    emit,
  });
  try {
    return await fillRegistry({
      ...options,
      registries,
      bundle: {
        name: options.bundle,
        lock: reader.lock,
        source: reader.source(),
        counted: reader.delta && { blobs: reader.missing(), images: reader.delta.images },
      },
      charts: options.withCharts ? await toPush(reader, options.target) : undefined,
    });
  } finally {
    await registries.close();
    reader.close();
  }
}

/** Loaded only where charts are asked for: reading them takes YAML and tar, a quarter of what a push loads. */
async function toPush(bundle: BundleReader, target: string): Promise<PushCharts> {
  const { chartsToPush } = await import("./charts.ts");
  return chartsToPush(bundle, target);
}
