import { END_OF_ARCHIVE, entryHeader, padded } from "../bundle/tar.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { digestOf } from "../oci/digest.ts";
import { MediaType } from "../oci/media-types.ts";
import type { Platform } from "../oci/platform.ts";

/** An image: its root and all content. */
export interface MadeImage {
  repository: string;
  tag: string;
  root: Descriptor;
  content: Buffer[];
}

/** A layer of one file. */
function layer(name: string, text: string): Buffer {
  const bytes = Buffer.from(text);
  const padding = Buffer.alloc(padded(bytes.length) - bytes.length);
  return Buffer.concat([entryHeader(name, bytes.length), bytes, padding, END_OF_ARCHIVE]);
}

const describe = (mediaType: string, bytes: Buffer): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
});
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function image(platform: Platform, layers: Buffer[]): { root: Descriptor; content: Buffer[] } {
  const config = json({
    ...platform,
    config: { Cmd: ["/hello"] },
    rootfs: { type: "layers", diff_ids: layers.map((bytes) => digestOf(bytes)) },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    config: describe(MediaType.ociConfig, config),
    layers: layers.map((bytes) => describe(MediaType.ociLayer, bytes)),
  });
  return { root: describe(MediaType.ociManifest, manifest), content: [...layers, config, manifest] };
}

/** Two images for two platforms each, with a common layer: a typical registry in a few kilobytes. */
export function makeImages(): MadeImage[] {
  const base = layer("etc/motd", "carried across the gap\n".repeat(2000));
  return ["hello", "web"].map((name) => {
    const children = ["amd64", "arm64"].map((architecture) => {
      const platform = { os: "linux", architecture };
      return {
        platform,
        ...image(platform, [base, layer(name, `#!/bin/sh\necho ${name} on ${architecture}\n`)]),
      };
    });
    const index = json({
      schemaVersion: 2,
      mediaType: MediaType.ociIndex,
      manifests: children.map(({ root, platform }) => ({ ...root, platform })),
    });
    return {
      repository: `demo/${name}`,
      tag: "1.0",
      root: describe(MediaType.ociIndex, index),
      content: [...children.flatMap(({ content }) => content), index],
    };
  });
}
