import { layOut } from "../../src/bundle/layout.ts";
import { END_OF_ARCHIVE, entryHeader, padded } from "../../src/bundle/tar.ts";
import { type ArtifactFile, fileFromBytes, makeArtifact } from "../../src/lock/artifact.ts";
import type { Item, Lock } from "../../src/lock/lock.ts";
import type { Resolved } from "../../src/lock/resolved.ts";
import { TITLE } from "../../src/lock/titles.ts";
import { canonicalJson } from "../../src/oci/canonical-json.ts";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { readBlob } from "../../src/transport/read.ts";
import { carriedFactsOf, packageFactsOf } from "./facts.ts";
import { bytesOf, makeImage, type TestImage } from "./images.ts";

/** Right frames around whatever a lock says: what somebody could write who wants to harm. */
export function tarOf(lock: unknown, contents: Iterable<Buffer>, lockText = canonicalJson(lock)): Buffer {
  const lockBytes = Buffer.from(lockText);
  const blob = descriptorOf("application/vnd.airgap.lock.v1+json", lockBytes);
  const artifactType = "application/vnd.airgap.bundle.v1";
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const root = Buffer.from(
    canonicalJson({ schemaVersion: 2, mediaType, artifactType, config: blob, layers: [blob] }),
  );
  const entries: [string, Buffer][] = [
    ["oci-layout", Buffer.from('{"imageLayoutVersion":"1.0.0"}')],
    ["index.json", indexOf(lock, { ...descriptorOf(mediaType, root), artifactType })],
    ...[root, lockBytes, ...contents].map((bytes): [string, Buffer] => [
      `blobs/sha256/${digestOf(bytes).slice("sha256:".length)}`,
      bytes,
    ]),
  ];
  const parts = entries.flatMap(([name, bytes]) => [
    entryHeader(name, bytes.length),
    bytes,
    Buffer.alloc(padded(bytes.length) - bytes.length),
  ]);
  return Buffer.concat([...parts, END_OF_ARCHIVE]);
}

const descriptorOf = (mediaType: string, bytes: Buffer): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
});

/** The index that belongs to a lock; of one that has none, an index that names the root alone. */
function indexOf(lock: unknown, root: Descriptor): Buffer {
  try {
    const bytes = layOut(lock as Lock).entries[1]?.bytes;
    if (bytes) return bytes;
  } catch {
    // What no layout can be made of must be refused before one is asked for.
  }
  return Buffer.from(canonicalJson({ schemaVersion: 2, manifests: [root] }));
}

/** A lock with every kind of item and every key that one can have, and the content that it names. */
export interface Crafted {
  lock: Lock;
  contents: Map<Digest, Buffer>;
}

const text = (title: string, content: string): ArtifactFile =>
  fileFromBytes(title, "text/plain", Buffer.from(content));

