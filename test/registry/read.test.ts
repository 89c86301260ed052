import { describe, expect, it } from "vitest";
import { digestOf } from "../../src/oci/digest.ts";
import { attachedTag } from "../../src/oci/manifest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { errorCode, Serving } from "../support/serve.ts";

const layer = bytesOf("layer", 3_000_000);
const image = makeImage("one", [layer, bytesOf("small", 100)]);
const docker = makeImage("docker", [layer], {}, true);
const index = makeIndex([image, makeImage("two", [layer])]);
const json = (body: Buffer): unknown => JSON.parse(body.toString("utf8"));

describe("pulling", () => {
  it("gives back every byte and type, by tag and by digest", async () => {
    await using serving = await Serving.start();
    for (const [tag, each] of Object.entries({ one: image, docker, index })) {
      expect((await serving.pushImage("a/b", each, tag)).status).toBe(201);
      const byTag = await serving.call("GET", `/v2/a/b/manifests/${tag}`);
      expect(byTag.status).toBe(200);
      expect(byTag.headers["content-type"]).toBe(each.root.mediaType);
      expect(byTag.headers["docker-content-digest"]).toBe(each.root.digest);
      expect(byTag.body.equals(each.blobs.get(each.root.digest) as Buffer)).toBe(true);
      const head = await serving.call("HEAD", `/v2/a/b/manifests/${each.root.digest}`);
      expect(head).toMatchObject({
        status: 200,
        headers: { "content-length": String(each.root.size), "docker-content-digest": each.root.digest },
      });
      expect(head.body).toHaveLength(0);
    }
    const blob = await serving.call("GET", `/v2/a/b/blobs/${digestOf(layer)}`);
    expect(blob.body.equals(layer)).toBe(true);
    expect(blob.headers).toMatchObject({
      "content-type": "application/octet-stream",
      "accept-ranges": "bytes",
      "docker-content-digest": digestOf(layer),
    });
  });

  it.each([
    ["bytes=0-0", 0, 1],
    ["bytes=500-1499", 500, 1500],
    ["bytes=2999990-", 2_999_990, 3_000_000],
    ["bytes=-10", 2_999_990, 3_000_000],
    ["bytes=2000000-9999999999", 2_000_000, 3_000_000],
    ["bytes=-9999999999", 0, 3_000_000],
  ])("answers %s with that part", async (range, start, end) => {
    await using serving = await Serving.start();
    await serving.pushBlob("a", layer);
    const part = await serving.call("GET", `/v2/a/blobs/${digestOf(layer)}`, { headers: { range } });
    expect(part.status).toBe(206);
    expect(part.headers["content-range"]).toBe(`bytes ${start}-${end - 1}/3000000`);
    expect(part.body.equals(layer.subarray(start, end))).toBe(true);
  });

  it.each(["bytes=3000000-", "bytes=500-0", "bytes=-0"])(
    "refuses %s with 416 and the size",
    async (range) => {
      await using serving = await Serving.start();
      await serving.pushBlob("a", layer);
      const part = await serving.call("GET", `/v2/a/blobs/${digestOf(layer)}`, { headers: { range } });
      expect(part.status).toBe(416);
      expect(part.headers["content-range"]).toBe("bytes */3000000");
    },
  );

  it.each(["bytes=0-1,4-5", "lines=1-2", "bytes=a-b", "bytes=-"])(
    "sends everything for %s",
    async (range) => {
      await using serving = await Serving.start();
      await serving.pushBlob("a", "0123456789");
      expect(
        await serving.call("GET", `/v2/a/blobs/${digestOf("0123456789")}`, { headers: { range } }),
      ).toMatchObject({
        status: 200,
        body: Buffer.from("0123456789"),
      });
    },
  );

  it("knows what has not changed", async () => {
    await using serving = await Serving.start();
    await serving.pushImage("a", image, "v1");
    const etag = `"${image.root.digest}"`;
    expect((await serving.call("GET", "/v2/a/manifests/v1")).headers.etag).toBe(etag);
    const same = await serving.call("GET", "/v2/a/manifests/v1", {
      headers: { "if-none-match": `"other", W/${etag}` },
    });
    expect(same).toMatchObject({ status: 304, body: Buffer.alloc(0) });
    const blob = `/v2/a/blobs/${digestOf(layer)}`;
    const other = await serving.call("GET", blob, { headers: { range: "bytes=0-9", "if-range": '"other"' } });
    expect(other.status).toBe(200);
  });

  it.each([
    ["GET", "/v2/none/tags/list", 404, "NAME_UNKNOWN"],
    ["GET", "/v2/none/manifests/v1", 404, "NAME_UNKNOWN"],
    ["GET", "/v2/a/manifests/v9", 404, "MANIFEST_UNKNOWN"],
    ["GET", "/v2/a/manifests/.INVALID", 404, "MANIFEST_UNKNOWN"],
    ["GET", `/v2/a/blobs/${digestOf("absent")}`, 404, "BLOB_UNKNOWN"],
    ["GET", "/v2/a/blobs/sha256:nothex", 400, "DIGEST_INVALID"],
    ["GET", "/v2/a/referrers/sha256:nothex", 400, "DIGEST_INVALID"],
    ["GET", "/v2/UPPER/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/a/../../etc/tags/list", 404, "UNSUPPORTED"],
    ["GET", "/v2/..%2f..%2fetc/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/a%00b/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/%ff/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/a/what", 404, "UNSUPPORTED"],
    ["POST", "/v2/a/manifests/v1", 405, "UNSUPPORTED"],
    ["DELETE", "/v2/", 405, "UNSUPPORTED"],
  ])("answers %s %s with %i %s", async (method, path, status, code) => {
    await using serving = await Serving.start();
    await serving.pushImage("a", image, "v1");
    const answer = await serving.call(method, path);
    expect([answer.status, errorCode(answer)]).toEqual([status, code]);
    expect(answer.headers["content-type"]).toBe("application/json");
  });

  it("takes names whose components are words of the API", async () => {
    await using serving = await Serving.start();
    for (const name of ["blobs/uploads", "a/manifests/b", "tags/list/tags", "referrers"]) {
      await serving.pushImage(name, image, "v1");
      expect((await serving.call("GET", `/v2/${name}/manifests/v1`)).status).toBe(200);
      expect(json((await serving.call("GET", `/v2/${name}/tags/list`)).body)).toEqual({ name, tags: ["v1"] });
    }
  });
});

