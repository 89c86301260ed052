import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { replaceFile } from "../atomic.ts";
import { AirgapError } from "../errors.ts";
import { canPack, packCheckout } from "../host/pack.ts";
import { archiveName, findSelf, type SelfPlaces } from "../host/shipped.ts";
import { makeArtifact } from "../lock/artifact.ts";
import { itemsOf } from "../lock/lock.ts";
import type { ResolveContext, Resolved } from "../lock/resolved.ts";
import type { FileSpec } from "../lock/spec.ts";
import { FileSource, measureFile } from "../transport/file.ts";
import { archiveFolder } from "./archive.ts";

const ARCHIVE_TYPE = "application/gzip";
const ARCHITECTURE: Record<string, string> = { "linux/amd64": "x64", "linux/arm64": "arm64" };

/**
 * The tool itself, packed with its own Node, one item for each platform, so that the site gets it too.
 * A checkout packs itself where that has not been done.
 * @param places.first the index of the first of `files` in the spec
 * @throws AirgapError `environment` when it is not packed for a platform of the spec, and cannot be
 */
export async function resolveSelf(
  files: FileSpec[],
  platforms: string[] | "all",
  context: ResolveContext,
  { first = 0, self = findSelf() }: { first?: number; self?: SelfPlaces } = {},
): Promise<Resolved[]> {
  const i = files.findIndex((file) => file.self === true);
  if (i < 0) return [];
  const archives = existsSync(join(self.root, "node", "bin", "node"))
    ? [await packRunning(self, context.cacheDir)]
    : await packedAll(self, platforms, context);
  const wanted =
    platforms === "all" ? archives : platforms.map((platform) => forPlatform(archives, platform, self));
  return Promise.all(wanted.map((archive) => item(archive, `files[${first + i}]`, context)));
}

function packed(self: SelfPlaces): string[] {
  const folder = join(self.root, "build");
  const found = existsSync(folder)
    ? readdirSync(folder).filter(
        (name) => name.startsWith(`airgap-${self.version}-linux-`) && name.endsWith(".tar.gz"),
      )
    : [];
  return found.toSorted().map((name) => join(folder, name));
}

/** The archives of a checkout, made where they are missing. With a lock, other bytes would not do. */
async function packedAll(
  self: SelfPlaces,
  platforms: string[] | "all",
  { emit, locked, signal }: ResolveContext,
): Promise<string[]> {
  const wanted =
    platforms === "all"
      ? Object.values(ARCHITECTURE)
      : platforms.flatMap((platform) => ARCHITECTURE[platform.toLowerCase()] ?? []);
  const there = packed(self).map((path) => basename(path));
  for (const architecture of new Set(wanted)) {
    if (there.includes(archiveName(self, architecture)) || locked || !canPack(self)) continue;
    emit({
      type: "phase",
      name: "Packing airgap",
      detail: `for linux ${architecture}; once, about two minutes`,
    });
    await packCheckout(self, architecture, signal);
  }
  return packed(self);
}

/** An archive of the running tool, made from its own folder. */
async function packRunning(self: SelfPlaces, cacheDir: string): Promise<string> {
  mkdirSync(cacheDir, { recursive: true });
  const output = join(cacheDir, archiveName(self, process.arch));
  await replaceFile(output, (draft) => archiveFolder(self.root, `airgap-${self.version}`, draft));
  return output;
}

function forPlatform(archives: string[], platform: string, self: SelfPlaces): string {
  const architecture = ARCHITECTURE[platform.toLowerCase()];
  const found = architecture && archives.find((path) => basename(path) === archiveName(self, architecture));
  if (found) return found;
  throw new AirgapError(
    "environment",
    `self: true asks for airgap itself for ${platform}, but it is not packed for this platform`,
    {
      suggestions: architecture
        ? [
            `npm run pack -- ${architecture}, in a checkout of airgap`,
            `remove ${platform} from \`platforms:\` of the spec, or \`self: true\``,
          ]
        : ["airgap is packed for linux/amd64 and linux/arm64"],
    },
  );
}

async function item(path: string, wantedBy: string, { locked, signal }: ResolveContext): Promise<Resolved> {
  const name = basename(path);
  const { digest, size } = await measureFile(path, signal);
  const before = locked && itemsOf(locked, "self").find((each) => each.name === name)?.facts?.digest;
  if (locked && before !== digest) {
    throw new AirgapError(
      "spec",
      `The lock and this machine have different archives of ${name} (${String(before)}, ${digest})`,
      {
        suggestions: ["build again without --locked"],
      },
    );
  }
  const source = new FileSource(path, { mediaType: ARCHIVE_TYPE, digest, size });
  const file = { title: name, mediaType: ARCHIVE_TYPE, digest, size, source };
  return makeArtifact({
    kind: "self",
    name,
    files: [file],
    origins: [name],
    wantedBy: [wantedBy],
    facts: { digest, size },
  });
}
