import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readLockOf } from "../../src/bundle/diff.ts";
import { BundleReader } from "../../src/bundle/reader.ts";
import { verifyBundle } from "../../src/bundle/verify.ts";
import type { Lock } from "../../src/lock/lock.ts";
import { digestOf, hexOf } from "../../src/oci/digest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { carriedFactsOf } from "../support/facts.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { startRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";

const base = bytesOf("base", 300_000);
const image = (name: string) => makeImage(name, [base, bytesOf(name, 5000)]);
const quick = { quick: false, emit: () => {} };

describe("build", () => {
  it("carries an image byte for byte, each blob once", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image("one"), "1");
    fill(registry.store, "a/two", image("two"), "1");
    scratch.spec(`images: [${registry.host}/a/one:1, ${registry.host}/a/two:1]`);
    const result = await scratch.build();
    expect(result).toMatchObject({ items: 2, blobs: 7, resumed: false });
    await verifyBundle(scratch.path("site.tar"), quick);
    const bundle = BundleReader.open(scratch.path("site.tar"));
    for (const [digest, bytes] of image("two").blobs) expect(bundle.read(digest).equals(bytes)).toBe(true);
    bundle.close();
    const layers = registry.seen.filter(({ path }) => path.endsWith(digestOf(base)));
    expect(layers).toHaveLength(1);
  });

  it("gives the same bytes from the same lock, at any concurrency", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", makeIndex([image("one"), image("two")]), "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    await scratch.build({ concurrency: 1 });
    const first = readFileSync(scratch.path("site.tar"));
    await scratch.build({ concurrency: 16, locked: true, output: scratch.path("again.tar") });
    expect(readFileSync(scratch.path("again.tar")).equals(first)).toBe(true);
  });

  it("asks no tag with --locked, and finds the content under a moved tag", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image("one"), "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    await scratch.build({ lockOnly: true });
    expect(existsSync(scratch.path("site.tar"))).toBe(false);
    fill(registry.store, "a/one", image("newer"), "1");
    registry.seen.length = 0;
    await scratch.build({ locked: true });
    expect(
      registry.seen.filter(({ path }) => path.endsWith("/manifests/1") || path.endsWith("/tags/list")),
    ).toEqual([]);
    expect(readLockOf(scratch.path("site.tar")).items[0]?.root.digest).toBe(image("one").root.digest);
    const changed = await scratch.build();
    expect(changed.changes).toMatchObject([
      { change: "changed", from: image("one").root.digest, to: image("newer").root.digest },
    ]);
  });

  it("refuses --locked when spec and lock differ, and a lock that is not there", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image("one"), "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    await expect(scratch.build({ locked: true })).rejects.toMatchObject({ code: "usage" });
    await scratch.build();
    scratch.spec(`images: [${registry.host}/a/one:1, ${registry.host}/a/other:1]`);
    await expect(scratch.build({ locked: true })).rejects.toMatchObject({ code: "spec", exit: 2 });
    scratch.spec("images: []");
    await expect(scratch.build({ locked: true })).rejects.toMatchObject({ code: "spec" });
  });

  it("takes blobs from an earlier bundle without the network", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image("one"), "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    await scratch.build({ output: scratch.path("old.tar") });
    registry.seen.length = 0;
    await scratch.build({ reuse: [scratch.path("old.tar")] });
    expect(registry.count("GET blob")).toBe(0);
    expect(readFileSync(scratch.path("site.tar")).equals(readFileSync(scratch.path("old.tar")))).toBe(true);
  });

  it("takes from an earlier bundle only what is right in it, and the rest from the network", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", image("one"), "1");
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    await scratch.build({ output: scratch.path("old.tar") });
    const whole = readFileSync(scratch.path("old.tar"));
    const reader = BundleReader.open(scratch.path("old.tar"));
    const places = reader.lock.blobs.map(({ digest }) => reader.layout.byDigest.get(digest)?.offset ?? 0);
    reader.close();
    for (const wrong of [places, ...places.map((place) => [place])]) {
      const bytes = Buffer.from(whole);
      for (const place of wrong) bytes[place] = (bytes[place] ?? 0) ^ 1;
      const reuse = [scratch.write("wrong.tar", bytes)];
      await scratch.build({ reuse });
      expect(readFileSync(scratch.path("site.tar")).equals(whole)).toBe(true);
      await scratch.build({ reuse, locked: true });
      expect(readFileSync(scratch.path("site.tar")).equals(whole)).toBe(true);
    }
  });

  it("names the platforms that an image has when it lacks one", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", makeIndex([image("one"), image("two")]), "1");
    scratch.spec(`platforms: [linux/riscv64]\nimages: [${registry.host}/a/one:1]`);
    await expect(scratch.build()).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringMatching(
        /linux\/riscv64; it offers linux\/amd64, linux\/arm64; wanted by images\[0\]/,
      ),
    });
    fill(registry.store, "a/single", image("one"), "1");
    scratch.spec(`platforms: [linux/arm64]\nimages: [${registry.host}/a/single:1]`);
    await expect(scratch.build()).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("an image for linux/amd64 only"),
    });
  });

  it("says who wants an image that is not there", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    scratch.spec(`images: [${registry.host}/a/none:1]`);
    await expect(scratch.build()).rejects.toMatchObject({
      code: "not-found",
      data: { wantedBy: ["images[0]"] },
    });
    expect(existsSync(scratch.path("site.lock.json"))).toBe(false);
  });

  it("carries files by path and URL under their names, pinned", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    scratch.write("tool.tgz", base);
    registry.store.addBlob("a/files", bytesOf("file", 4000));
    const digest = digestOf(bytesOf("file", 4000));
    scratch.spec(
      `files:\n- path: tool.tgz\n- url: ${registry.url}/v2/a/files/blobs/${digest}\n  as: remote.bin`,
    );
    await scratch.build();
    const { items } = readLockOf(scratch.path("site.tar"));
    expect(items.map(({ kind, name, facts }) => ({ kind, name, facts }))).toEqual([
      { kind: "file", name: "remote.bin", facts: { digest, size: 4000 } },
      { kind: "file", name: "tool.tgz", facts: { digest: digestOf(base), size: base.length } },
    ]);
    await verifyBundle(scratch.path("site.tar"), quick);
    scratch.spec(`files: [{ path: tool.tgz, sha256: ${"f".repeat(64)} }]`);
    await expect(scratch.build()).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining(digestOf(base).slice(7)),
    });
  });

  it("carries what is attached: cosign tags and referrers, on index children too", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    const child = image("one");
    const index = makeIndex([child, image("two")]);
    fill(registry.store, "a/one", index, "1");
    const signature = makeImage("sig", [bytesOf("signature", 100)]);
    fill(registry.store, "a/one", signature, `${child.root.digest.replace(":", "-")}.sig`);
    const sbom = makeImage("sbom", [bytesOf("sbom", 100)], {
      subject: index.root,
      artifactType: "application/spdx+json",
    });
    fill(registry.store, "a/one", sbom);
    scratch.spec(`images: [${registry.host}/a/one:1]`);
    await scratch.build();
    const [item] = readLockOf(scratch.path("site.tar")).items;
    expect(item?.attached).toHaveLength(2);
    expect(item?.attached).toContainEqual(
      expect.objectContaining({
        subject: child.root.digest,
        tag: `${child.root.digest.replace(":", "-")}.sig`,
      }),
    );
    expect(item?.attached).toContainEqual(
      expect.objectContaining({
        subject: index.root.digest,
        descriptor: expect.objectContaining({ digest: sbom.root.digest }),
      }),
    );
    await verifyBundle(scratch.path("site.tar"), quick);
    const again = readFileSync(scratch.path("site.tar"));
    await scratch.build({ locked: true });
    expect(readFileSync(scratch.path("site.tar")).equals(again)).toBe(true);
  });
});

