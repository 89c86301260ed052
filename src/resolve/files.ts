import { basename, resolve as resolvePath } from "node:path";
import { Readable } from "node:stream";
import { AirgapError } from "../errors.ts";
import { makeArtifact } from "../lock/artifact.ts";
import { type Item, itemsOf } from "../lock/lock.ts";
import { titleProblem } from "../lock/names.ts";
import type { ResolveContext, Resolved } from "../lock/resolved.ts";
import type { FileSpec } from "../lock/spec.ts";
import type { Digest } from "../oci/digest.ts";
import { ContentCache } from "../state/cache.ts";
import { FileSource, measureFile } from "../transport/file.ts";
import { describePlace, isRemote, localPath, streamPlace, UrlSource } from "../transport/url.ts";
import { forEntry } from "./entry-error.ts";

const FILE_TYPE = "application/octet-stream";

interface Located {
  digest: Digest;
  size: number;
  /** Where to read the bytes when the bundle is filled. */
  place: string;
}

/**
 * Files by URL or path, each an artifact with one titled layer, pinned by sha256.
 * @param first the index of the first of them in the spec
 */
export async function resolveFiles(
  files: FileSpec[],
  context: ResolveContext,
  first = 0,
): Promise<Resolved[]> {
  const resolved: Resolved[] = [];
  for (const file of named(files, context.baseDir, first))
    resolved.push(await forEntry(file.at, () => resolveFile(file, context)));
  return resolved;
}

interface NamedFile {
  place: string;
  /** As the spec writes it: a lock must not differ with the folder that it was made in. */
  written: string;
  name: string;
  sha256: string | undefined;
  /** `files[2]` */
  at: string;
}

/** What the spec says about each file, before any is read. @throws AirgapError `spec` */
function named(files: FileSpec[], baseDir: string, first: number): NamedFile[] {
  const taken = new Map<string, string>();
  return files.flatMap((file, i) => {
    if (file.self) return [];
    const at = `files[${first + i}]`;
    const place = placeOf(file, at, baseDir);
    const name = file.as ?? nameOf(place, at);
    const other = taken.get(name);
    if (other !== undefined) {
      throw new AirgapError("spec", `Two files would have the name ${name}: ${other} and ${at}`, {
        suggestions: [`give one of them another name with as:`],
      });
    }
    taken.set(name, at);
    return [{ place, written: file.url ?? file.path ?? "", name, sha256: file.sha256, at }];
  });
}

async function resolveFile(file: NamedFile, context: ResolveContext): Promise<Resolved> {
  const { place, name, at } = file;
  const located = context.locked
    ? lockedFile(context.locked.items, name, place)
    : await locate(place, file.sha256, context);
  const { digest, size } = located;
  if (file.sha256 && digest !== `sha256:${file.sha256}`) {
    throw new AirgapError(
      "corrupt",
      `${describePlace(place)} has the wrong content for ${at}: expected sha256 ${file.sha256}, found ${digest.slice(7)} (${size} bytes)`,
      {
        suggestions: ["if the new content is wanted, change sha256 in the spec"],
      },
    );
  }
  const descriptor = { mediaType: FILE_TYPE, digest, size };
  const source = isRemote(located.place)
    ? new UrlSource({ places: [located.place], descriptor, http: context.http() })
    : new FileSource(located.place, descriptor);
  return makeArtifact({
    kind: "file",
    name,
    files: [{ title: name, mediaType: FILE_TYPE, digest, size, source }],
    origins: [describePlace(file.written)],
    wantedBy: [at],
    facts: { digest, size },
  });
}

function placeOf(file: FileSpec, at: string, baseDir: string): string {
  if ((file.url === undefined) === (file.path === undefined))
    throw new AirgapError("spec", `${at} needs either url: or path:, or self: true`);
  const place = (file.url ?? file.path) as string;
  const isUrl = isRemote(place) || /^file:/i.test(place);
  if (isUrl && !URL.canParse(place)) throw new AirgapError("spec", `${at}: '${place}' is not a URL`);
  return isUrl ? place : resolvePath(baseDir, place);
}

function nameOf(place: string, at: string): string {
  const name = basename(isRemote(place) ? decoded(new URL(place).pathname) : localPath(place));
  if (titleProblem(name) === undefined) return name;
  throw new AirgapError("spec", `${at}: ${describePlace(place)} does not give the file a name`, {
    suggestions: ["give it a name with as:"],
  });
}

/** Decodes each part by itself, so that an encoded slash does not become one; empty when it is not UTF-8. */
function decoded(path: string): string {
  try {
    const name = decodeURIComponent(path.slice(path.lastIndexOf("/") + 1));
    return name.includes("/") ? "" : name;
  } catch {
    return "";
  }
}

function lockedFile(items: Item[], name: string, place: string): Located {
  const facts = itemsOf({ items }, "file").find((item) => item.name === name)?.facts;
  if (facts) return { ...facts, place };
  throw new AirgapError("spec", `The lock does not fit the spec: file ${name} is not in it`, {
    suggestions: ["build again without --locked: it says what changed"],
  });
}

/** Reads the file once to learn its digest. Content from the network is kept in the cache; a local file stays where it is. */
async function locate(
  place: string,
  sha256: string | undefined,
  { cacheDir, http, signal, emit }: ResolveContext,
): Promise<Located> {
  if (!isRemote(place)) {
    emit({ type: "note", message: `Reading ${describePlace(place)}` });
    return { ...(await measureFile(place, signal)), place };
  }
  const cache = new ContentCache(cacheDir);
  if (sha256 !== undefined) {
    const digest: Digest = `sha256:${sha256}`;
    const size = await cache.size(digest);
    if (size !== undefined) return { digest, size, place: cache.path(digest) };
  }
  emit({ type: "note", message: `Fetching ${describePlace(place)}` });
  const kept = await cache.put(Readable.from(streamPlace(http(), place, undefined, signal)), signal);
  return { ...kept, place: cache.path(kept.digest) };
}
