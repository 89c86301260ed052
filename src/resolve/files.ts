import { basename, resolve as resolvePath } from "node:path";
import type { Item } from "../bundle/lock.ts";
import type { FileSpec } from "../bundle/spec.ts";
import { AirgapError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import { ContentCache } from "../state/cache.ts";
import { describePlace, isRemote, openPlace, UrlSource } from "../transport/url.ts";
import { makeArtifact } from "./artifact.ts";
import type { ResolveContext, Resolved } from "./types.ts";

const FILE_TYPE = "application/octet-stream";

interface Located {
  digest: Digest;
  size: number;
  /** Where the bytes are to be read when the bundle is filled. */
  place: string;
}

/** Files by URL or path, each an artifact with one titled layer, pinned by sha256. */
export async function resolveFiles(files: FileSpec[], context: ResolveContext): Promise<Resolved[]> {
  const resolved: Resolved[] = [];
  for (const [i, file] of files.entries()) {
    if (file.self) continue;
    resolved.push(await resolveFile(file, `files[${i}]`, context));
  }
  return resolved;
}

async function resolveFile(file: FileSpec, at: string, context: ResolveContext): Promise<Resolved> {
  const place = placeOf(file, at, context.baseDir);
  const name = file.as ?? nameOf(place, at);
  const located = context.locked ? lockedFile(context.locked.items, name, place) : await locate(place, file.sha256, context);
  const { digest, size } = located;
  if (file.sha256 && digest !== `sha256:${file.sha256}`) {
    throw new AirgapError(
      "corrupt",
      `${describePlace(place)} is not what ${at} says: expected sha256 ${file.sha256}, found ${digest.slice(7)} (${size} bytes)`,
      {
        suggestions: ["if the new content is wanted, change sha256 in the spec"],
      },
    );
  }
  const descriptor = { mediaType: FILE_TYPE, digest, size };
  const source = new UrlSource({ places: [located.place], descriptor, http: context.http() });
  return makeArtifact({
    kind: "file",
    name,
    files: [{ title: name, mediaType: FILE_TYPE, digest, size, source }],
    origins: [describePlace(place)],
    wantedBy: [at],
    facts: { digest, size },
  });
}

function placeOf(file: FileSpec, at: string, baseDir: string): string {
  if ((file.url === undefined) === (file.path === undefined)) throw new AirgapError("spec", `${at} needs either url: or path:, or self: true`);
  const place = (file.url ?? file.path) as string;
  return isRemote(place) || /^file:/i.test(place) ? place : resolvePath(baseDir, place);
}

function nameOf(place: string, at: string): string {
  const name = basename(isRemote(place) ? new URL(place).pathname : place);
  if (name) return decodeURIComponent(name);
  throw new AirgapError("spec", `${at}: ${describePlace(place)} gives the file no name`, { suggestions: ["say how it is to be called with as:"] });
}

function lockedFile(items: Item[], name: string, place: string): Located {
  const facts = items.find((item) => item.kind === "file" && item.name === name)?.facts;
  if (typeof facts?.["digest"] === "string" && typeof facts["size"] === "number") return { digest: facts["digest"] as Digest, size: facts["size"], place };
  throw new AirgapError("spec", `The lock does not fit the spec: file ${name} is not in it`, {
    suggestions: ["build again without --locked: it says what changed"],
  });
}

/** Reads the file once, to know what it is; what comes over the network is kept for the filling. */
async function locate(place: string, sha256: string | undefined, { cacheDir, http, signal, emit }: ResolveContext): Promise<Located> {
  const cache = new ContentCache(cacheDir);
  if (sha256 !== undefined) {
    const digest: Digest = `sha256:${sha256}`;
    const size = await cache.size(digest);
    if (size !== undefined) return { digest, size, place: cache.path(digest) };
  }
  emit({ type: "note", message: `Fetching ${describePlace(place)}` });
  const kept = await cache.put(await openPlace(http(), place, undefined, signal));
  return { ...kept, place: cache.path(kept.digest) };
}