describe("images from elsewhere than a registry", () => {
  it("are read from layouts and archives under the name that the spec gives them", async () => {
    using scratch = new Scratch();
    writeLayout(scratch.path("layout"), { one: image("one"), two: image("two") });
    scratch.spec(
      'siteName: register.site\nimages:\n- { ref: register.site/app/one:1, from: "oci:layout:one" }\n- { ref: register.site/app/two:1, from: "oci:layout:two" }',
    );
    await scratch.build();
    await verifyBundle(scratch.path("site.tar"), quick);
    scratch.spec(
      `images: [{ ref: register.site/app/one:1, from: "oci-archive:site.tar:register.site/app/one:1" }]`,
    );
    const { bundle = "" } = await scratch.build({ output: scratch.path("again.tar") });
    expect(readLockOf(bundle).items).toMatchObject([
      {
        name: "register.site/app/one:1",
        root: { digest: image("one").root.digest },
        origins: [expect.stringContaining("oci-archive:")],
      },
    ]);
  });

  it("say what is wrong with the place", async () => {
    using scratch = new Scratch();
    scratch.spec(`images: [{ ref: a, from: "oci:nowhere" }]`);
    await expect(scratch.build()).rejects.toMatchObject({ message: expect.stringContaining("nowhere") });
  });
});

