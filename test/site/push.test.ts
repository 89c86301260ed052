import { describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { attachedTag } from "../../src/oci/manifest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { referrersTag } from "../../src/transport/registry/referrers.ts";
import { basicAuth, tokenAuth } from "../support/auth.ts";
import { makeBundle } from "../support/bundle.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { counts, pushTo } from "../support/push.ts";
import { type Hook, startRegistry, type TestRegistry } from "../support/registry.ts";

const base = bytesOf("base", 200_000);
const one = makeImage("one", [base, bytesOf("one", 100_000)]);
const two = makeImage("two", [base, bytesOf("two", 80_000)]);
const docker = makeImage("docker", [base], {}, true);
const index = makeIndex([
  makeImage("amd", [base, bytesOf("amd", 500)]),
  makeImage("arm", [bytesOf("arm", 500)]),
]);
const plain = makeBundle({ "quay.io/team/one:v1": { image: one }, "quay.io/team/two:v1": { image: two } });

const repository = (name: string) => `quay.io/${name}`;
const stored = (registry: TestRegistry, name: string, tag: string) =>
  registry.store.manifest(repository(name), tag)?.digest;
/** Requests that change something. */
const writes = (registry: TestRegistry) =>
  registry.seen.filter(({ method }) => !["GET", "HEAD"].includes(method));

describe("push", () => {
  it("sends each blob once, mounts what images share, and reads every root back", async () => {
    await using registry = await startRegistry();
    const { result, asked } = await pushTo(registry, plain);
    expect(stored(registry, "team/one", "v1")).toBe(one.root.digest);
    expect(stored(registry, "team/two", "v1")).toBe(two.root.digest);
    expect(result.totals).toMatchObject({
      sent: { blobs: 5 },
      mounted: { blobs: 1, bytes: base.length },
      present: { blobs: 0 },
    });
    // Besides the first questions to the host: a HEAD a root, a POST a blob, a PUT each that was sent, a GET to read back.
    expect(counts(asked.slice(asked.indexOf("HEAD manifest")))).toEqual({
      "HEAD manifest": 2,
      "POST start-upload": 6,
      "PUT upload": 5,
      "PUT manifest": 2,
      "GET manifest": 2,
    });
    expect(result.images).toEqual([
      {
        image: "quay.io/team/one:v1",
        name: `${registry.host}/quay.io/team/one:v1`,
        digest: one.root.digest,
        mediaType: MediaType.ociManifest,
        bytes: expect.any(Number),
        state: "pushed",
      },
      {
        image: "quay.io/team/two:v1",
        name: `${registry.host}/quay.io/team/two:v1`,
        digest: two.root.digest,
        mediaType: MediaType.ociManifest,
        bytes: expect.any(Number),
        state: "pushed",
      },
    ]);
  });

  it("asks one request a root the second time, plus a handful for the registry, and sends nothing", async () => {
    await using registry = await startRegistry();
    const images = Object.fromEntries(
      Array.from({ length: 20 }, (_, i) => [
        `quay.io/team/app${i}:v1`,
        { image: makeImage(`app${i}`, [base, bytesOf(`app${i}`, 100)]) },
      ]),
    );
    const bundle = makeBundle(images);
    await pushTo(registry, bundle);
    const before = writes(registry).length;
    const { result, asked } = await pushTo(registry, bundle);
    expect(writes(registry)).toHaveLength(before);
    expect(counts(asked)["HEAD manifest"]).toBe(20);
    expect(asked.length).toBeLessThanOrEqual(20 + 4);
    expect(result.images.every(({ state }) => state === "present")).toBe(true);
  });

  it("pushes children before parents and names last", async () => {
    await using registry = await startRegistry();
    await pushTo(registry, makeBundle({ "quay.io/team/multi:v1": { image: index } }));
    const manifests = registry.seen
      .filter(({ label }) => label === "PUT manifest")
      .map(({ path }) => path.split("/").at(-1));
    expect(manifests).toHaveLength(3);
    expect(manifests.slice(0, 2).every((reference) => reference?.startsWith("sha256:"))).toBe(true);
    expect(manifests.at(-1)).toBe("v1");
    const lastBlob = registry.seen.findLastIndex(({ label }) => label === "PUT upload");
    expect(
      registry.seen.findIndex(({ label, path }) => label === "PUT manifest" && path.endsWith("v1")),
    ).toBeGreaterThan(lastBlob);
  });

  it("keeps Docker's manifests byte for byte (trap 8)", async () => {
    await using registry = await startRegistry();
    await pushTo(registry, makeBundle({ "docker.io/library/app:v1": { image: docker } }));
    const manifest = registry.store.manifest("docker.io/library/app", "v1")?.manifest;
    expect(manifest).toEqual({
      mediaType: MediaType.dockerManifest,
      bytes: docker.blobs.get(docker.root.digest),
    });
  });

  it("pushes by digest what has no tag", async () => {
    await using registry = await startRegistry();
    const { result } = await pushTo(
      registry,
      makeBundle({ [`quay.io/team/one@${one.root.digest}`]: { image: one } }),
    );
    expect(registry.store.manifest("quay.io/team/one", one.root.digest)?.digest).toBe(one.root.digest);
    expect([...(registry.store.repositories.get("quay.io/team/one")?.tags ?? [])]).toEqual([]);
    expect(result.images[0]?.name).toBe(`${registry.host}/quay.io/team/one@${one.root.digest}`);
  });

  it("moves a tag that meant something else, and tells what", async () => {
    await using registry = await startRegistry();
    fill(registry.store, "quay.io/team/one", two, "v1");
    const { result } = await pushTo(registry, makeBundle({ "quay.io/team/one:v1": { image: one } }));
    expect(result.images[0]).toMatchObject({ state: "pushed", replaced: two.root.digest });
    expect(stored(registry, "team/one", "v1")).toBe(one.root.digest);
  });

  it("lets one worker send what two want (trap 18)", async () => {
    const slow: Hook = async (exchange) => {
      if (exchange.label === "PUT upload") await new Promise((resolve) => setTimeout(resolve, 50));
      return undefined;
    };
    await using registry = await startRegistry({ hooks: [slow] });
    const images = Object.fromEntries(
      Array.from({ length: 8 }, (_, i) => [`quay.io/t/a${i}:v1`, { image: makeImage(`a${i}`, [base]) }]),
    );
    await pushTo(registry, makeBundle(images), { concurrency: 8 });
    const puts = registry.seen.filter(
      ({ label, query }) => label === "PUT upload" && query.get("digest") === digestOf(base),
    );
    expect(puts).toHaveLength(1);
  });

  it.each([
    ["answers 202", 202],
    ["answers 400", 400],
    ["answers 401", 401],
    ["drops the connection", 0],
  ])("uploads where a mount %s (trap 6)", async (_, status) => {
    const hooks: Hook[] = [];
    await using registry = await startRegistry({ hooks, mounts: status !== 202 });
    if (status !== 202) {
      hooks.push((exchange) => {
        if (exchange.query("mount") === null) return undefined;
        return status === 0 ? exchange.drop() : exchange.fail(status, "UNSUPPORTED");
      });
    }
    const { result } = await pushTo(registry, plain);
    expect(stored(registry, "team/two", "v1")).toBe(two.root.digest);
    expect(result.totals.mounted.blobs).toBe(0);
    // The 202 was used: no upload was opened that nothing went into.
    if (status === 202) expect(registry.count("POST start-upload")).toBe(registry.count("PUT upload"));
  });

  it("never mounts across hosts (trap 6)", async () => {
    await using registry = await startRegistry();
    await pushTo(registry, plain);
    for (const { query } of registry.seen)
      if (query.has("from")) expect(query.get("from")).toMatch(/^quay\.io\/team\/(one|two)$/);
  });

  it("keeps repositories of one base name apart (trap 7)", async () => {
    await using registry = await startRegistry();
    await pushTo(
      registry,
      makeBundle({ "quay.io/a/app:v1": { image: one }, "quay.io/b/app:v1": { image: two } }),
      { layout: "path" },
    );
    expect(registry.store.manifest("a/app", "v1")?.digest).toBe(one.root.digest);
    expect(registry.store.manifest("b/app", "v1")?.digest).toBe(two.root.digest);
  });

  it("refuses to land two images on one name before anything is asked (trap 7)", async () => {
    await using registry = await startRegistry();
    const both = makeBundle({ "quay.io/a/app:v1": { image: one }, "quay.io/b/app:v1": { image: two } });
    await expect(pushTo(registry, both, { layout: "flat", prefix: "/p" })).rejects.toMatchObject({
      code: "conflict",
      exit: 3,
    });
    expect(registry.seen).toEqual([]);
  });

  it("asks for the rights in every repository before the first byte", async () => {
    await using registry = await startRegistry({
      hooks: [
        (exchange) =>
          exchange.method !== "GET" &&
          exchange.method !== "HEAD" &&
          exchange.url.pathname.includes("/team/two/")
            ? exchange.fail(403, "DENIED", "no")
            : undefined,
      ],
    });
    await expect(pushTo(registry, plain)).rejects.toMatchObject({ code: "unauthorized" });
    expect(registry.count("PUT upload")).toBe(0);
  });

  it("ends at the first failure: nothing is tried again behind it", async () => {
    const images = Object.fromEntries(
      Array.from({ length: 30 }, (_, i) => [`quay.io/t/a${i}:v1`, { image: makeImage(`a${i}`, [base]) }]),
    );
    const busy: Hook = (exchange) =>
      exchange.url.pathname.includes("/a0/")
        ? exchange.fail(403, "DENIED")
        : exchange.send(503, { "retry-after": "20" });
    const hooks: Hook[] = [(exchange) => (exchange.label === "HEAD manifest" ? busy(exchange) : undefined)];
    await using registry = await startRegistry({ hooks });
    const startedAt = Date.now();
    await expect(pushTo(registry, makeBundle(images), { concurrency: 30 })).rejects.toMatchObject({
      code: "unauthorized",
    });
    expect(Date.now() - startedAt).toBeLessThan(2000);
  });

  it("stops when it is told to", async () => {
    const stop = new AbortController();
    const stopAt: Hook = (exchange) => {
      stop.abort(new AirgapError("interrupted", "Stopped"));
      return exchange.send(503, { "retry-after": "20" });
    };
    const hooks: Hook[] = [(exchange) => (exchange.label === "PUT upload" ? stopAt(exchange) : undefined)];
    await using registry = await startRegistry({ hooks });
    await expect(pushTo(registry, plain, { signal: stop.signal })).rejects.toMatchObject({
      code: "interrupted",
    });
    expect(registry.count("PUT manifest")).toBe(0);
  });

  it("says what a zot needs to take Docker's manifests", async () => {
    await using registry = await startRegistry({
      hooks: [
        (exchange) =>
          exchange.label === "PUT manifest" ? exchange.fail(415, "MANIFEST_INVALID") : undefined,
      ],
    });
    await expect(
      pushTo(registry, makeBundle({ "quay.io/a/docker:v1": { image: docker } })),
    ).rejects.toMatchObject({
      suggestions: [expect.stringContaining("docker2s2")],
    });
  });

  it("sees from a token that it does not allow to push", async () => {
    const auth = tokenAuth({ anonymous: "pull" });
    await using registry = await startRegistry({ hooks: [auth.hook] });
    await expect(pushTo(registry, plain)).rejects.toMatchObject({
      code: "unauthorized",
      suggestions: [`docker login ${registry.host}`],
    });
    expect(registry.count("PUT upload")).toBe(0);
  });

  it("asks one token for each repository and never piles up scopes (trap 13)", async () => {
    const auth = tokenAuth({ username: "ci", password: "geheim", anonymous: "none" });
    const limit: Hook = (exchange) =>
      exchange.header("authorization").length > 600 ? exchange.send(400) : undefined;
    await using registry = await startRegistry({ hooks: [limit, auth.hook] });
    const images = Object.fromEntries(
      Array.from({ length: 120 }, (_, i) => [
        `quay.io/team/app${i}:v1`,
        { image: makeImage(`app${i}`, [base]) },
      ]),
    );
    const { result } = await pushTo(registry, makeBundle(images), {
      credential: { username: "ci", password: "geheim" },
    });
    expect(result.totals.mounted.blobs).toBe(119);
    for (const scopes of auth.issued) expect(scopes.length).toBeLessThanOrEqual(2);
  });

  it("uses Basic where a registry wants it", async () => {
    await using registry = await startRegistry({ hooks: [basicAuth("ci", "geheim")] });
    await pushTo(registry, plain, { credential: { username: "ci", password: "geheim" } });
    expect(stored(registry, "team/one", "v1")).toBe(one.root.digest);
  });

  it("goes on after an interruption, and says with exit code 4 that it can", async () => {
    let broken = true;
    const hooks: Hook[] = [
      (exchange) =>
        broken && exchange.label === "PUT manifest" && exchange.url.pathname.includes("two")
          ? exchange.drop()
          : undefined,
    ];
    await using registry = await startRegistry({ hooks });
    await expect(pushTo(registry, plain)).rejects.toMatchObject({
      code: "network",
      exit: 4,
      suggestions: [expect.stringMatching(/run the same command again/)],
    });
    broken = false;
    const { result } = await pushTo(registry, plain);
    expect(result.totals.sent.blobs).toBe(0);
    expect(stored(registry, "team/two", "v1")).toBe(two.root.digest);
  });

  it("mounts from what an earlier push left in other repositories", async () => {
    await using registry = await startRegistry();
    await pushTo(registry, makeBundle({ "quay.io/team/one:v1": { image: one } }));
    const { result } = await pushTo(registry, plain);
    expect(result.totals).toMatchObject({ sent: { blobs: 2 }, mounted: { blobs: 1 } });
  });
});

describe("what a registry says to have", () => {
  /** A registry that remembers blobs which its garbage collection has taken: HEAD and mounts say yes, GET has nothing. */
  const stale = (registry: () => TestRegistry, gone: Set<string>): Hook => {
    return (exchange) => {
      const { target, method } = exchange;
      if (exchange.label === "PUT upload") {
        gone.delete(exchange.query("digest") ?? "");
        return undefined;
      }
      if (
        exchange.query("mount") &&
        gone.has(exchange.query("mount") as string) &&
        exchange.query("from") !== null
      ) {
        registry()
          .store.repository((target as { repository: string }).repository)
          .blobs.set(exchange.query("mount") as string, Buffer.alloc(0));
        return exchange.send(201, { location: "/" });
      }
      if (target.kind !== "blob" || !gone.has(target.digest)) return undefined;
      return method === "HEAD"
        ? exchange.send(200, { "content-length": 0 })
        : exchange.fail(404, "BLOB_UNKNOWN", "blob unknown to registry");
    };
  };

  it("is not believed: a blob of a stale cache is sent again (trap 5)", async () => {
    const hooks: Hook[] = [];
    await using registry = await startRegistry({ hooks });
    hooks.push(stale(() => registry, new Set([digestOf(base)])));
    const { result } = await pushTo(registry, plain);
    expect(registry.store.repositories.get("quay.io/team/one")?.blobs.get(digestOf(base))).toEqual(base);
    expect(result.totals.sent.bytes).toBeGreaterThan(base.length);
  });

  it("is repaired below a root that is there (trap 4)", async () => {
    await using registry = await startRegistry();
    const bundle = makeBundle({
      "quay.io/team/multi:v1": { image: index },
      "quay.io/team/one:v1": { image: one },
    });
    await pushTo(registry, bundle);
    registry.store.repositories.get("quay.io/team/one")?.blobs.delete(digestOf(base));
    registry.store.repositories.get("quay.io/team/multi")?.blobs.delete(digestOf(bytesOf("arm", 500)));
    const lazy = await pushTo(registry, bundle);
    expect(lazy.result.totals.sent.blobs).toBe(0);
    const { result } = await pushTo(registry, bundle, { repair: true });
    expect(result.totals.sent.blobs).toBe(2);
    expect(registry.store.repositories.get("quay.io/team/one")?.blobs.get(digestOf(base))).toEqual(base);
    expect(
      registry.store.repositories.get("quay.io/team/multi")?.blobs.has(digestOf(bytesOf("arm", 500))),
    ).toBe(true);
  });

  it("is repaired by one upload, however many images lack the blob", async () => {
    await using registry = await startRegistry();
    await pushTo(registry, plain);
    for (const name of ["one", "two"])
      registry.store.repositories.get(`quay.io/team/${name}`)?.blobs.delete(digestOf(base));
    const { result } = await pushTo(registry, plain, { repair: true });
    expect(result.totals).toMatchObject({ sent: { blobs: 1 }, mounted: { blobs: 1 } });
    for (const name of ["one", "two"])
      expect(registry.store.repositories.get(`quay.io/team/${name}`)?.blobs.get(digestOf(base))).toEqual(
        base,
      );
  });

  it("is compared after pushing: a tag that reads back as something else is an error", async () => {
    const hooks: Hook[] = [];
    await using registry = await startRegistry({ hooks });
    fill(registry.store, "quay.io/team/one", two, "other");
    hooks.push((exchange) => {
      if (exchange.label !== "GET manifest" || !exchange.url.pathname.endsWith("/v1")) return undefined;
      return exchange.send(200, { "content-type": MediaType.ociManifest }, two.blobs.get(two.root.digest));
    });
    await expect(
      pushTo(registry, makeBundle({ "quay.io/team/one:v1": { image: one } })),
    ).rejects.toMatchObject({
      code: "corrupt",
      data: { expected: one.root.digest, found: two.root.digest },
    });
  });

  it("is sent again when the registry finds out with the manifest that a blob is missing", async () => {
    let lied = false;
    const hooks: Hook[] = [];
    await using registry = await startRegistry({ hooks });
    // A mount that is confirmed, but did not happen.
    hooks.push((exchange) => {
      if (lied || exchange.query("mount") !== digestOf(base)) return undefined;
      lied = true;
      return exchange.send(201, { location: "/" });
    });
    hooks.push((exchange) =>
      exchange.method === "GET" &&
      exchange.target.kind === "blob" &&
      exchange.target.digest === digestOf(base)
        ? exchange.send(206, { "content-range": `bytes 0-0/${base.length}` }, "x")
        : undefined,
    );
    await pushTo(registry, makeBundle({ "quay.io/team/one:v1": { image: one } }));
    expect(stored(registry, "team/one", "v1")).toBe(one.root.digest);
  });
});

describe("what is attached", () => {
  const signature = makeImage("signature", [bytesOf("sig", 300)]);
  const child = index.root.digest;
  const subjectOf = (digest: string) => ({
    subject: { mediaType: MediaType.ociManifest, digest, size: one.root.size },
  });
  const sbom = makeImage("sbom", [bytesOf("sbom", 300)], {
    artifactType: "application/spdx",
    ...subjectOf(one.root.digest),
  });
  const overSbom = makeImage("over", [bytesOf("over", 300)], {
    artifactType: "application/sig",
    ...subjectOf(sbom.root.digest),
  });
  const bundle = makeBundle({
    "quay.io/team/one:v1": {
      image: one,
      attached: [
        { descriptor: overSbom.root, subject: sbom.root.digest, image: overSbom },
        { descriptor: sbom.root, subject: one.root.digest, image: sbom },
        {
          descriptor: signature.root,
          subject: one.root.digest,
          tag: attachedTag(one.root.digest, "sig"),
          image: signature,
        },
      ],
    },
    "quay.io/team/multi:v1": {
      image: index,
      attached: [
        { descriptor: signature.root, subject: child, tag: attachedTag(child, "att"), image: signature },
      ],
    },
  });

  it("travels, after what it speaks of, on indexes too (trap 9)", async () => {
    await using registry = await startRegistry();
    const { result } = await pushTo(registry, bundle);
    expect(stored(registry, "team/one", attachedTag(one.root.digest, "sig"))).toBe(signature.root.digest);
    expect(stored(registry, "team/multi", attachedTag(child, "att"))).toBe(signature.root.digest);
    expect(registry.store.referrers("quay.io/team/one", one.root.digest)).toMatchObject([
      { digest: sbom.root.digest, artifactType: "application/spdx" },
    ]);
    const puts = registry.seen
      .filter(({ label, path }) => label === "PUT manifest" && path.includes("/one/"))
      .map(({ path }) => path.split("/").at(-1));
    expect(puts[0]).toBe("v1");
    expect(puts.indexOf(sbom.root.digest)).toBeLessThan(puts.indexOf(overSbom.root.digest));
    expect(result.images.find(({ image }) => image.includes("one"))?.attached).toHaveLength(3);
  });

  it("is found without the referrers API by the tag that stands in for it", async () => {
    await using registry = await startRegistry({ referrersApi: false });
    await pushTo(registry, bundle);
    const list = registry.store.manifest("quay.io/team/one", referrersTag(one.root.digest))?.manifest;
    expect(JSON.parse(String(list?.bytes))).toMatchObject({
      mediaType: MediaType.ociIndex,
      manifests: [{ digest: sbom.root.digest, artifactType: "application/spdx" }],
    });
    const before = writes(registry).length;
    await pushTo(registry, bundle);
    expect(writes(registry)).toHaveLength(before);
  });

  it("needs no such tag where the API is there, though OCI-Subject is not sent", async () => {
    await using registry = await startRegistry();
    registry.hooks.push((exchange) => {
      exchange.response.writeHead = new Proxy(exchange.response.writeHead, {
        apply: (target, self, [status, headers]) => {
          delete headers?.["oci-subject"];
          return Reflect.apply(target, self, [status, headers]);
        },
      });
      return undefined;
    });
    await pushTo(registry, bundle);
    expect(registry.store.manifest("quay.io/team/one", referrersTag(one.root.digest))).toBeUndefined();
  });

  it("is sent alone where the image is there already", async () => {
    await using registry = await startRegistry();
    await pushTo(registry, makeBundle({ "quay.io/team/one:v1": { image: one } }));
    const before = registry.seen.length;
    await pushTo(registry, bundle);
    const sent = registry.seen
      .slice(before)
      .filter(({ label, path }) => label === "PUT manifest" && path.includes("/one/"));
    expect(sent).toHaveLength(3);
  });
});

describe("an index with missing children", () => {
  const arm = [...index.blobs]
    .filter(([, bytes]) => bytes.equals(bytesOf("arm", 500)))
    .map(([digest]) => digest);
  const children = JSON.parse(String(index.blobs.get(index.root.digest))).manifests as { digest: string }[];
  const missing = new Set([children[1]?.digest as string, ...arm]);
  const name = `quay.io/team/multi@${index.root.digest}`;
  const bundle = makeBundle({ [name]: { image: index, exact: true, without: missing } });

  it("stops a push before the first byte where the target refuses it, and names the image", async () => {
    await using registry = await startRegistry();
    await expect(pushTo(registry, bundle)).rejects.toMatchObject({
      code: "check-failed",
      exit: 3,
      message: expect.stringContaining(name),
    });
    expect(registry.count("PUT upload")).toBe(0);
    expect(registry.store.repositories.get("quay.io/team/multi")?.manifests.size ?? 0).toBe(0);
  });

  it("lands where the target takes it, and leaves nothing behind from asking", async () => {
    await using registry = await startRegistry({ whole: false });
    await pushTo(registry, bundle);
    expect(registry.store.manifest("quay.io/team/multi", index.root.digest)?.digest).toBe(index.root.digest);
    expect(
      [...(registry.store.repositories.get("quay.io/team/multi")?.manifests.keys() ?? [])].toSorted(),
    ).toEqual([index.root.digest, children[0]?.digest].toSorted());
  });
});

describe("a dry run", () => {
  it("tells names and bytes, and changes nothing", async () => {
    await using registry = await startRegistry();
    await pushTo(registry, makeBundle({ "quay.io/team/one:v1": { image: one } }));
    const before = writes(registry).length;
    const { result } = await pushTo(registry, plain, { dryRun: true });
    expect(writes(registry)).toHaveLength(before);
    expect(result.images.map(({ state }) => state)).toEqual(["present", "would-push"]);
    expect(result.totals.sent).toEqual({
      blobs: 2,
      bytes:
        80_000 +
        [...two.blobs.values()]
          .filter((bytes) => bytes[0] === 0x7b && bytes.includes("rootfs"))
          .reduce((sum, { length }) => sum + length, 0),
    });
  });
});

describe("the site's own images", () => {
  it("land under their plain path", async () => {
    await using registry = await startRegistry();
    await pushTo(
      registry,
      makeBundle(
        { "kubernetes-register.superopsmsb.com/superopsmsb/web:v0.1": { image: one } },
        { siteName: "kubernetes-register.superopsmsb.com" },
      ),
    );
    expect(registry.store.manifest("superopsmsb/web", "v0.1")?.digest).toBe(one.root.digest);
  });
});
