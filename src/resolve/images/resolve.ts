import { resolve } from "node:path";
import pLimit from "p-limit";
import { AirgapError, isAirgapError, messageOf } from "../../errors.ts";
import { type ImageItem, itemsOf, type Lock } from "../../lock/lock.ts";
import type { ImageWant, ResolveContext, Resolved } from "../../lock/resolved.ts";
import type { ImageSpec } from "../../lock/spec.ts";
import type { Digest } from "../../oci/digest.ts";
import { formatPlatform, type Platform, parsePlatform } from "../../oci/platform.ts";
import { formatReference, parseReference, type Reference, withDefaultTag } from "../../oci/reference.ts";
import { readPublicKey } from "../../trust/key.ts";
import {
  type Attachments,
  followLockedImage,
  type ImageRequest,
  type OpenedImage,
  resolveImage,
} from "./image.ts";
import type { RequiredKey } from "./signed.ts";

/** What is needed to open an image's source. The caller has the mirrors, `from:` and credentials. */
export interface OpenRequest {
  reference: Reference;
  /** `docker-daemon:…` and the like, as the spec says it. */
  from?: string | undefined;
  /** kubeadm's own image: a flat mirror may be asked. */
  flat: boolean;
  /** Layers that their publisher does not allow registries to distribute may be read from the publisher's URLs. */
  foreignLayers: boolean;
  /** With a lock: the digest that the source must have. */
  expect?: Digest | undefined;
}

export interface ImagesOptions {
  images: ImageSpec[];
  wants: ImageWant[];
  platforms: string[] | "all";
  /** What holds where an image says nothing of its own. */
  attachments: Attachments;
  open(request: OpenRequest): Promise<OpenedImage>;
  concurrency: number;
  context: ResolveContext;
}

interface Wanted extends ImageRequest {
  from?: string;
  flat: boolean;
}

/**
 * Resolves every image that the spec lists or another item names: one item for each name.
 * @throws AirgapError that lists every image that cannot be resolved, with who wants it
 */
export async function resolveImages(options: ImagesOptions): Promise<Resolved[]> {
  const limit = pLimit(options.concurrency);
  const settled = await Promise.allSettled(
    [...collect(options).values()].map((wanted) => limit(() => one(wanted, options))),
  );
  options.context.signal?.throwIfAborted();
  const failures = settled.flatMap((result) =>
    result.status === "rejected" ? [result.reason as Error] : [],
  );
  if (failures.length > 0) throw combined(failures);
  return settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
}

/** Reports every fault at once, so that the user can fix them all in one go. */
function combined(failures: Error[]): Error {
  const [first, ...others] = failures as [Error, ...Error[]];
  const bug = failures.find((failure) => !isAirgapError(failure));
  if (bug || others.length === 0) return bug ?? first;
  const known = failures as AirgapError[];
  const code = (known.find((failure) => failure.code !== "not-found") ?? (known[0] as AirgapError)).code;
  return new AirgapError(
    code,
    `${failures.length} images cannot be resolved:\n${known.map((failure) => `  ${messageOf(failure)}`).join("\n")}`,
    {
      suggestions: [...new Set(known.flatMap(({ suggestions }) => suggestions))].slice(0, 5),
      data: { images: known.map(({ code: each, message, data }) => ({ code: each, message, ...data })) },
      cause: undefined,
    },
  );
}

async function one(wanted: Wanted, { open, context }: ImagesOptions): Promise<Resolved> {
  const name = formatReference(wanted.reference);
  const { signal, locked } = context;
  signal?.throwIfAborted();
  try {
    const item = locked && lockedItem(locked, name);
    const expect = item && (item.original ?? item.root).digest;
    const { reference, flat, foreignLayers } = wanted;
    const opened = await open({
      reference,
      flat,
      foreignLayers: foreignLayers === true,
      from: wanted.from,
      expect,
    });
    const resolved = item
      ? await followLockedImage(wanted, item, opened.source, context)
      : await resolveImage(wanted, opened, context);
    context.emit({ type: "item", item: name, state: "done", detail: resolved.item.root.digest });
    return resolved;
  } catch (error) {
    throw isAirgapError(error) ? withWanters(error, name, wanted.wantedBy) : error;
  }
}

