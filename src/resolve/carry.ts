import { readFile } from "node:fs/promises";
import { AirgapError } from "../errors.ts";
import { type ArtifactFile, makeArtifact } from "../lock/artifact.ts";
import type { CarriedFacts } from "../lock/carried-facts.ts";
import { itemsOf } from "../lock/lock.ts";
import type { ImageWant, Resolution, ResolveContext, Resolved } from "../lock/resolved.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { checkDigest } from "../oci/digest.ts";
import { childrenOf, MAX_MANIFEST_SIZE, parseManifest } from "../oci/manifest.ts";
import { ContentCache } from "../state/cache.ts";
import { MemorySource } from "../transport/memory.ts";
import { isWanted } from "./decide.ts";

export interface Carried {
  kind: "manifests" | "chart";
  name: string;
  files: ArtifactFile[];
  origins: string[];
  /** Its location in the spec: `manifests[0]`. */
  at: string;
  facts: CarriedFacts;
}

/** The wants of an item's images, each with the first location that names it. */
export function wantsOf(
  kind: Carried["kind"],
  name: string,
  { images }: Pick<CarriedFacts, "images">,
): ImageWant[] {
  return images.filter(isWanted).map(({ reference, places }) => ({
    reference,
    wantedBy: `${kind} ${name}: ${places[0]?.split(" ")[0] ?? "?"}`,
  }));
}

/** Makes the artifact, and keeps its content so that later builds can follow the lock without making it again. */
export async function carry(
  { kind, name, files, origins, at, facts }: Carried,
  context: ResolveContext,
): Promise<Resolution> {
  const resolved = makeArtifact({ kind, name, files, origins, wantedBy: [at], facts });
  const cache = new ContentCache(context.cacheDir);
  for (const { descriptor, source } of resolved.blobs) {
    if ((await cache.size(descriptor.digest)) === undefined) await cache.put(await source.fetch(descriptor));
  }
  return { resolved: [resolved], images: wantsOf(kind, name, facts) };
}

/**
 * Follows the lock: the content is what was kept, or what `make` returns if that is the same.
 * @throws AirgapError `spec` when the lock has no such item, or its content is not available any more
 */
export async function followLocked(
  kind: Carried["kind"],
  name: string,
  context: ResolveContext,
  make: () => Promise<Resolution>,
): Promise<Resolution> {
  const item = context.locked && itemsOf(context.locked, kind).find((each) => each.name === name);
  if (item === undefined)
    throw new AirgapError("spec", `The lock does not fit the spec: ${kind} ${name} is not in it`, {
      suggestions: ["build again without --locked: it says what changed"],
    });
  const images = wantsOf(kind, name, item.facts);
  const kept = await fromCache(item.root, new ContentCache(context.cacheDir));
  if (kept) return { resolved: [{ item, blobs: kept }], images };
  const made = await make();
  const [same] = made.resolved;
  if (same?.item.root.digest === item.root.digest) return { resolved: [{ item, blobs: same.blobs }], images };
  throw new AirgapError(
    "spec",
    `${kind} ${name} has changed since it was locked (${item.root.digest}), and the old content is not kept here`,
    {
      suggestions: [
        "build without --locked to accept the new content",
        "or build with --reuse OLD.tar on the machine that made the lock",
      ],
    },
  );
}

async function fromCache(root: Descriptor, cache: ContentCache): Promise<Resolved["blobs"] | undefined> {
  const read = async (descriptor: Descriptor): Promise<Buffer | undefined> => {
    if ((await cache.size(descriptor.digest)) === undefined) return undefined;
    const bytes = await readFile(cache.path(descriptor.digest));
    checkDigest(bytes, descriptor.digest, `the kept content of ${descriptor.digest}`);
    return bytes;
  };
  if (root.size > MAX_MANIFEST_SIZE) return undefined;
  const manifest = await read(root);
  if (manifest === undefined) return undefined;
  const blobs: Resolved["blobs"] = [{ descriptor: root, source: new MemorySource(root.digest, [manifest]) }];
  for (const descriptor of childrenOf(parseManifest(manifest, root.mediaType, root.digest))) {
    const bytes = await read(descriptor);
    if (bytes === undefined) return undefined;
    blobs.push({ descriptor, source: new MemorySource(descriptor.digest, [bytes]) });
  }
  return blobs;
}
