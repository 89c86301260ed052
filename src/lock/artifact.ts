import { AirgapError } from "../errors.ts";
import { count, formatBytes } from "../format.ts";
import { canonicalJson } from "../oci/canonical-json.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { digestOf } from "../oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import { EMPTY_JSON, MediaType } from "../oci/media-types.ts";
import { MemorySource } from "../transport/memory.ts";
import type { Source } from "../transport/types.ts";
import type { Item, ItemKind, ItemOf } from "./lock.ts";
import { titlesProblems } from "./names.ts";
import type { Blob, Resolved } from "./resolved.ts";
import { TITLE } from "./titles.ts";

/** A file inside an artifact: its path below the artifact's root, `/` between parts. */
export interface ArtifactFile {
  title: string;
  mediaType: string;
  digest: Descriptor["digest"];
  size: number;
  source: Source;
}

type ArtifactKind = Exclude<ItemKind, "image">;

export type ArtifactOptions = {
  [K in ArtifactKind]: Pick<ItemOf<K>, "kind" | "name" | "origins" | "wantedBy" | "facts">;
}[ArtifactKind] & { files: ArtifactFile[] };

/** A file whose bytes are in memory. */
export function fileFromBytes(title: string, mediaType: string, bytes: Uint8Array): ArtifactFile {
  return {
    title,
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
    source: new MemorySource(`memory:${title}`, [bytes]),
  };
}

/**
 * Turns files into an OCI artifact whose layers carry paths as titles, so that one store,
 * one copy and one verify work for everything. The same files give the same manifest.
 * @throws AirgapError `unsupported` for more files than a manifest can list, and for names that some
 *   file systems refuse
 * https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md#guidelines-for-artifact-usage
 */
export function makeArtifact(options: ArtifactOptions): Resolved {
  checkTitles(options);
  const files = options.files.toSorted((a, b) => (a.title < b.title ? -1 : a.title > b.title ? 1 : 0));
  const config: Descriptor = {
    mediaType: MediaType.ociEmpty,
    digest: digestOf(EMPTY_JSON),
    size: EMPTY_JSON.length,
  };
  const layers = files.map(
    ({ title, mediaType, digest, size }): Descriptor => ({
      mediaType,
      digest,
      size,
      annotations: { [TITLE]: title },
    }),
  );
  const artifactType = `application/vnd.airgap.${options.kind}.v1`;
  const manifest = Buffer.from(
    canonicalJson({
      schemaVersion: 2,
      mediaType: MediaType.ociManifest,
      artifactType,
      config,
      layers: layers.length > 0 ? layers : [config],
    }),
  );
  if (manifest.length > MAX_MANIFEST_SIZE) {
    const sizes = `a manifest of ${formatBytes(manifest.length)}; registries accept at most ${formatBytes(MAX_MANIFEST_SIZE)}`;
    throw new AirgapError(
      "unsupported",
      `${options.kind} ${options.name}: ${count(layers.length, "file")} need ${sizes}`,
    );
  }
  const root: Descriptor = {
    mediaType: MediaType.ociManifest,
    digest: digestOf(manifest),
    size: manifest.length,
    artifactType,
  };
  const own = new MemorySource(`memory:${options.name}`, [manifest, EMPTY_JSON]);
  const blobs: Blob[] = [
    { descriptor: root, source: own },
    { descriptor: config, source: own },
    ...layers.map((descriptor, i) => ({ descriptor, source: (files[i] as ArtifactFile).source })),
  ];
  const { kind, name, origins, facts } = options;
  const wantedBy = options.wantedBy.toSorted();
  const item = { kind, name, root, origins, wantedBy, ...(facts ? { facts } : {}) } as Item;
  return { item, blobs };
}

function checkTitles({ kind, name, files }: ArtifactOptions): void {
  const [problem] = titlesProblems(files.map(({ title }) => title));
  if (problem !== undefined)
    throw new AirgapError("unsupported", `${kind} ${name} cannot be carried: ${problem}`, {
      suggestions: ["rename the file at its source, or leave it out"],
    });
}
