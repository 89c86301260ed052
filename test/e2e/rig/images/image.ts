import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";

const TYPE = "application/vnd.oci.image";

/** An image as a registry wants it: its blobs by digest (a file or the bytes), then its manifest. */
export interface Image {
  blobs: Map<string, string | Buffer>;
  manifest: Buffer;
  mediaType: string;
}

async function digestOfFile(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return `sha256:${hash.digest("hex")}`;
}

const digestOfBytes = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/**
 * Puts uncompressed layers together; the same files make the same image.
 * @param layers tar files, the lowest first
 */
export async function makeImage(
  layers: string[],
  settings: { entrypoint?: string[]; cmd?: string[]; labels?: Record<string, string> },
): Promise<Image> {
  const described = await Promise.all(
    layers.map(async (file) => ({
      file,
      mediaType: `${TYPE}.layer.v1.tar`,
      digest: await digestOfFile(file),
      size: (await stat(file)).size,
    })),
  );
  const config = Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: {
        Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        WorkingDir: "/",
        ...(settings.entrypoint === undefined ? {} : { Entrypoint: settings.entrypoint }),
        ...(settings.cmd === undefined ? {} : { Cmd: settings.cmd }),
        ...(settings.labels === undefined ? {} : { Labels: settings.labels }),
      },
      rootfs: { type: "layers", diff_ids: described.map(({ digest }) => digest) },
      history: described.map(() => ({ created: "1970-01-01T00:00:00Z", created_by: "the test rig" })),
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: `${TYPE}.manifest.v1+json`,
      config: { mediaType: `${TYPE}.config.v1+json`, digest: digestOfBytes(config), size: config.length },
      layers: described.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
    }),
  );
  return {
    blobs: new Map<string, string | Buffer>([
      ...described.map(({ digest, file }): [string, string] => [digest, file]),
      [digestOfBytes(config), config],
    ]),
    manifest,
    mediaType: `${TYPE}.manifest.v1+json`,
  };
}
