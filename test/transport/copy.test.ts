import { describe, expect, it } from "vitest";
import { Copier } from "../../src/copy.ts";
import { copyImage } from "../../src/copy-image.ts";
import { attachedTag } from "../../src/oci/manifest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { parsePlatform } from "../../src/oci/platform.ts";
import { findAttached } from "../../src/resolve/images/attached.ts";
import { parsePlace } from "../../src/transport/open.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage, makeIndex, type TestImage } from "../support/images.ts";
import { startRegistry } from "../support/registry.ts";
import { openRegistries, sourceOf } from "../support/transport.ts";

const base = bytesOf("base", 100_000);
const amd = makeImage("amd", [base]);
const arm = makeImage("arm", [base, bytesOf("arm", 10)]);
const index = makeIndex([amd, arm]);
const signature = makeImage("signature", [bytesOf("signature", 10)]);

async function copy(
  image: TestImage,
  options: {
    all?: boolean;
    platform?: string;
    expect?: typeof index.root.digest;
    tags?: string[];
    same?: boolean;
  } = {},
) {
  await using from = await startRegistry();
  await using other = await startRegistry();
  const to = options.same ? from : other;
  fill(from.store, "team/app", image, "v1");
  fill(from.store, "team/app", signature, attachedTag(arm.root.digest, "sig"));
  await using opened = openRegistries({ retries: 1 });
  const { registries, events } = opened;
  const result = await copyImage({
    source: registries.source(from.host, "team/app"),
    reference: "v1",
    destination: registries.destination(to.host, "x/copy"),
    tags: options.tags ?? ["v2"],
    ...(options.expect ? { expect: options.expect } : {}),
    ...(options.same ? { mountFrom: registries.destination(from.host, "team/app") } : {}),
    all: options.all ?? false,
    platform: parsePlatform(options.platform ?? "linux/amd64"),
    foreignLayers: false,
    findAttached,
    emit: (event) => events.push(event),
  });
  return { result, store: to.store, to };
}

describe("copyImage", () => {
  it("takes one platform of an index, or all of it", async () => {
    expect((await copy(index)).result.digest).toBe(amd.root.digest);
    expect((await copy(index, { platform: "linux/arm64" })).result.digest).toBe(arm.root.digest);
    const { result, store } = await copy(index, { all: true });
    expect(result.digest).toBe(index.root.digest);
    expect(store.manifest("x/copy", "v2")?.manifest.bytes).toEqual(index.blobs.get(index.root.digest));
  });

  it("says what an index offers", async () => {
    await expect(copy(index, { platform: "linux/s390x" })).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringMatching(/linux\/amd64, linux\/arm64/),
    });
  });

  it("takes along what is attached to what it copies", async () => {
    const { result, store } = await copy(index, { platform: "linux/arm64" });
    expect(result.attached).toBe(1);
    expect(store.manifest("x/copy", attachedTag(arm.root.digest, "sig"))?.digest).toBe(signature.root.digest);
    expect((await copy(index)).result.attached).toBe(0);
  });

  it("lands under a digest only what has it", async () => {
    const { store } = await copy(index, { all: true, expect: index.root.digest, tags: [] });
    expect(store.manifest("x/copy", index.root.digest)?.digest).toBe(index.root.digest);
    await expect(copy(index, { expect: index.root.digest, tags: [] })).rejects.toMatchObject({
      code: "conflict",
      suggestions: ["add --all, which copies the whole index"],
    });
  });

  it("moves no blob within one registry", async () => {
    const { result, to } = await copy(index, { all: true, same: true });
    expect(result.totals.sent.blobs).toBe(0);
    expect(to.count("PUT upload")).toBe(0);
  });

  it("copies what is no index as it is, whatever platform is asked for", async () => {
    expect((await copy(amd, { platform: "linux/arm64" })).result.digest).toBe(amd.root.digest);
  });
});