describe("lists", () => {
  it("pages tags, with Link to the next part", async () => {
    await using serving = await Serving.start();
    const tags = ["1.10", "1.9", "Z", "_x", "a", "latest"];
    for (const tag of ["latest", "1.9", "a", "_x", "1.10", "Z"]) await serving.pushImage("a", image, tag);
    expect(json((await serving.call("GET", "/v2/a/tags/list")).body)).toEqual({ name: "a", tags });
    const seen: string[] = [];
    for (let next: string | undefined = "/v2/a/tags/list?n=4"; next; ) {
      const page = await serving.call("GET", next);
      seen.push(...(json(page.body) as { tags: string[] }).tags);
      next = /<(.+)>; rel="next"/.exec(String(page.headers.link ?? ""))?.[1];
    }
    expect(seen).toEqual(tags);
    expect(json((await serving.call("GET", "/v2/a/tags/list?last=1.9&n=2")).body)).toEqual({
      name: "a",
      tags: ["Z", "_x"],
    });
    expect(json((await serving.call("GET", "/v2/a/tags/list?last=b")).body)).toEqual({
      name: "a",
      tags: ["latest"],
    });
    const none = await serving.call("GET", "/v2/a/tags/list?n=0");
    expect([json(none.body), none.headers.link]).toEqual([{ name: "a", tags: [] }, undefined]);
    expect((await serving.call("GET", "/v2/a/tags/list?n=-1")).status).toBe(400);
  });

  it("lists repositories, also one within another", async () => {
    await using serving = await Serving.start();
    for (const name of ["b", "a/b/c", "a", "a-b"]) await serving.pushImage(name, image, "v1");
    expect(json((await serving.call("GET", "/v2/_catalog")).body)).toEqual({
      repositories: ["a", "a-b", "a/b/c", "b"],
    });
    const page = await serving.call("GET", "/v2/_catalog?n=2");
    expect(json(page.body)).toEqual({ repositories: ["a", "a-b"] });
    expect(json((await serving.call("GET", String(page.headers.link).slice(1, -13))).body)).toEqual({
      repositories: ["a/b/c", "b"],
    });
  });
});

