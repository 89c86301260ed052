import { writeFileSync } from "node:fs";
import { encodeLock, layOut } from "../../../src/bundle/layout.ts";
import { END_OF_ARCHIVE } from "../../../src/bundle/tar.ts";
import type { Bundle } from "../../../src/install/bundle.ts";
import { fileFromBytes, makeArtifact } from "../../../src/lock/artifact.ts";
import type { Lock } from "../../../src/lock/lock.ts";
import { canonicalJson } from "../../../src/oci/canonical-json.ts";
import { type Digest, digestOf } from "../../../src/oci/digest.ts";

/** A manifest in the place of an image: it is listed, and nobody pulls it. */
const manifest = (name: string): Buffer =>
  Buffer.from(
    canonicalJson({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: digestOf(Buffer.from(name)),
        size: 1,
      },
      layers: [],
    }),
  );

/**
 * Writes what a plan needs of a bundle as the tar that `readBundle` reads.
 * @param archive what is in the place of the tool, and of every file
 */
export async function writeBundleFile(
  path: string,
  bundle: Bundle,
  archive: Buffer = Buffer.from("packed"),
): Promise<void> {
  const contents = new Map<Digest, Buffer>();
  const add = (bytes: Buffer): { digest: Digest; size: number } => {
    const digest = digestOf(bytes);
    contents.set(digest, bytes);
    return { digest, size: bytes.length };
  };
  const images = bundle.lock.items.map((item) => ({
    ...item,
    root: { ...item.root, ...add(manifest(item.name)) },
  }));
  const files = (list: { title: string; text: string }[]) =>
    list.map(({ title, text }) => fileFromBytes(title, "text/plain", Buffer.from(text)));
  const made = [
    ...Object.entries(bundle.manifests).map(([name, { files: texts, namespace }]) =>
      makeArtifact({
        kind: "manifests",
        name,
        files: files(texts.map((each) => ({ title: each.path, text: each.text }))),
        origins: [],
        wantedBy: [],
        facts: {
          apply: texts.map((each) => each.path),
          notRun: [],
          images: [],
          sites: Object.fromEntries(texts.map((each) => [each.path, each.sites])),
          ...(namespace
            ? { rendered: { chart: name, version: "1", kubeVersion: "v1.28.2", namespace, hooks: [] } }
            : {}),
        },
      }),
    ),
    ...bundle.packageSets.map(({ name, facts }) =>
      makeArtifact({
        kind: "packages",
        name,
        files: [],
        origins: [],
        wantedBy: [],
        facts,
      }),
    ),
    ...Object.values(bundle.tools).map(({ name }) =>
      makeArtifact({
        kind: "self",
        name,
        files: [fileFromBytes(name, "application/gzip", archive)],
        origins: [],
        wantedBy: [],
      }),
    ),
    ...Object.keys(bundle.files).map((name) =>
      makeArtifact({
        kind: "file",
        name,
        files: [fileFromBytes(name, "application/gzip", archive)],
        origins: [],
        wantedBy: [],
      }),
    ),
  ];
  for (const { blobs } of made) {
    for (const { descriptor, source } of blobs) {
      const chunks: Buffer[] = [];
      for await (const chunk of await source.fetch(descriptor)) chunks.push(chunk as Buffer);
      add(Buffer.concat(chunks));
    }
  }
  const order = (a: { kind: string; name: string }, b: { kind: string; name: string }): number =>
    `${a.kind} ${a.name}` < `${b.kind} ${b.name}` ? -1 : 1;
  const lock: Lock = {
    ...bundle.lock,
    items: [...images, ...made.map(({ item }) => item)].sort(order),
    blobs: [...contents].map(([digest, { length }]) => ({ digest, size: length })),
  };
  const tar = Buffer.alloc(layOut(lock).size);
  for (const { header, headerOffset, offset, digest, bytes } of layOut(
    JSON.parse(encodeLock(lock).toString()) as Lock,
  ).entries) {
    header.copy(tar, headerOffset);
    (bytes ?? contents.get(digest as Digest) ?? Buffer.alloc(0)).copy(tar, offset);
  }
  END_OF_ARCHIVE.copy(tar, tar.length - END_OF_ARCHIVE.length);
  writeFileSync(path, tar);
}
