import type { Descriptor } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { MediaType } from "../../src/oci/media-types.ts";

export interface TestImage {
  root: Descriptor;
  /** All content by digest, root included. */
  blobs: Map<Digest, Buffer>;
}

const describe = (mediaType: string, bytes: Buffer): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
});

/** Bytes that are different for each seed and always the same for one. */
export function bytesOf(seed: string, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = [...seed].reduce((sum, character) => (sum * 31 + character.charCodeAt(0)) >>> 0, 7);
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** An image of the given layers. */
export function makeImage(
  name: string,
  layers: Buffer[],
  extra: Record<string, unknown> = {},
  docker = false,
): TestImage {
  const config = Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: { Labels: { name } },
      rootfs: { type: "layers", diff_ids: [] },
    }),
  );
  const types = docker
    ? [MediaType.dockerManifest, MediaType.dockerConfig, MediaType.dockerLayerGzip]
    : [MediaType.ociManifest, MediaType.ociConfig, MediaType.ociLayerGzip];
  const [manifestType = "", configType = "", layerType = ""] = types;
  const content = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: describe(configType, config),
    layers: layers.map((layer) => describe(layerType, layer)),
    ...extra,
  };
  // Docker's own indent with three blanks; such bytes must be kept as they are.
  const manifest = Buffer.from(docker ? JSON.stringify(content, null, 3) : JSON.stringify(content));
  const blobs = new Map([config, manifest, ...layers].map((bytes) => [digestOf(bytes), bytes]));
  return { root: describe(manifestType, manifest), blobs };
}

/** An index over images, each with a platform of its own. */
export function makeIndex(children: TestImage[], extra: Record<string, unknown> = {}): TestImage {
  const architectures = ["amd64", "arm64", "s390x", "ppc64le"];
  const manifests = children.map(({ root }, i) => ({
    ...root,
    platform: { os: "linux", architecture: architectures[i] ?? `cpu${i}` },
  }));
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests, ...extra }),
  );
  return {
    root: describe(MediaType.ociIndex, bytes),
    blobs: new Map([...children.flatMap(({ blobs }) => [...blobs]), [digestOf(bytes), bytes]]),
  };
}