describe("referrers", () => {
  const signature = makeImage("signature", [bytesOf("sig", 50)], {
    subject: image.root,
    artifactType: "application/x.sig",
    annotations: { by: "me" },
  });
  const sbom = makeImage("sbom", [bytesOf("sbom", 60)], { subject: image.root });

  it("lists what refers to a manifest, pushed before or after it, filtered by type", async () => {
    await using serving = await Serving.start();
    const first = await serving.pushImage("a", signature, "sig");
    expect(first.headers["oci-subject"]).toBe(image.root.digest);
    await serving.pushImage("a", image, "v1");
    await serving.pushImage("a", sbom, "sbom");
    const all = await serving.call("GET", `/v2/a/referrers/${image.root.digest}`);
    expect(all.headers["content-type"]).toBe(MediaType.ociIndex);
    expect(all.headers["oci-filters-applied"]).toBeUndefined();
    const { manifests } = json(all.body) as { manifests: { digest: string }[] };
    expect(manifests).toHaveLength(2);
    expect(manifests).toContainEqual({
      ...signature.root,
      artifactType: "application/x.sig",
      annotations: { by: "me" },
    });
    expect(manifests).toContainEqual({ ...sbom.root, artifactType: MediaType.ociConfig });
    const filtered = await serving.call(
      "GET",
      `/v2/a/referrers/${image.root.digest}?artifactType=application/x.sig`,
    );
    expect(filtered.headers["oci-filters-applied"]).toBe("artifactType");
    expect((json(filtered.body) as { manifests: unknown[] }).manifests).toHaveLength(1);
  });

  it("has none for what nobody refers to, in repositories that are not there either", async () => {
    await using serving = await Serving.start();
    for (const path of [`/v2/none/referrers/${image.root.digest}`]) {
      const answer = await serving.call("GET", path);
      expect([answer.status, json(answer.body)]).toEqual([
        200,
        { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [] },
      ]);
    }
  });

  it("splits a list that is larger than a manifest may be", async () => {
    await using serving = await Serving.start();
    await serving.pushImage("a", image, "v1");
    for (let i = 0; i < 5; i++) {
      const big = makeImage(`big${i}`, [bytesOf("x", 10)], {
        subject: image.root,
        annotations: { filler: "x".repeat(1_500_000) },
      });
      expect((await serving.pushImage("a", big, `big${i}`)).status).toBe(201);
    }
    const digests: string[] = [];
    let pages = 0;
    for (let next: string | undefined = `/v2/a/referrers/${image.root.digest}`; next; pages++) {
      const page = await serving.call("GET", next);
      expect(page.body.length).toBeLessThanOrEqual(4 << 20);
      digests.push(
        ...(json(page.body) as { manifests: { digest: string }[] }).manifests.map(({ digest }) => digest),
      );
      next = /<(.+)>; rel="next"/.exec(String(page.headers.link ?? ""))?.[1];
    }
    expect(pages).toBe(3);
    expect(new Set(digests).size).toBe(5);
  });

  it("serves cosign's tags like any other", async () => {
    await using serving = await Serving.start();
    const tag = attachedTag(image.root.digest, "sig");
    await serving.pushImage("a", signature, tag);
    expect((await serving.call("HEAD", `/v2/a/manifests/${tag}`)).headers["docker-content-digest"]).toBe(
      signature.root.digest,
    );
  });
});