function artifacts(): Resolved[] {
  const named = { origins: ["somewhere"], wantedBy: ["test"] };
  const hello = text("notes.txt", "hello\n");
  const tool = text("airgap-0.1.0-linux-x64.tar.gz", "packed");
  const reference = "reg.site/a/one:1";
  const found = { reference, fate: "carried" as const, confidence: "certain", how: "container" };
  const site = { reference, whole: true, names: [{ start: 7, end: 23 }], tag: { start: 22, end: 23 } };
  const rpm = text("Packages/app", "a package");
  const head = { size: 6, sha256: digestOf("head").slice("sha256:".length) };
  return [
    makeArtifact({ kind: "file", name: hello.title, files: [hello], ...named, facts: factsOf(hello) }),
    makeArtifact({ kind: "self", name: tool.title, files: [tool], ...named, facts: factsOf(tool) }),
    makeArtifact({
      kind: "manifests",
      name: "web",
      files: [text("web.yaml", `image: ${reference}\n`)],
      ...named,
      facts: carriedFactsOf({
        apply: ["web.yaml"],
        images: [{ ...found, places: ["web.yaml:1 Pod/web"] }],
        sites: { "web.yaml": [site] },
      }),
    }),
    makeArtifact({
      kind: "chart",
      name: "shop",
      files: [text("rendered.yaml", "a: 1\n"), text("hooks.yaml", "b: 2\n")],
      ...named,
      facts: carriedFactsOf({
        apply: ["rendered.yaml"],
        notRun: ["hooks.yaml"],
        rendered: {
          chart: "shop",
          version: "1.0.0",
          kubeVersion: "v1.28.2",
          namespace: "shop",
          hooks: ["x"],
        },
      }),
    }),
    makeArtifact({
      kind: "packages",
      name: "el9",
      files: [rpm, text("keys/airgap.asc", "a key")],
      ...named,
      facts: packageFactsOf({
        roles: {
          worker: { asked: [{ text: "app", package: "app-1-1.x86_64" }], packages: ["app-1-1.x86_64"] },
        },
        packages: [
          {
            id: "app-1-1.x86_64",
            name: "app",
            version: "1-1",
            arch: "x86_64",
            repository: "base",
            href: rpm.title,
            base: "https://mirror.example/base/",
            size: rpm.size,
            digest: rpm.digest,
            head,
            reason: { by: "other-2-1.noarch", relation: "app >= 1" },
            alternative: "other hosts may need it",
            signature: { key: "ABCDEF0123456789", hash: "sha256" },
          },
        ],
        keys: { "keys/base.asc": "a key\n" },
        signing: { publicKey: "a key\n", signatures: { "repodata/repomd.xml.asc": "signed\n" } },
        moduleHotfixes: true,
        modules: [
          {
            name: "nodejs",
            stream: "18",
            version: "9010020230101",
            context: "rhel9",
            arch: "x86_64",
            staticContext: true,
            summary: "Node",
            description: "Node\nand more",
            licenses: ["MIT"],
            requires: [{ platform: ["el9"] }],
            profiles: { common: ["nodejs"] },
            defaultProfiles: ["common"],
            artifacts: ["app-1-1.x86_64"],
          },
        ],
      }),
    }),
  ];
}

const factsOf = ({ digest, size }: ArtifactFile) => ({ digest, size });

function imageItem(name: string, { root }: TestImage, attached?: TestImage): Item {
  return {
    kind: "image",
    name,
    root,
    origins: [`docker://${name}`],
    wantedBy: ["images[0]"],
    ...(attached
      ? { attached: [{ descriptor: attached.root, subject: root.digest, tag: attachedTo(root.digest) }] }
      : {}),
  };
}

const attachedTo = (digest: Digest): string => `${digest.replace(":", "-")}.sig`;

export async function craftAll(): Promise<Crafted> {
  const [one, signature] = [
    makeImage("one", [bytesOf("layer", 900)]),
    makeImage("sig", [bytesOf("sig", 90)]),
  ];
  const contents = new Map<Digest, Buffer>([...one.blobs, ...signature.blobs]);
  const made = artifacts();
  for (const { blobs } of made)
    for (const { descriptor, source } of blobs)
      contents.set(descriptor.digest, await readBlob(source, descriptor, 1 << 20));
  const lock: Lock = {
    apiVersion: "airgap/v1",
    kind: "Lock",
    name: "site",
    platforms: ["linux/amd64"],
    siteName: "reg.site:5000",
    items: [imageItem("reg.site/a/one:1", one, signature), ...made.map(({ item }) => item)],
    blobs: [...contents].map(([digest, { length }]) => ({ digest, size: length })),
  };
  return { lock, contents };
}

/** A bundle with one artifact whose layers have these titles, as `makeArtifact` would never make it. */
export function withTitles(kind: "packages" | "file", name: string, titles: string[]): Crafted {
  const contents = titles.map((title) => Buffer.from(`content of ${title}`));
  const empty = Buffer.from("{}");
  const layers = contents.map((bytes, i) => ({
    ...descriptorOf("application/octet-stream", bytes),
    annotations: { [TITLE]: titles[i] as string },
  }));
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const config = descriptorOf("application/vnd.oci.empty.v1+json", empty);
  const manifest = Buffer.from(canonicalJson({ schemaVersion: 2, mediaType, config, layers }));
  const all = new Map([manifest, empty, ...contents].map((bytes) => [digestOf(bytes), bytes]));
  const common = { name, root: descriptorOf(mediaType, manifest), origins: [], wantedBy: [] };
  const item: Item = kind === "packages" ? { kind, ...common, facts: packageFactsOf() } : { kind, ...common };
  const lock: Lock = {
    apiVersion: "airgap/v1",
    kind: "Lock",
    name: "site",
    platforms: ["linux/amd64"],
    items: [item],
    blobs: [...all].map(([digest, { length }]) => ({ digest, size: length })),
  };
  return { lock, contents: all };
}
