import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readLockOf } from "../../src/bundle/diff.ts";
import { verifyBundle } from "../../src/bundle/verify.ts";
import { copyImage } from "../../src/copy-image.ts";
import type { Event } from "../../src/events.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { attachedTag } from "../../src/oci/manifest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { findAttached } from "../../src/resolve/images/attached.ts";
import { openLocal, openLocalDestination, parseLocal } from "../../src/transport/local.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { Scratch } from "../support/scratch.ts";

const FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
const own = bytesOf("own", 2000);
const gone = bytesOf("foreign", 500);

const foreign = makeImage("foreign", [own], {
  layers: [
    { mediaType: MediaType.ociLayerGzip, digest: digestOf(own), size: own.length },
    { mediaType: FOREIGN, digest: digestOf(gone), size: gone.length, urls: ["https://go.site/layer?x=1"] },
  ],
});
const plain = makeImage("plain", [own]);
const signature = makeImage("signature", [bytesOf("sig", 20)]);
const tag = attachedTag(plain.root.digest, "sig");

const warnings = (events: Event[]): string[] =>
  events.flatMap((event) =>
    event.type === "warning" ? [`${event.message}\n${event.suggestion ?? ""}`] : [],
  );

async function build(scratch: Scratch, entry: string, head = ""): Promise<string[]> {
  scratch.spec(`${head}images:\n- ${entry}`);
  const events: Event[] = [];
  await scratch.build({ emit: (event) => events.push(event) });
  await verifyBundle(scratch.path("site.tar"), { quick: false, emit: () => {} });
  return warnings(events);
}

describe("foreign layers", () => {
  it("that are left out are named, with the key that carries them; an explicit no is silent", async () => {
    using scratch = new Scratch();
    writeLayout(scratch.path("layout"), { v1: foreign });
    const [told, ...more] = await build(scratch, '{ ref: "x.site/a:v1", from: "oci:layout:v1" }');
    expect(more).toEqual([]);
    expect(told).toMatch(
      /^x\.site\/a:v1: a foreign layer is left out, .*sha256:[0-9a-f]{64} \(from go\.site\)/,
    );
    expect(told).toMatch(/\nimages: \[\{ ref: "x\.site\/a:v1", foreignLayers: true \}\]/);
    expect(told).toContain(digestOf(gone));
    expect(
      await build(scratch, '{ ref: "x.site/a:v1", from: "oci:layout:v1", foreignLayers: false }'),
    ).toEqual([]);
  });
});

describe("what is attached", () => {
  /** Listed under its tag, its manifest deleted. */
  function withDangling(scratch: Scratch): void {
    writeLayout(scratch.path("layout"), { v1: plain, [tag]: signature });
    rmSync(scratch.path(`layout/blobs/sha256/${signature.root.digest.slice(7)}`));
  }

  it("and was deleted is a warning, and the image is carried", async () => {
    using scratch = new Scratch();
    withDangling(scratch);
    const [told, ...more] = await build(scratch, '{ ref: "x.site/a:v1", from: "oci:layout:v1" }');
    expect(more).toEqual([]);
    expect(told).toContain(`${tag} (${signature.root.digest}) is listed by the registry and not there`);
    const [item] = readLockOf(scratch.path("site.tar")).items;
    expect(item).toMatchObject({ root: { digest: plain.root.digest } });
    expect(item?.attached).toBeUndefined();
  });

  it("in part is left out whole", async () => {
    using scratch = new Scratch();
    const parts = makeIndex([signature, makeImage("half", [bytesOf("half", 9)])]);
    writeLayout(scratch.path("layout"), { v1: plain, [tag]: parts });
    const last = [...parts.blobs.keys()].find(
      (digest) =>
        digest !== parts.root.digest && isManifest(parts, digest) && digest !== signature.root.digest,
    );
    rmSync(scratch.path(`layout/blobs/sha256/${last?.slice(7)}`));
    expect(await build(scratch, '{ ref: "x.site/a:v1", from: "oci:layout:v1" }')).toHaveLength(1);
    const { blobs } = readLockOf(scratch.path("site.tar"));
    expect(blobs.map(({ digest }) => digest)).not.toContain(signature.root.digest);
  });

  it.each([
    ['{ ref: "x.site/a:v1", from: "oci:layout:v1", attachments: false }', ""],
    ['{ ref: "x.site/a:v1", from: "oci:layout:v1" }', "attachments: false\n"],
  ])("can be left out: %s %s", async (entry, head) => {
    using scratch = new Scratch();
    withDangling(scratch);
    expect(await build(scratch, entry, head)).toEqual([]);
  });

  it("stays with an image that says so where the bundle leaves it out", async () => {
    using scratch = new Scratch();
    writeLayout(scratch.path("layout"), { v1: plain, [tag]: signature });
    await build(
      scratch,
      '{ ref: "x.site/a:v1", from: "oci:layout:v1", attachments: true }',
      "attachments: false\n",
    );
    expect(readLockOf(scratch.path("site.tar")).items[0]?.attached).toHaveLength(1);
  });

  it("and deleted, or foreign, is told by copy too", async () => {
    using scratch = new Scratch();
    withDangling(scratch);
    writeLayout(scratch.path("foreign"), { v1: foreign });
    const events: Event[] = [];
    for (const [from, to] of [
      ["layout", "a"],
      ["foreign", "b"],
    ]) {
      const place = parseLocal(`oci:${from}:v1`, scratch.dir);
      const target = parseLocal(`oci:${to}:v1`, scratch.dir);
      if (!place || !target) throw new Error("no place");
      mkdirSync(scratch.path(to as string), { recursive: true });
      const source = await openLocal(place, { cacheDir: scratch.path("cache") });
      const destination = openLocalDestination(target, { cacheDir: scratch.path("cache") });
      await copyImage({
        source,
        reference: place.name,
        destination,
        tags: ["v1"],
        all: true,
        platform: { os: "linux", architecture: "amd64" },
        foreignLayers: false,
        findAttached,
        emit: (event) => events.push(event),
      });
      await destination.close?.();
      await source.close?.();
    }
    const [dangling, layer] = warnings(events);
    expect(dangling).toMatch(/is listed by the registry and not there/);
    expect(layer).toMatch(/a foreign layer is left out.*\n--foreign-layers/s);
    expect(readdirSync(join(scratch.path("a"), "blobs/sha256"))).toHaveLength(plain.blobs.size);
  });
});

