import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MediaType } from "../../src/oci/media-types.ts";
import type { TestImage } from "./images.ts";

/** Writes images as an OCI image layout, the way other tools read them: `oci:DIR:NAME`. */
export function writeLayout(dir: string, images: Record<string, TestImage>): string {
  mkdirSync(join(dir, "blobs/sha256"), { recursive: true });
  writeFileSync(join(dir, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const manifests = Object.entries(images).map(([name, { root }]) => ({
    ...root,
    annotations: { "org.opencontainers.image.ref.name": name },
  }));
  writeFileSync(
    join(dir, "index.json"),
    JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests }),
  );
  for (const { blobs } of Object.values(images))
    for (const [digest, bytes] of blobs) writeFileSync(join(dir, "blobs/sha256", digest.slice(7)), bytes);
  return dir;
}
