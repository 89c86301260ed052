import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { pack } from "tar-stream";
import { describe, expect, it } from "vitest";
import { digestOf } from "../../src/oci/digest.ts";
import { attachedTag, parseManifest } from "../../src/oci/manifest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { openLocal, openLocalDestination, parseLocal } from "../../src/transport/local.ts";
import type { Source } from "../../src/transport/types.ts";
import { bytesOf, makeImage, makeIndex, type TestImage } from "../support/images.ts";
import { writeLayout } from "../support/layout.ts";
import { tarOf } from "../support/real-image.ts";
import { Scratch } from "../support/scratch.ts";
import { sourceOf } from "../support/transport.ts";

const base = bytesOf("base", 900_000);
const one = makeImage("one", [base, bytesOf("one", 100)]);
const two = makeImage("two", [base, bytesOf("two", 100)], {}, true);
const index = makeIndex([one, two]);
const signature = makeImage("signature", [bytesOf("sig", 20)]);
const sbom = makeImage("sbom", [bytesOf("sbom", 20)], {
  subject: one.root,
  artifactType: "application/x.sbom",
});

async function open(text: string, scratch: Scratch): Promise<{ source: Source; name: string }> {
  const place = parseLocal(text, scratch.dir);
  if (place === undefined) throw new Error(`no local place: ${text}`);
  return { source: await openLocal(place, { cacheDir: scratch.path("cache") }), name: place.name };
}

async function bytesAt(
  source: Source,
  digest: string,
  size: number,
  mediaType = "application/octet-stream",
): Promise<Buffer> {
  return Buffer.concat(await (await source.fetch({ mediaType, digest, size } as never)).toArray());
}

async function expectWhole(source: Source, image: TestImage): Promise<void> {
  for (const [digest, bytes] of image.blobs)
    expect((await bytesAt(source, digest, bytes.length)).equals(bytes)).toBe(true);
}

interface Item {
  name: string;
  content?: string | Buffer;
  link?: string;
  hard?: string;
  type?: "fifo" | "character-device" | "directory";
}

