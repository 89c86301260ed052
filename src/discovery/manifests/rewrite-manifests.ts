import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AirgapError, messageOf } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { parseLock } from "../../lock/parse.ts";
import { type LandingRules, land, parseTarget } from "../../names/landing.ts";
import { parseMapRule } from "../../names/map-rule.ts";
import { containerdFiles, dockerFiles } from "../../names/runtime-config.ts";
import type { Digest } from "../../oci/digest.ts";
import { parseReference } from "../../oci/reference.ts";
import type { Registries } from "../../transport/registry/registries.ts";
import { type PathOptions, withOutside } from "./outside.ts";
import { readText } from "./read.ts";
import { type RewriteResult, rewritePaths } from "./rewrite.ts";

export interface RewriteManifestsOptions extends PathOptions {
  /** `host[:port][/prefix]` */
  target: string;
  layout: LandingRules["layout"];
  /** `FROM=TO` rules. */
  map: string[];
  siteName?: string | undefined;
  /** Add digests, from `lock` or as the registries answer now. */
  digests: boolean;
  /** Path of a lock. */
  lock?: string | undefined;
  runtimeConfig?: RuntimeConfigOptions | undefined;
}

interface RuntimeConfigOptions {
  /** Folder to write the files below. */
  folder: string;
  insecure: boolean;
  /** PEM file of the registry's certificate authority. */
  caFile?: string | undefined;
}

/**
 * Rewrites the documents at some paths to the image names of the isolated site, and writes the
 * configuration of container runtimes if it is asked for.
 * @throws AirgapError
 */
export function rewriteManifests(options: RewriteManifestsOptions): Promise<RewriteResult> {
  const { emit, signal, runtimeConfig } = options;
  const rules: LandingRules = {
    target: parseTarget(options.target),
    layout: options.layout,
    map: options.map.map(parseMapRule),
    siteName: options.siteName,
  };
  return withOutside(options, async ({ registries, ...outside }) => {
    const load = {
      ...outside,
      whole: true,
      warn: (message: string) => emit({ type: "warning", message }),
    };
    const result = await rewritePaths(options.paths, load, async (references) => {
      const digests = options.digests
        ? await (options.lock ? lockedDigests(options.lock) : askedDigests(references, registries, signal))
        : undefined;
      return {
        land: (reference) => land(reference, rules),
        digestOf: (reference) => digests?.get(reference),
      };
    });
    if (runtimeConfig) await writeRuntimeConfig(runtimeConfig, result.upstreams, rules, emit);
    return result;
  });
}

async function writeRuntimeConfig(
  { folder, insecure, caFile }: RuntimeConfigOptions,
  upstreams: string[],
  rules: LandingRules,
  emit: Emit,
): Promise<void> {
  const ca = caFile === undefined ? undefined : await readText(caFile);
  const access = {
    scheme: insecure && ca === undefined ? ("http" as const) : ("https" as const),
    ca,
    insecure,
  };
  const docker = dockerFiles(upstreams, rules, access);
  const files = { ...containerdFiles(upstreams, rules, access), ...docker.files };
  for (const [path, content] of Object.entries(files)) {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
    emit({ type: "note", message: `Wrote ${file}` });
  }
  if (docker.unserved.length > 0)
    emit({
      type: "warning",
      message: `Docker has no mirrors for ${docker.unserved.join(", ")}: with Docker, use the rewritten documents`,
    });
}

async function lockedDigests(file: string): Promise<Map<string, Digest>> {
  const bytes = await readFile(file).catch((cause) => {
    throw new AirgapError("usage", `Cannot read the lock ${file}: ${messageOf(cause)}`, { cause });
  });
  return new Map(
    parseLock(bytes, file)
      .items.filter(({ kind }) => kind === "image")
      .map(({ name, root }) => [name, root.digest]),
  );
}

async function askedDigests(
  references: string[],
  registries: Registries,
  signal: AbortSignal | undefined,
): Promise<Map<string, Digest>> {
  const found = new Map<string, Digest>();
  for (const text of references) {
    const { host, repository, tag, digest } = parseReference(text);
    if (digest === undefined && tag !== undefined)
      found.set(text, (await registries.source(host, repository).resolve(tag, signal)).digest);
  }
  return found;
}