describe("sha512", () => {
  it("names manifests, configurations and layers as well as sha256 does, fresh and by a lock", async () => {
    using scratch = new Scratch();
    const blobs = join(scratch.dir, "layout/blobs/sha512");
    mkdirSync(blobs, { recursive: true });
    const put = (mediaType: string, bytes: Buffer) => {
      const digest = digestOf(bytes, "sha512");
      writeFileSync(join(blobs, hexOf(digest)), bytes);
      return { mediaType, digest, size: bytes.length };
    };
    const config = put(MediaType.ociConfig, Buffer.from('{"architecture":"amd64","os":"linux"}'));
    const layers = [bytesOf("layer", 300_000), Buffer.alloc(0)].map((bytes) =>
      put(MediaType.ociLayerGzip, bytes),
    );
    const manifest = put(
      MediaType.ociManifest,
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociManifest, config, layers })),
    );
    scratch.write("layout/oci-layout", '{"imageLayoutVersion":"1.0.0"}');
    const annotations = { "org.opencontainers.image.ref.name": "one" };
    scratch.write(
      "layout/index.json",
      JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
    );
    scratch.spec('images: [{ ref: "h.site/one:1", from: "oci:layout:one" }]');
    await scratch.build();
    await verifyBundle(scratch.path("site.tar"), quick);
    const first = readFileSync(scratch.path("site.tar"));
    expect(readLockOf(scratch.path("site.tar")).items[0]?.root.digest).toBe(manifest.digest);
    await scratch.build({ locked: true });
    expect(readFileSync(scratch.path("site.tar")).equals(first)).toBe(true);
  });
});

describe("foreign layers", () => {
  it("are left out by default, and read from where their publisher says on wish", async () => {
    await using registry = await startRegistry();
    await using publisher = await startRegistry();
    using scratch = new Scratch();
    const foreign = bytesOf("foreign", 3000);
    const descriptor = {
      mediaType: MediaType.dockerForeignLayer,
      digest: digestOf(foreign),
      size: foreign.length,
      urls: [`${publisher.url}/layer`],
    };
    const config = { mediaType: MediaType.dockerConfig, digest: digestOf("{}"), size: 2 };
    const manifest = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: MediaType.dockerManifest, config, layers: [descriptor] }),
    );
    registry.store.addBlob("a/windows", Buffer.from("{}"));
    registry.store.addManifest("a/windows", MediaType.dockerManifest, manifest, "1");
    publisher.hooks.push((exchange) => exchange.url.pathname === "/layer" && exchange.send(200, {}, foreign));
    scratch.spec(`images: [${registry.host}/a/windows:1]`);
    expect((await scratch.build()).blobs).toBe(2);
    await verifyBundle(scratch.path("site.tar"), quick);
    scratch.spec(`images: [{ ref: ${registry.host}/a/windows:1, foreignLayers: true }]`);
    expect((await scratch.build()).blobs).toBe(3);
    await verifyBundle(scratch.path("site.tar"), quick);
  });
});