async function tarWith(items: Item[]): Promise<Buffer> {
  const tar = pack();
  for (const { name, content, link, hard, type } of items) {
    if (link !== undefined) tar.entry({ name, type: "symlink", linkname: link });
    else if (hard !== undefined) tar.entry({ name, type: "link", linkname: hard });
    else tar.entry({ name, ...(type ? { type } : {}) }, content ?? "");
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const layoutItems = (images: Record<string, TestImage>): Item[] => {
  const manifests = Object.entries(images).map(([name, { root }]) => ({
    ...root,
    annotations: { "org.opencontainers.image.ref.name": name },
  }));
  const blobs = new Map(Object.values(images).flatMap((image) => [...image.blobs]));
  return [
    { name: "oci-layout", content: '{"imageLayoutVersion":"1.0.0"}' },
    { name: "index.json", content: JSON.stringify({ schemaVersion: 2, manifests }) },
    ...[...blobs].map(([digest, content]) => ({ name: `blobs/${digest.replace(":", "/")}`, content })),
  ];
};

describe("where an image is", () => {
  it.each([
    ["oci:dir", { kind: "oci", path: "/base/dir", name: "" }],
    ["oci:/dir:registry.k8s.io/pause:3.9", { kind: "oci", path: "/dir", name: "registry.k8s.io/pause:3.9" }],
    [
      "oci-archive:a.tar:localhost:5000/x:1",
      { kind: "oci-archive", path: "/base/a.tar", name: "localhost:5000/x:1" },
    ],
    ["docker-archive:../a.tar", { kind: "docker-archive", path: "/a.tar", name: "" }],
    ["docker-daemon:nginx_web:v0.1", { kind: "docker-daemon", path: "nginx_web:v0.1", name: "" }],
    ["docker://x/y", undefined],
    ["nginx", undefined],
  ])("reads %s", (text, place) => expect(parseLocal(text, "/base")).toEqual(place));

  it("wants a path", () => expect(() => parseLocal("oci::x", "/")).toThrow(/does not name a directory/));
});

describe.each(["oci", "oci-archive"])("%s", (kind) => {
  async function written(scratch: Scratch, images: Record<string, TestImage>): Promise<string> {
    if (kind === "oci") return `oci:${writeLayout(scratch.path("layout"), images)}`;
    return `oci-archive:${scratch.write("layout.tar", await tarWith(layoutItems(images)))}`;
  }

  it("gives images by name, digest, or as the only one; bytes, parts and writes", async () => {
    using scratch = new Scratch();
    const place = await written(scratch, { "docker.io/library/one:latest": one, two, index });
    const { source } = await open(place, scratch);
    for (const [name, image] of [
      ["docker.io/library/one:latest", one],
      ["one", one],
      ["two", two],
      ["index", index],
      [two.root.digest, two],
    ] as const) {
      expect(await source.resolve(name)).toEqual(image.root);
    }
    await expectWhole(source, index);
    const layer = { mediaType: MediaType.ociLayer, digest: digestOf(base), size: base.length };
    const part = Buffer.concat(
      await (await source.fetch(layer, { range: { offset: 500_000, length: 10 } })).toArray(),
    );
    expect(part.equals(base.subarray(500_000, 500_010))).toBe(true);
    const chunks: Buffer[] = [];
    await source.writeTo?.(layer, { offset: 100 }, (chunk) => void chunks.push(Buffer.from(chunk)));
    expect(Buffer.concat(chunks).equals(base.subarray(100))).toBe(true);
    await expect(source.resolve("")).rejects.toThrow(/holds 3 images: docker.io/);
    await expect(source.resolve("three")).rejects.toThrow(
      expect.objectContaining({ code: "not-found", message: expect.stringContaining("two") }),
    );
    await source.close?.();
  });

  it("finds a child that index.json does not list, signatures by tag, and referrers", async () => {
    using scratch = new Scratch();
    const tag = attachedTag(one.root.digest, "sig");
    const { source } = await open(await written(scratch, { index, [tag]: signature, sbom }), scratch);
    expect(await source.resolve(one.root.digest)).toEqual(one.root);
    expect(await source.resolve(two.root.digest)).toEqual(two.root);
    expect(await source.tags?.()).toEqual(["index", "sbom", tag].sort());
    expect(await source.resolve(tag)).toEqual(signature.root);
    expect(await source.referrers?.(one.root.digest)).toEqual([
      { ...sbom.root, artifactType: "application/x.sbom" },
    ]);
    expect(await source.referrers?.(two.root.digest)).toEqual([]);
    await source.close?.();
  });

  it("fails on content that is not its digest, longer or shorter than it says, or missing", async () => {
    using scratch = new Scratch();
    const damaged = Buffer.from(base);
    damaged[500_000] = (damaged[500_000] ?? 0) ^ 1;
    for (const [content, why] of [
      [damaged, /the digest of the bytes is/],
      [base.subarray(1), /only 899999/],
      [Buffer.concat([base, base]), /more than/],
    ] as const) {
      const bad = { root: one.root, blobs: new Map([...one.blobs, [digestOf(base), content as Buffer]]) };
      const { source } = await open(await written(scratch, { one: bad }), scratch);
      await expect(bytesAt(source, digestOf(base), base.length)).rejects.toThrow(why);
      await expect(bytesAt(source, digestOf("absent"), 1)).rejects.toThrow(/does not hold/);
      await source.close?.();
    }
  });
});

describe("oci", () => {
  it("says that there is none, and reads nothing but files", async () => {
    using scratch = new Scratch();
    await expect(open("oci:none", scratch)).rejects.toThrow(expect.objectContaining({ code: "not-found" }));
    const dir = writeLayout(scratch.path("layout"), { one });
    execFileSync("mkfifo", [`${dir}/blobs/sha256/${"0".repeat(64)}`]);
    symlinkSync("/dev/zero", `${dir}/blobs/sha256/${"1".repeat(64)}`);
    const { source } = await open(`oci:${dir}`, scratch);
    for (const digit of ["0", "1"])
      await expect(bytesAt(source, `sha256:${digit.repeat(64)}`, 10)).rejects.toThrow(/is not a file/);
    writeFileSync(`${dir}/index.json`, "{");
    await expect(open(`oci:${dir}`, scratch)).rejects.toThrow(/not JSON/);
  });
});

describe("a tar", () => {
  const archive = async (scratch: Scratch, bytes: Buffer): Promise<Source> =>
    (await open(`oci-archive:${scratch.write("a.tar", bytes)}`, scratch)).source;

  it("is read as GNU tar, pax and v7 write it, with ./ before its names", async () => {
    using scratch = new Scratch();
    const dir = writeLayout(scratch.path("layout"), { one });
    for (const format of ["gnu", "pax", "posix", "ustar", "v7", "oldgnu"]) {
      const file = scratch.path(`${format}.tar`);
      execFileSync("tar", ["-C", dir, "-c", `--format=${format}`, "-f", file, "."]);
      const { source } = await open(`oci-archive:${file}`, scratch);
      expect(await source.resolve("one")).toEqual(one.root);
      await expectWhole(source, one);
      await source.close?.();
    }
  });

  it("may be compressed with gzip or zstd; the unpacked copy does not stay", async () => {
    using scratch = new Scratch();
    const plain = await tarWith(layoutItems({ one }));
    for (const packed of [gzipSync(plain), zstdCompressSync(plain)]) {
      const source = await archive(scratch, packed);
      await expectWhole(source, one);
      await source.close?.();
    }
    expect(readdirSync(scratch.path("cache"))).toEqual([]);
    await expect(archive(scratch, gzipSync(plain).subarray(0, 5000))).rejects.toThrow(
      expect.objectContaining({ code: "corrupt" }),
    );
    await expect(archive(scratch, Buffer.from("fd377a585a000000", "hex"))).rejects.toThrow(
      expect.objectContaining({ code: "unsupported", suggestions: [`unxz ${scratch.path("a.tar")}`] }),
    );
    expect(readdirSync(scratch.path("cache"))).toEqual([]);
  });

  it("is refused when it is cut off, anywhere", async () => {
    using scratch = new Scratch();
    const plain = await tarWith(layoutItems({ one }));
    for (const length of [0, 100, 511, 512, 1024, 5000, 500_000, plain.length - 1024, plain.length - 1500]) {
      await expect(archive(scratch, plain.subarray(0, length))).rejects.toThrow(
        expect.objectContaining({ code: "corrupt" }),
      );
    }
    await expect(archive(scratch, bytesOf("noise", 10_000))).rejects.toThrow(/it is not a tar/);
  });

  it("with a flipped bit in any header is refused or read right", async () => {
    using scratch = new Scratch();
    const plain = await tarWith(layoutItems({ one }));
    for (let at = 0; at < 512; at += 7) {
      const bad = Buffer.from(plain);
      bad[1024 + at] = (bad[1024 + at] ?? 0) ^ 0x10;
      await expect(archive(scratch, bad)).rejects.toThrow(/Cannot read the archive/);
    }
  });

  it("can do no harm by its names and links", async () => {
    using scratch = new Scratch();
    const secret = scratch.write("secret", "secret");
    const good = layoutItems({ one });
    const digest = digestOf("secret");
    const blob = `blobs/${digest.replace(":", "/")}`;
    for (const bad of [
      { name: blob, link: secret },
      { name: blob, link: "../../../../secret" },
      { name: blob, hard: "/etc/passwd" },
      { name: blob, link: digest.slice(7) },
      { name: blob, type: "fifo" as const },
      { name: blob, type: "character-device" as const },
      { name: `../${blob}`, content: "secret" },
      { name: `x/../../${blob}`, content: "secret" },
    ]) {
      const source = await archive(scratch, await tarWith([...good, bad]));
      await expect(bytesAt(source, digest, 6)).rejects.toThrow(
        /does not hold|a link that leads out of the archive/,
      );
      await expectWhole(source, one);
      await source.close?.();
    }
  });
});

describe("docker-archive", () => {
  const layers = (): Promise<Buffer[]> =>
    Promise.all([tarOf({ a: "first" }), tarOf({ b: Buffer.alloc(300_000, 1) })]);
  const configOf = (diffs: Buffer[], name = "x"): Buffer =>
    Buffer.from(
      JSON.stringify({
        architecture: "amd64",
        os: "linux",
        config: { Labels: { name } },
        rootfs: { type: "layers", diff_ids: diffs.map((diff) => digestOf(diff)) },
      }),
    );

  async function saved(
    options: { names?: string[]; symlink?: boolean; gzip?: boolean; config?: Buffer; paths?: string[] } = {},
  ): Promise<Buffer> {
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = await layers();
    const config = options.config ?? configOf([first, second, second]);
    const hex = digestOf(config).slice(7);
    const content = options.gzip ? [gzipSync(first), gzipSync(second)] : [first, second];
    return tarWith([
      { name: "aaa/layer.tar", content: content[0] as Buffer },
      { name: "bbb", type: "directory" },
      { name: "bbb/layer.tar", content: content[1] as Buffer },
      options.symlink === false
        ? { name: "ccc/layer.tar", content: content[1] as Buffer }
        : { name: "ccc/layer.tar", link: "../bbb/layer.tar" },
      { name: `${hex}.json`, content: config },
      {
        name: "manifest.json",
        content: JSON.stringify([
          {
            Config: `${hex}.json`,
            RepoTags: options.names ?? ["web:v1"],
            Layers: options.paths ?? ["aaa/layer.tar", "bbb/layer.tar", "ccc/layer.tar"],
          },
        ]),
      },
      { name: "repositories", content: "{}" },
    ]);
  }

  const read = async (scratch: Scratch, bytes: Buffer) =>
    (await open(`docker-archive:${scratch.write("saved.tar", bytes)}`, scratch)).source;

  it("is read without a change: layers are their diffIDs, the manifest is always the same", async () => {
    using scratch = new Scratch();
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = await layers();
    const roots = new Set<string>();
    for (const symlink of [true, false]) {
      const source = await read(scratch, await saved({ symlink }));
      const root = await source.resolve("");
      roots.add(root.digest);
      expect(await source.resolve("web:v1")).toEqual(root);
      expect(await source.resolve("docker.io/library/web:v1")).toEqual(root);
      expect(await source.resolve(root.digest)).toEqual(root);
      const content = parseManifest(await bytesAt(source, root.digest, root.size), root.mediaType, "test");
      expect(content).toMatchObject({ kind: "manifest", mediaType: MediaType.ociManifest });
      if (content.kind !== "manifest") return;
      expect(content.layers.map(({ digest, size, mediaType }) => [digest, size, mediaType])).toEqual(
        [first, second, second].map((diff) => [digestOf(diff), diff.length, MediaType.ociLayer]),
      );
      expect((await bytesAt(source, digestOf(second), second.length)).equals(second)).toBe(true);
      expect(digestOf(await bytesAt(source, content.config.digest, content.config.size))).toBe(
        content.config.digest,
      );
      await source.close?.();
    }
    expect(roots.size).toBe(1);
  });

  it("keeps layers that a tool has compressed as they are", async () => {
    using scratch = new Scratch();
    const source = await read(scratch, await saved({ gzip: true }));
    const root = await source.resolve("");
    const content = parseManifest(await bytesAt(source, root.digest, root.size), root.mediaType, "test");
    if (content.kind !== "manifest") throw new Error("no manifest");
    for (const layer of content.layers) {
      expect(layer.mediaType).toBe(MediaType.ociLayerGzip);
      expect(digestOf(await bytesAt(source, layer.digest, layer.size))).toBe(layer.digest);
    }
    await source.close?.();
  });

  it("notices a compressed layer that unpacks to another one, or to nothing, and a layer without a path", async () => {
    using scratch = new Scratch();
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = await layers();
    for (const packed of [gzipSync(second), zstdCompressSync(second)]) {
      const config = configOf([first]);
      const items = [
        { name: "config.json", content: config },
        { name: "layer", content: packed },
        { name: "manifest.json", content: '[{"Config":"config.json","RepoTags":null,"Layers":["layer"]}]' },
      ];
      const source = await read(scratch, await tarWith(items));
      await expect(source.resolve("")).rejects.toMatchObject({
        code: "corrupt",
        message: expect.stringContaining(`expected ${digestOf(first)}, found ${digestOf(second)}`),
      });
      await source.close?.();
    }
    const noPath = '[{"Config":"config.json","RepoTags":null,"Layers":[""]}]';
    await expect(read(scratch, await tarWith([{ name: "manifest.json", content: noPath }]))).rejects.toThrow(
      /names a config or a layer without a path/,
    );
  });

  it("notices layers and configs that are not what they should be", async () => {
    using scratch = new Scratch();
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = await layers();
    const lying = await read(scratch, await saved({ config: configOf([second, first, first]) }));
    await lying.resolve("");
    await expect(bytesAt(lying, digestOf(second), first.length)).rejects.toThrow(
      expect.objectContaining({ code: "corrupt" }),
    );
    for (const [bytes, why] of [
      [await saved({ config: configOf([first]) }), /1 layers names 3 layer files/],
      [
        await saved({ paths: ["aaa/layer.tar", "bbb/layer.tar", "zzz/layer.tar"] }),
        /names zzz\/layer.tar, which is not in it/,
      ],
      [
        await tarWith([
          { name: `${"0".repeat(64)}.json`, content: "{}" },
          {
            name: "manifest.json",
            content: `[{"Config":"${"0".repeat(64)}.json","RepoTags":null,"Layers":[]}]`,
          },
        ]),
        /has the wrong content for its name/,
      ],
    ] as const) {
      const source = await read(scratch, bytes);
      await expect(source.resolve("")).rejects.toThrow(why);
      await source.close?.();
    }
    await expect(read(scratch, await tarWith([{ name: "repositories", content: "{}" }]))).rejects.toThrow(
      /older than 1.10/,
    );
    await expect(read(scratch, await tarWith([{ name: "x", content: "y" }]))).rejects.toThrow(
      /has no manifest.json/,
    );
  });

  it("is read as the OCI layout that newer engines write, digests kept", async () => {
    using scratch = new Scratch();
    const listed = [{ Config: "blobs/sha256/x", RepoTags: ["one:latest"], Layers: [] }];
    const source = await read(
      scratch,
      await tarWith([
        ...layoutItems({ "docker.io/library/one:latest": one }),
        { name: "manifest.json", content: JSON.stringify(listed) },
      ]),
    );
    expect(await source.resolve("one")).toEqual(one.root);
    await expectWhole(source, one);
    await source.close?.();
  });
});

describe("writing", () => {
  it.each(["oci", "oci-archive", "docker-archive"])(
    "gives an %s that is read back the same, under its name",
    async (kind) => {
      using scratch = new Scratch();
      const place = parseLocal(`${kind}:out:registry.site/app/one:v1`, scratch.dir);
      if (place === undefined) throw new Error("no place");
      const destination = openLocalDestination(place, { cacheDir: scratch.path("cache") });
      const source = sourceOf(one, sbom);
      for (const [digest, bytes] of [...one.blobs, ...sbom.blobs]) {
        if (digest === one.root.digest) continue;
        const mediaType = digest === sbom.root.digest ? sbom.root.mediaType : "application/octet-stream";
        expect(await destination.push({ mediaType, digest, size: bytes.length }, source)).toBe("done");
        expect(await destination.push({ mediaType, digest, size: bytes.length }, source)).toBe("present");
      }
      await destination.tag(one.root, place.name, source);
      await destination.close?.();
      const opened = await openLocal(place, { cacheDir: scratch.path("cache") });
      expect(await opened.resolve(place.name)).toEqual(one.root);
      await expectWhole(opened, one);
      expect((await opened.referrers?.(one.root.digest))?.map(({ digest }) => digest)).toEqual([
        sbom.root.digest,
      ]);
      await opened.close?.();
    },
  );

  it("moves a name of an oci directory to what it was given last, and keeps the others", async () => {
    using scratch = new Scratch();
    const destination = openLocalDestination(
      { kind: "oci", path: scratch.path("out"), name: "" },
      { cacheDir: "" },
    );
    for (const image of [one, two]) {
      for (const [digest, bytes] of image.blobs)
        if (digest !== image.root.digest)
          await destination.push({ mediaType: "x", digest, size: bytes.length }, sourceOf(image));
    }
    await destination.tag(one.root, "a", sourceOf(one));
    await Promise.all([
      destination.tag(one.root, "b", sourceOf(one)),
      destination.tag(two.root, "a", sourceOf(two)),
    ]);
    const { manifests } = JSON.parse(readFileSync(scratch.path("out/index.json"), "utf8")) as {
      manifests: { digest: string; annotations: Record<string, string> }[];
    };
    expect(
      manifests
        .map(({ digest, annotations }) => [annotations["org.opencontainers.image.ref.name"], digest])
        .sort(),
    ).toEqual([
      ["a", two.root.digest],
      ["b", one.root.digest],
    ]);
    expect(readdirSync(scratch.path("out/blobs/sha256")).filter((name) => name.includes("part"))).toEqual([]);
  });

  it("leaves nothing of an archive that failed, or got no image", async () => {
    using scratch = new Scratch();
    const failing: Source = {
      name: "failing",
      resolve: () => Promise.reject(new Error("no")),
      fetch: () => Promise.reject(new Error("broken off")),
    };
    const destination = openLocalDestination(
      { kind: "oci-archive", path: scratch.path("out.tar"), name: "" },
      { cacheDir: "" },
    );
    await expect(
      destination.push({ mediaType: "x", digest: digestOf(base), size: base.length }, failing),
    ).rejects.toThrow("broken off");
    await expect(destination.tag(one.root, "x", sourceOf(one))).rejects.toThrow();
    await destination.close?.();
    const empty = openLocalDestination(
      { kind: "docker-archive", path: scratch.path("out.tar"), name: "" },
      { cacheDir: "" },
    );
    await empty.push({ mediaType: "x", digest: digestOf(base), size: base.length }, sourceOf(one));
    await empty.close?.();
    expect(readdirSync(scratch.dir)).toEqual([]);
    const several = openLocalDestination(
      { kind: "docker-archive", path: scratch.path("out.tar"), name: "" },
      { cacheDir: "" },
    );
    await expect(several.tag(index.root, "x", sourceOf(index))).rejects.toThrow(/for several platforms/);
    await several.close?.();
  });
});