function isManifest(image: { blobs: Map<string, Buffer> }, digest: string): boolean {
  return image.blobs.get(digest)?.toString("utf8").includes('"config":{"mediaType"') === true;
}

describe("a layout whose index.json is the index of an image itself", () => {
  const index = makeIndex([makeImage("amd64", [own]), makeImage("arm64", [bytesOf("arm", 300)])]);
  const bytes = index.blobs.get(index.root.digest) as Buffer;

  /** @param change what index.json is instead */
  function write(scratch: Scratch, change: (text: string) => string = (text) => text): void {
    writeLayout(scratch.path("layout"), { index });
    rmSync(scratch.path(`layout/blobs/sha256/${index.root.digest.slice(7)}`));
    writeFileSync(scratch.path("layout/index.json"), change(bytes.toString("utf8")));
  }

  it("is one image: one platform of it, or all under the digest of index.json", async () => {
    using scratch = new Scratch();
    write(scratch);
    await build(scratch, '{ ref: "x.site/a:v1", from: "oci:layout" }');
    const [one] = readLockOf(scratch.path("site.tar")).items;
    expect(one?.root.digest).toBe(JSON.parse(bytes.toString("utf8")).manifests[0].digest);
    expect(one?.original?.digest).toBe(index.root.digest);
    await build(scratch, '{ ref: "x.site/a:v1", from: "oci:layout", platforms: all }');
    expect(readLockOf(scratch.path("site.tar")).items[0]?.root).toEqual(index.root);
    const first = readFileSync(scratch.path("site.tar"));
    await scratch.build({ locked: true, output: scratch.path("again.tar") });
    expect(readFileSync(scratch.path("again.tar")).equals(first)).toBe(true);
  });

  it("may give its platforms one name, and may not say its own type", async () => {
    using scratch = new Scratch();
    const named = (text: string): string => {
      const value = JSON.parse(text) as { mediaType?: string; manifests: { annotations?: object }[] };
      for (const entry of value.manifests)
        entry.annotations = { "org.opencontainers.image.ref.name": "v1", kept: "yes" };
      delete value.mediaType;
      return JSON.stringify(value);
    };
    write(scratch, named);
    await build(scratch, '{ ref: "x.site/a:v1", from: "oci:layout:v1", platforms: all }');
    expect(readLockOf(scratch.path("site.tar")).items[0]?.root.mediaType).toBe(MediaType.ociIndex);
  });

  it("is ambiguous where two entries are for one platform, or have none", async () => {
    using scratch = new Scratch();
    for (const change of [
      (text: string) => text.replaceAll("arm64", "amd64"),
      (text: string) => text.replaceAll('"platform"', '"was"'),
    ]) {
      write(scratch, change);
      await expect(build(scratch, '{ ref: "x.site/a:v1", from: "oci:layout" }')).rejects.toThrow(
        /holds 2 images/,
      );
    }
  });
});

describe("platforms", () => {
  const image = makeImage("x", [own]);
  const index = (manifests: object[]) => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests }));
    const root = { mediaType: MediaType.ociIndex, digest: digestOf(bytes), size: bytes.length };
    return { root, blobs: new Map([...image.blobs, [root.digest, bytes]]) };
  };

  it.each(["x86_64", "X86_64", "x86-64"])("%s is amd64", async (architecture) => {
    using scratch = new Scratch();
    writeLayout(scratch.path("layout"), {
      v1: index([{ ...image.root, platform: { os: "linux", architecture } }]),
    });
    await build(scratch, '{ ref: "x.site/a:v1", from: "oci:layout:v1" }');
    expect(readLockOf(scratch.path("site.tar")).items[0]?.root.digest).toBeDefined();
  });

  it("an empty index has nothing for any", async () => {
    using scratch = new Scratch();
    writeLayout(scratch.path("layout"), { v1: index([]) });
    await expect(build(scratch, '{ ref: "x.site/a:v1", from: "oci:layout:v1" }')).rejects.toThrow(
      /has no image for linux\/amd64; its index is empty/,
    );
  });

  it("that an index lists and a layout does not hold are named", async () => {
    using scratch = new Scratch();
    const all = makeIndex([image, makeImage("arm", [bytesOf("arm", 30)])]);
    writeLayout(scratch.path("layout"), { v1: all });
    const arm = JSON.parse(all.blobs.get(all.root.digest)?.toString("utf8") ?? "").manifests[1]
      .digest as string;
    rmSync(scratch.path(`layout/blobs/sha256/${arm.slice(7)}`));
    await expect(
      build(scratch, '{ ref: "x.site/a:v1", from: "oci:layout:v1", platforms: all }'),
    ).rejects.toMatchObject({
      message: expect.stringMatching(/holds linux\/amd64 of v1; linux\/arm64 is listed and not there/),
      suggestions: expect.arrayContaining([expect.stringMatching(/^--platform linux\/amd64/)]),
    });
  });
});