describe("what lands", () => {
  const index = makeIndex([image("one"), image("two"), image("three")]);
  const locked = async (lines: (host: string) => string) => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "a/one", index, "1");
    scratch.spec(lines(registry.host));
    await scratch.build();
    await verifyBundle(scratch.path("site.tar"), quick);
    const bytes = readFileSync(scratch.path("site.tar"));
    await scratch.build({ locked: true });
    expect(readFileSync(scratch.path("site.tar")).equals(bytes)).toBe(true);
    return {
      lock: readLockOf(scratch.path("site.tar")),
      item: readLockOf(scratch.path("site.tar")).items[0],
    };
  };

  it("is the index itself when every child is carried", async () => {
    const { item } = await locked((host) => `platforms: all\nimages: [${host}/a/one:1]`);
    expect(item).toMatchObject({ root: { digest: index.root.digest } });
    expect(item?.original).toBeUndefined();
  });

  it("is the manifest of one platform, with the original beside it", async () => {
    const { item, lock } = await locked((host) => `images: [${host}/a/one:1]`);
    expect(item).toMatchObject({
      root: { digest: image("one").root.digest },
      original: { digest: index.root.digest },
    });
    expect(lock.blobs.map(({ digest }) => digest)).not.toContain(image("two").root.digest);
  });

  it("is a derived index for several platforms of more", async () => {
    const { item } = await locked(
      (host) => `platforms: [linux/amd64, linux/s390x]\nimages: [${host}/a/one:1]`,
    );
    expect(item?.original?.digest).toBe(index.root.digest);
    expect(item?.root.mediaType).toBe(index.root.mediaType);
    expect([index.root.digest, image("one").root.digest]).not.toContain(item?.root.digest);
  });

  it("is the whole index where it is asked for by digest, unless only some platforms are wanted exactly", async () => {
    const whole = await locked((host) => `images: ["${host}/a/one:1@${index.root.digest}"]`);
    expect(whole.item).toMatchObject({ root: { digest: index.root.digest } });
    expect(whole.lock.blobs.map(({ digest }) => digest)).toContain(image("three").root.digest);
    const exact = await locked(
      (host) => `images: [{ ref: "${host}/a/one@${index.root.digest}", platforms: exact }]`,
    );
    expect(exact.item).toMatchObject({ root: { digest: index.root.digest }, exact: true });
    expect(exact.lock.blobs.map(({ digest }) => digest)).not.toContain(image("three").root.digest);
  });
});

describe("closure", () => {
  it("carries what documents name, and is proven again from the bundle alone", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    fill(registry.store, "app/web", image("one"), "1");
    scratch.write(
      "app.yaml",
      "apiVersion: v1\nkind: Pod\nmetadata: { name: web }\nspec: { containers: [{ name: web, image: register.site/app/web:1 }] }\n",
    );
    const sources = `sources: { register.site: { mirrors: ["${registry.host}"] } }`;
    scratch.spec(`${sources}\nmanifests: [{ path: app.yaml, as: app }]`);
    await scratch.build();
    await verifyBundle(scratch.path("site.tar"), quick);
    const { items } = readLockOf(scratch.path("site.tar"));
    expect(items.map(({ kind, name, wantedBy }) => ({ kind, name, wantedBy }))).toEqual([
      { kind: "image", name: "register.site/app/web:1", wantedBy: ["manifests app: app.yaml:4"] },
      { kind: "manifests", name: "app", wantedBy: ["manifests[0]"] },
    ]);
  });

  it("names every image that a Kubernetes version needs and no source has, with who wants it", async () => {
    await using registry = await startRegistry();
    using scratch = new Scratch();
    scratch.spec(
      `sources: { registry.k8s.io: { mirrors: ["${registry.host}/google_containers/*"] } }\nkubernetes: [{ version: v1.28.2 }]`,
    );
    await expect(scratch.build()).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringMatching(
        /^7 images cannot be resolved:.*coredns:v1\.10\.1.*wanted by kubernetes v1\.28\.2/s,
      ),
    });
  });

  it("refuses a bundle whose lock leaves out what a document names", async () => {
    const lock = readClosed();
    const { checkClosed } = await import("../../src/bundle/held.ts");
    await expect(
      checkClosed(
        { ...lock, items: lock.items.filter(({ kind }) => kind !== "image") },
        async () => undefined,
      ),
    ).rejects.toMatchObject({
      code: "not-closed",
      exit: 3,
      message: expect.stringContaining(
        "register.site/app/web:1: it is not in the bundle; wanted by manifests app",
      ),
    });
  });
});

/** A lock that carries one document and the image that it names. */
function readClosed(): Lock {
  const root = image("one").root;
  const named = { reference: "register.site/app/web:1", confidence: "certain", how: "container" };
  const facts = carriedFactsOf({
    images: [{ ...named, fate: "carried", places: ["app.yaml:4 Pod/web"] }],
  });
  return {
    apiVersion: "airgap/v1",
    kind: "Lock",
    name: "site",
    platforms: ["linux/amd64"],
    items: [
      { kind: "image", name: "register.site/app/web:1", root, origins: [], wantedBy: [] },
      { kind: "manifests", name: "app", root, origins: [], wantedBy: [], facts },
    ],
    blobs: [],
  };
}
