import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import type { TestImage } from "./images.ts";

/** A tar of files, the same for the same input. */
export async function tarOf(files: Record<string, string | Buffer>): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of Object.entries(files))
    tar.entry({ name, mode: 0o644, mtime: new Date(0) }, content);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** An image that runtimes unpack: layers are tars of files, `diff_ids` are theirs. */
export async function realImage(
  layers: Record<string, string | Buffer>[],
  options: { docker?: boolean; architecture?: string } = {},
): Promise<TestImage> {
  const { docker = false, architecture = "amd64" } = options;
  const tars = await Promise.all(layers.map(tarOf));
  const packed = tars.map((tar) => gzipSync(tar));
  const rootfs = { type: "layers", diff_ids: tars.map((tar) => digestOf(tar)) };
  const config = Buffer.from(
    JSON.stringify({
      architecture,
      os: "linux",
      config: { Cmd: ["/hello"] },
      rootfs,
      history: tars.map(() => ({ created_by: "test" })),
    }),
  );
  const describe = (mediaType: string, bytes: Buffer): Descriptor => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  const mediaType = docker ? MediaType.dockerManifest : MediaType.ociManifest;
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: describe(docker ? MediaType.dockerConfig : MediaType.ociConfig, config),
      layers: packed.map((layer) =>
        describe(docker ? MediaType.dockerLayerGzip : MediaType.ociLayerGzip, layer),
      ),
    }),
  );
  return {
    root: describe(mediaType, manifest),
    blobs: new Map([config, manifest, ...packed].map((bytes) => [digestOf(bytes), bytes])),
  };
}