describe("Copier", () => {
  it("reads each blob of a source once, however many images share it", async () => {
    await using registry = await startRegistry();
    await using opened = openRegistries();
    const images = Array.from({ length: 5 }, (_, i) => makeImage(`i${i}`, [base]));
    const source = sourceOf(...images);
    const copier = new Copier();
    await Promise.all(
      images.map((image, i) =>
        copier.copy({
          name: `i${i}`,
          root: image.root,
          tags: ["v1"],
          source,
          destination: opened.registries.destination(registry.host, `team/i${i}`),
        }),
      ),
    );
    expect(
      source.reads.filter((digest) => digest === [...(images[0] as TestImage).blobs.keys()].at(-1)),
    ).toHaveLength(1);
    expect(copier.totals).toMatchObject({ mounted: { blobs: 4 }, manifests: 5 });
  });

  it("tries for itself when the one that it waited for failed", async () => {
    await using broken = await startRegistry({
      hooks: [(exchange) => (exchange.method === "GET" ? undefined : exchange.fail(403, "DENIED"))],
    });
    await using opened = openRegistries({ retries: 0 });
    const copier = new Copier();
    const source = sourceOf(amd);
    const job = (name: string) => ({
      name,
      root: amd.root,
      tags: ["v1"],
      source,
      destination: opened.registries.destination(broken.host, name),
    });
    const results = await Promise.allSettled([copier.copy(job("a/a")), copier.copy(job("b/b"))]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });

  it("leaves foreign layers out of what it asks for", async () => {
    const foreign = {
      mediaType: MediaType.dockerForeignLayer,
      digest: `sha256:${"a".repeat(64)}`,
      size: 5,
      urls: ["https://publisher.site/x"],
    };
    const own = makeImage("own", [base]);
    const content = JSON.parse(String(own.blobs.get(own.root.digest)));
    const image = makeImage("own", [base], { layers: [foreign, ...content.layers] });
    await using registry = await startRegistry({ hooks: [] });
    registry.hooks.push((exchange) => (exchange.label === "PUT manifest" ? exchange.send(201) : undefined));
    await using opened = openRegistries();
    const copier = new Copier();
    await copier.copy({
      name: "own",
      root: image.root,
      tags: ["v1"],
      source: sourceOf(image),
      destination: opened.registries.destination(registry.host, "a/own"),
    });
    expect(copier.totals.sent.blobs).toBe(2);
  });
});

describe("parsePlace", () => {
  it("reads each transport", () => {
    expect(parsePlace("docker://nginx", "/")).toEqual({
      kind: "docker",
      reference: { host: "docker.io", repository: "library/nginx", tag: "latest" },
    });
    expect(parsePlace("oci:dir:name:1", "/base")).toEqual({ kind: "oci", path: "/base/dir", name: "name:1" });
    expect(parsePlace("docker-daemon:web:v1", "/")).toMatchObject({ kind: "docker-daemon", path: "web:v1" });
  });

  it("says how a bare reference is written", () => {
    expect(() => parsePlace("quay.io/a/b:1", "/")).toThrow(
      expect.objectContaining({ code: "usage", suggestions: ["docker://quay.io/a/b:1"] }),
    );
    expect(() => parsePlace("::", "/")).toThrow(expect.objectContaining({ code: "usage" }));
  });
});

describe("what is attached to an attachment", () => {
  const subjectOf = ({ root }: TestImage) => ({ subject: root });
  const sbom = makeImage("sbom", [bytesOf("sbom", 10)], {
    artifactType: "application/spdx",
    ...subjectOf(amd),
  });
  const overSbom = makeImage("over", [bytesOf("over", 10)], {
    artifactType: "application/sig",
    ...subjectOf(sbom),
  });
  const third = makeImage("third", [bytesOf("third", 10)]);

  it.each([true, false])(
    "is found, by its subject and by cosign's tag (referrers API: %s)",
    async (referrersApi) => {
      await using registry = await startRegistry({ referrersApi });
      await using opened = openRegistries();
      const { registries } = opened;
      fill(registry.store, "a/app", amd, "v1");
      const source = sourceOf(sbom, overSbom, third);
      const destination = registries.destination(registry.host, "a/app");
      const attached = [
        { descriptor: sbom.root, subject: amd.root.digest },
        { descriptor: overSbom.root, subject: sbom.root.digest },
        {
          descriptor: third.root,
          subject: overSbom.root.digest,
          tag: attachedTag(overSbom.root.digest, "sig"),
        },
      ];
      const job = { name: "app", root: amd.root, tags: [], source, destination, attached, rootPresent: true };
      await new Copier().copy(job);
      const found = await findAttached(registries.source(registry.host, "a/app"), [amd.root.digest]);
      expect(found.map(({ descriptor, subject }) => [descriptor.digest, subject]).toSorted()).toEqual(
        attached.map(({ descriptor, subject }) => [descriptor.digest, subject]).toSorted(),
      );
    },
  );

  it("is left out where tags make a circle", async () => {
    await using registry = await startRegistry();
    await using opened = openRegistries();
    fill(registry.store, "a/app", amd, "v1");
    fill(registry.store, "a/app", signature, attachedTag(amd.root.digest, "sig"));
    fill(registry.store, "a/app", amd, attachedTag(signature.root.digest, "sig"));
    fill(registry.store, "a/app", signature, attachedTag(signature.root.digest, "att"));
    const found = await findAttached(opened.registries.source(registry.host, "a/app"), [amd.root.digest]);
    expect(found).toMatchObject([
      { descriptor: { digest: signature.root.digest }, subject: amd.root.digest },
    ]);
  });

  it("ends where it is too deep", async () => {
    await using registry = await startRegistry();
    await using opened = openRegistries();
    const chain = Array.from({ length: 12 }, (_, i) => makeImage(`link ${i}`, [bytesOf(`link ${i}`, 10)]));
    for (const [i, image] of chain.entries()) {
      const above = chain[i - 1];
      fill(registry.store, "a/app", image, above ? attachedTag(above.root.digest, "sig") : "v1");
    }
    const source = opened.registries.source(registry.host, "a/app");
    await expect(findAttached(source, [chain[0]?.root.digest ?? amd.root.digest])).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("more than 6 deep"),
    });
  });

  it("is refused where a list from outside makes a circle", async () => {
    await using registry = await startRegistry();
    await using opened = openRegistries();
    const attached = [
      { descriptor: sbom.root, subject: third.root.digest },
      { descriptor: third.root, subject: sbom.root.digest },
    ];
    const destination = opened.registries.destination(registry.host, "a/app");
    const job = {
      name: "app",
      root: amd.root,
      tags: ["v1"],
      source: sourceOf(amd, sbom, third),
      destination,
      attached,
    };
    await expect(new Copier().copy(job)).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("attached to itself"),
    });
  });

  it("keeps every tag of one signature", async () => {
    await using registry = await startRegistry();
    await using opened = openRegistries();
    const tags = ["a", "b"].map((tag) => ({ descriptor: signature.root, subject: amd.root.digest, tag }));
    const destination = opened.registries.destination(registry.host, "a/app");
    const source = sourceOf(amd, signature);
    await new Copier().copy({
      name: "app",
      root: amd.root,
      tags: ["v1"],
      source,
      destination,
      attached: tags,
    });
    expect([...registry.store.repository("a/app").tags.keys()].toSorted()).toEqual(["a", "b", "v1"]);
  });
});