function lockedItem(lock: Lock, name: string): ImageItem {
  const item = itemsOf(lock, "image").find((candidate) => candidate.name === name);
  if (item) return item;
  throw new AirgapError("spec", `The lock does not fit the spec: ${name} is not in it`, {
    suggestions: ["build again without --locked: it says what changed"],
  });
}

const PUSH_AGAIN = "ask the registry's owner to push the image again, or name another mirror under sources:";

function withWanters(error: AirgapError, name: string, wantedBy: string[]): AirgapError {
  const { suggestions, ref, cause, exit, data } = error;
  const message = `${error.message.includes(name) ? "" : `${name}: `}${error.message}; wanted by ${wantedBy.join(", ")}`;
  const pushed = error.code === "corrupt" && suggestions.length === 0 && message.includes("docker://");
  return new AirgapError(error.code, message, {
    suggestions: pushed ? [PUSH_AGAIN] : suggestions,
    cause,
    exit,
    data: { image: name, wantedBy, ...data },
    ...(ref ? { ref } : {}),
  });
}

/** Merges all wants of one name; the settings of the spec's own entry hold for all. */
function collect({ images, wants, platforms, attachments, context }: ImagesOptions): Map<string, Wanted> {
  const byName = new Map<string, Wanted>();
  const fallback = platforms === "all" ? "all" : platforms.map(parsePlatform);
  const add = (text: string, wantedBy: string, flat: boolean): Wanted => {
    const reference = withDefaultTag(parseReference(text));
    const name = formatReference(reference);
    const wanted = byName.get(name) ?? {
      reference,
      platforms: [],
      exact: false,
      foreignLayers: undefined,
      attachments,
      keys: [],
      wantedBy: [],
      flat: false,
    };
    wanted.wantedBy.push(wantedBy);
    wanted.flat ||= flat;
    byName.set(name, wanted);
    return wanted;
  };
  for (const [i, image] of images.entries()) {
    const wanted = add(image.ref, `images[${i}]`, false);
    if (image.from) wanted.from = onePlace(wanted, image.from);
    wanted.foreignLayers = wanted.foreignLayers || (image.foreignLayers ?? wanted.foreignLayers);
    wanted.attachments = image.attachments ?? wanted.attachments;
    if (image.verify) wanted.keys.push(requiredKey(image.verify.key, context.baseDir));
    if (image.platforms === "exact") wanted.exact = true;
    const own =
      image.platforms === undefined || image.platforms === "exact" ? fallback : ownPlatforms(image.platforms);
    wanted.platforms = both(wanted.platforms, own);
  }
  for (const want of wants) {
    const wanted = add(want.reference, want.wantedBy, want.flat ?? false);
    if (wanted.platforms.length === 0) wanted.platforms = fallback;
  }
  return byName;
}

const requiredKey = (file: string, baseDir: string): RequiredKey => ({
  file,
  key: readPublicKey(resolve(baseDir, file)),
});

function ownPlatforms(platforms: "all" | string[]): Platform[] | "all" {
  return platforms === "all" ? "all" : platforms.map(parsePlatform);
}

/** An image that a spec lists twice is carried for the platforms of both entries. */
function both(a: Platform[] | "all", b: Platform[] | "all"): Platform[] | "all" {
  if (a === "all" || b === "all") return "all";
  return [...new Map([...a, ...b].map((platform) => [formatPlatform(platform), platform])).values()];
}

function onePlace({ reference, from, wantedBy }: Wanted, place: string): string {
  if (from === undefined || from === place) return place;
  throw new AirgapError(
    "spec",
    `${formatReference(reference)} has two sources (${wantedBy.join(", ")}): ${from} and ${place}`,
  );
}
