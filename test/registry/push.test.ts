import { existsSync, readdirSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { digestOf } from "../../src/oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../../src/oci/manifest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { bytesOf, makeImage, makeIndex } from "../support/images.ts";
import { type Answer, errorCode, Serving } from "../support/serve.ts";

const blob = bytesOf("blob", 700_001);
const image = makeImage("image", [blob]);
const manifest = image.blobs.get(image.root.digest) as Buffer;

const begin = async (serving: Serving, repository = "a", query = ""): Promise<string> =>
  String((await serving.call("POST", `/v2/${repository}/blobs/uploads/${query}`)).headers.location);

const patch = (serving: Serving, location: string, start: number, end: number): Promise<Answer> =>
  serving.call("PATCH", location, {
    body: blob.subarray(start, end),
    headers: { "content-range": `${start}-${end - 1}` },
  });

const read = (serving: Serving, digest: string, repository = "a"): Promise<Answer> =>
  serving.call("GET", `/v2/${repository}/blobs/${digest}`);

describe("blobs", () => {
  it.each(["sha256", "sha512"] as const)(
    "come in by POST and PUT, by POST alone, and by a stream (%s)",
    async (algorithm) => {
      await using serving = await Serving.start();
      const digest = digestOf(blob, algorithm);
      const put = await serving.call("PUT", `${await begin(serving, "put")}?digest=${digest}`, {
        body: blob,
      });
      expect(put).toMatchObject({
        status: 201,
        headers: { location: `/v2/put/blobs/${digest}`, "docker-content-digest": digest },
      });
      expect(
        (await serving.call("POST", `/v2/post/blobs/uploads/?digest=${digest}`, { body: blob })).status,
      ).toBe(201);
      const location = await begin(serving, "stream", `?digest-algorithm=${algorithm}`);
      const streamed = await serving.call("PATCH", location, {
        headers: { "transfer-encoding": "chunked" },
        body: blob,
      });
      expect(streamed).toMatchObject({ status: 202, headers: { range: "0-700000" } });
      expect((await serving.call("PUT", `${streamed.headers.location}?digest=${digest}`)).status).toBe(201);
      for (const repository of ["put", "post", "stream"])
        expect((await read(serving, digest, repository)).body.equals(blob)).toBe(true);
    },
  );

  it("come in chunks, the last one in the PUT; a chunk out of order is 416 and tells how far we are", async () => {
    await using serving = await Serving.start();
    const location = await begin(serving);
    expect((await serving.call("GET", location)).headers.range).toBe("0-0");
    expect(await patch(serving, location, 10, 20)).toMatchObject({ status: 416, headers: { location } });
    expect(await patch(serving, location, 0, 300_000)).toMatchObject({
      status: 202,
      headers: { range: "0-299999" },
    });
    for (const [start, end] of [
      [0, 300_000],
      [299_999, 400_000],
      [300_001, 400_000],
    ] as const) {
      const refused = await patch(serving, location, start, end);
      expect([refused.status, errorCode(refused), refused.headers.range]).toEqual([
        416,
        "BLOB_UPLOAD_INVALID",
        "0-299999",
      ]);
    }
    expect(await serving.call("GET", location)).toMatchObject({
      status: 204,
      headers: { range: "0-299999", location },
    });
    await patch(serving, location, 300_000, 600_000);
    const late = await serving.call("PUT", `${location}?digest=${digestOf(blob)}`, {
      body: "x",
      headers: { "content-range": "5-5" },
    });
    expect(late.status).toBe(416);
    const last = { body: blob.subarray(600_000), headers: { "content-range": "600000-700000" } };
    expect((await serving.call("PUT", `${location}?digest=${digestOf(blob)}`, last)).status).toBe(201);
    expect((await read(serving, digestOf(blob))).body.equals(blob)).toBe(true);
    expect(errorCode(await serving.call("GET", location))).toBe("BLOB_UPLOAD_UNKNOWN");
  });

  it("refuses a chunk that is not as long as it says", async () => {
    await using serving = await Serving.start();
    const answer = await serving.call("PATCH", await begin(serving), {
      body: "four",
      headers: { "content-range": "0-9" },
    });
    expect([answer.status, errorCode(answer)]).toEqual([400, "SIZE_INVALID"]);
  });

  it("keeps nothing of an upload whose address nobody knows", async () => {
    await using serving = await Serving.start();
    const socket = connect(Number(new URL(serving.server.url).port), "127.0.0.1");
    socket.write(
      `POST /v2/a/blobs/uploads/?digest=${digestOf(blob)} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf`,
    );
    const uploads = (): string[] => readdirSync(join(serving.storePath, "uploads"));
    await vi.waitUntil(() => uploads().length === 2);
    socket.destroy();
    await vi.waitUntil(() => uploads().length === 0);
  });

  it.each([
    "application/x\r\nset-cookie: a=b",
    "text/\u0000",
    "a\u202eb/c",
    "application/\u00e9",
    " a/b",
    "x".repeat(256),
  ])("refuses %j as a media type, wherever it stands", async (type) => {
    await using serving = await Serving.start();
    const empty = { mediaType: "application/vnd.oci.empty.v1+json", digest: digestOf("{}"), size: 2 };
    await serving.pushBlob("a", "{}");
    const manifest = {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: empty,
      layers: [empty],
    };
    for (const wrong of [
      { ...manifest, mediaType: type },
      { ...manifest, artifactType: type },
      { ...manifest, config: { ...empty, mediaType: type } },
      { ...manifest, layers: [{ ...empty, mediaType: type }] },
      { ...manifest, subject: { ...empty, mediaType: type } },
    ]) {
      const answer = await serving.pushManifest("a", "1", JSON.stringify(wrong), "application/json");
      expect([answer.status, errorCode(answer)]).toEqual([400, "MANIFEST_INVALID"]);
    }
    const good = await serving.pushManifest("a", "1", JSON.stringify(manifest), manifest.mediaType);
    expect(good.status).toBe(201);
    const pulled = await serving.call("GET", "/v2/a/manifests/1");
    expect(pulled.headers["content-security-policy"]).toContain("sandbox");
  });

  it("never shows what is not its digest", async () => {
    await using serving = await Serving.start();
    const wrong = digestOf("something else");
    for (const answer of [
      await serving.call("PUT", `${await begin(serving)}?digest=${wrong}`, { body: blob }),
      await serving.call("POST", `/v2/a/blobs/uploads/?digest=${wrong}`, { body: blob }),
      await serving.call("PUT", `${await begin(serving)}?digest=sha256:short`, { body: blob }),
      await serving.call("PUT", await begin(serving), { body: blob }),
    ]) {
      expect([answer.status, errorCode(answer)]).toEqual([400, "DIGEST_INVALID"]);
    }
    expect((await read(serving, wrong)).status).toBe(404);
    expect((await read(serving, digestOf(blob))).status).toBe(404);
  });

  it("says 201 again to a client that has lost the first answer", async () => {
    await using serving = await Serving.start();
    const location = `${await begin(serving)}?digest=${digestOf(blob)}`;
    expect((await serving.call("PUT", location, { body: blob })).status).toBe(201);
    expect((await serving.call("PUT", location, { body: blob })).status).toBe(201);
    expect((await serving.call("PUT", location.replace("/a/", "/b/"), { body: blob })).status).toBe(404);
  });

  it("keeps what arrived before a connection broke, so that the client goes on", async () => {
    await using serving = await Serving.start();
    const location = await begin(serving);
    await new Promise<void>((done) => {
      const socket = connect(Number(new URL(serving.server.url).port), "127.0.0.1", () => {
        socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: ${blob.length}\r\n\r\n`);
        socket.write(blob.subarray(0, 123_456), () =>
          setTimeout(() => done(socket.destroy() as unknown as undefined), 100),
        );
      });
    });
    await sleep(100);
    const { range } = (await serving.call("GET", location)).headers;
    expect(range).toBe("0-123455");
    await patch(serving, location, 123_456, blob.length);
    expect((await serving.call("PUT", `${location}?digest=${digestOf(blob)}`)).status).toBe(201);
  });

  it("lets the newest request for an upload win: its predecessor hangs on a dead connection", async () => {
    await using serving = await Serving.start();
    const location = await begin(serving);
    const stuck = request(new URL(location, serving.server.url), {
      method: "PATCH",
      headers: { "content-length": blob.length },
    });
    const broken = new Promise<Error>((resolve) => stuck.on("error", resolve));
    stuck.write(blob.subarray(0, 1000));
    await sleep(100);
    const { headers } = await serving.call("GET", location);
    expect(headers.range).toBe("0-0");
    const next = await patch(serving, location, 1000, blob.length);
    expect(next.status).toBe(202);
    await broken;
    expect((await serving.call("PUT", `${location}?digest=${digestOf(blob)}`)).status).toBe(201);
  });

  it("takes the same blob from many clients at once", async () => {
    await using serving = await Serving.start();
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, i) => serving.pushBlob(`r${i % 3}`, blob)),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(24).fill(201));
    for (const repository of ["r0", "r1", "r2"])
      expect((await read(serving, digestOf(blob), repository)).body.equals(blob)).toBe(true);
    expect(readdirSync(join(serving.storePath, "uploads"))).toEqual([]);
  });

  it("forgets an upload that is cancelled", async () => {
    await using serving = await Serving.start();
    const location = await begin(serving);
    await patch(serving, location, 0, 1000);
    expect((await serving.call("DELETE", location)).status).toBe(204);
    expect((await patch(serving, location, 1000, 2000)).status).toBe(404);
    expect(readdirSync(join(serving.storePath, "uploads"))).toEqual([]);
  });

  it("tells a client that waits for 100 Continue to go on, or why not to", async () => {
    await using serving = await Serving.start();
    const ask = (path: string): Promise<[continued: boolean, status: number]> =>
      new Promise((resolve, reject) => {
        let continued = false;
        const req = request(new URL(path, serving.server.url), {
          method: "PUT",
          headers: { expect: "100-continue", "content-length": blob.length },
        });
        req.on("continue", () => {
          continued = true;
          req.end(blob);
        });
        req.on("response", (res) => resolve([continued, res.resume().statusCode ?? 0]));
        req.on("error", reject);
        req.flushHeaders();
      });
    expect(await ask(`${await begin(serving)}?digest=${digestOf(blob)}`)).toEqual([true, 201]);
    expect(
      await ask(`/v2/a/blobs/uploads/00000000-0000-0000-0000-000000000000?digest=${digestOf("x")}`),
    ).toEqual([false, 404]);
  });
});

describe("mounting", () => {
  it("takes a blob over from where it is, and gives a usable upload where it is not", async () => {
    await using serving = await Serving.start();
    await serving.pushBlob("from/here", blob);
    const digest = digestOf(blob);
    const mounted = await serving.call("POST", `/v2/to/there/blobs/uploads/?mount=${digest}&from=from/here`);
    expect(mounted).toMatchObject({
      status: 201,
      headers: { location: `/v2/to/there/blobs/${digest}`, "docker-content-digest": digest },
    });
    expect((await serving.call("POST", `/v2/anonymous/blobs/uploads/?mount=${digest}`)).status).toBe(201);
    for (const query of [
      `mount=${digest}&from=not/there`,
      `mount=${digest}&from=..%2F..`,
      `mount=${digestOf("absent")}&from=from/here`,
    ]) {
      const upload = await serving.call("POST", `/v2/other/blobs/uploads/?${query}`);
      expect(upload.status).toBe(202);
      expect(
        (await serving.call("PUT", `${upload.headers.location}?digest=${digestOf("else")}`, { body: "else" }))
          .status,
      ).toBe(201);
    }
    await serving.call("DELETE", `/v2/from/here/blobs/${digest}`);
    expect((await read(serving, digest, "to/there")).body.equals(blob)).toBe(true);
  });
});

describe("manifests", () => {
  it("refuses an image whose blobs are missing, and names them", async () => {
    await using serving = await Serving.start();
    await serving.pushBlob("a", blob);
    const answer = await serving.pushManifest("a", "v1", manifest, MediaType.ociManifest);
    expect([answer.status, errorCode(answer)]).toEqual([400, "MANIFEST_BLOB_UNKNOWN"]);
    expect(answer.body.toString()).not.toContain(digestOf(blob));
    expect((await serving.call("GET", "/v2/a/manifests/v1")).status).toBe(404);
  });

  it("takes an index whose children were not carried, with a warning", async () => {
    await using serving = await Serving.start();
    const index = makeIndex([image, makeImage("left out", [])]);
    await serving.pushImage("a", image, "one");
    const answer = await serving.pushManifest(
      "a",
      "v1",
      index.blobs.get(index.root.digest) as Buffer,
      MediaType.ociIndex,
    );
    expect(answer.status).toBe(201);
    expect(answer.headers.warning).toMatch(/^299 - "1 of the manifests/);
  });

  it("needs no foreign layers, which nobody may distribute", async () => {
    await using serving = await Serving.start();
    const foreign = {
      mediaType: MediaType.dockerForeignLayer,
      digest: digestOf("windows"),
      size: 7,
      urls: ["https://example.com/layer"],
    };
    const config = makeImage("windows", []);
    for (const [digest, bytes] of config.blobs)
      if (digest !== config.root.digest) await serving.pushBlob("a", bytes);
    const own = JSON.parse((config.blobs.get(config.root.digest) as Buffer).toString()) as object;
    expect(
      (
        await serving.pushManifest(
          "a",
          "v1",
          JSON.stringify({ ...own, layers: [foreign] }),
          MediaType.ociManifest,
        )
      ).status,
    ).toBe(201);
  });

  it.each([
    ["not JSON", "{", MediaType.ociManifest],
    ["no object", "[]", MediaType.ociManifest],
    ["no UTF-8", Buffer.from([0x7b, 0xff, 0x7d]), MediaType.ociManifest],
    ["another type than its own", manifest, MediaType.ociIndex],
    ["schema 1", '{"schemaVersion":1,"fsLayers":[]}', MediaType.dockerSchema1Signed],
    ["no manifest at all", '{"hello":"world"}', "application/json"],
    [
      "a descriptor with a digest of another kind",
      '{"schemaVersion":2,"config":{"mediaType":"x","digest":"md5:00","size":1},"layers":[]}',
      MediaType.ociManifest,
    ],
  ])("refuses %s with MANIFEST_INVALID", async (_, body, type) => {
    await using serving = await Serving.start();
    const answer = await serving.pushManifest("a", "v1", body, type);
    expect([answer.status, errorCode(answer)]).toEqual([400, "MANIFEST_INVALID"]);
  });

  it("takes 4 MiB and not a byte more", async () => {
    await using serving = await Serving.start();
    for (const bytes of image.blobs.values()) await serving.pushBlob("a", bytes);
    const padded = (size: number): Buffer =>
      Buffer.concat([manifest, Buffer.alloc(size - manifest.length, " ")]);
    expect(
      (await serving.pushManifest("a", "v1", padded(MAX_MANIFEST_SIZE), MediaType.ociManifest)).status,
    ).toBe(201);
    const larger = await serving.pushManifest(
      "a",
      "v2",
      padded(MAX_MANIFEST_SIZE + 1),
      MediaType.ociManifest,
    );
    expect([larger.status, errorCode(larger)]).toEqual([413, "SIZE_INVALID"]);
    const streamed = {
      body: padded(MAX_MANIFEST_SIZE + 1),
      headers: { "content-type": MediaType.ociManifest, "transfer-encoding": "chunked" },
    };
    expect((await serving.call("PUT", "/v2/a/manifests/v2", streamed)).status).toBe(413);
  });

  it("ignores parameters of the content type", async () => {
    await using serving = await Serving.start();
    await serving.pushImage("a", image, "v1");
    expect(
      (await serving.pushManifest("a", "v2", manifest, `${MediaType.ociManifest}; charset=utf-8`)).status,
    ).toBe(201);
    expect((await serving.call("GET", "/v2/a/manifests/v2")).headers["content-type"]).toBe(
      MediaType.ociManifest,
    );
  });

  it("checks a digest that it is pushed by, and tags it as asked", async () => {
    await using serving = await Serving.start();
    await serving.pushImage("a", image, "v1");
    const wrong = await serving.pushManifest("a", digestOf("x"), manifest, MediaType.ociManifest);
    expect([wrong.status, errorCode(wrong)]).toEqual([400, "DIGEST_INVALID"]);
    expect(errorCode(await serving.pushManifest("a", "sha256:bad", manifest, MediaType.ociManifest))).toBe(
      "DIGEST_INVALID",
    );
    const digest = digestOf(manifest, "sha512");
    const tagged = await serving.pushManifest(
      "a",
      `${digest}?tag=one&tag=two`,
      manifest,
      MediaType.ociManifest,
    );
    expect([tagged.status, tagged.headers["oci-tag"], tagged.headers["docker-content-digest"]]).toEqual([
      201,
      "one, two",
      digest,
    ]);
    expect((await serving.call("HEAD", "/v2/a/manifests/two")).headers["docker-content-digest"]).toBe(digest);
    expect(
      (await serving.pushManifest("a", `${digest}?tag=-bad`, manifest, MediaType.ociManifest)).status,
    ).toBe(400);
  });
});

describe("deleting", () => {
  it("removes a tag alone, and a manifest with its tags and its place among the referrers", async () => {
    await using serving = await Serving.start();
    const signature = makeImage("signature", [], { subject: image.root });
    await serving.pushImage("a", image, "v1");
    await serving.pushImage("a", image, "v2");
    await serving.pushImage("a", signature, "sig");
    expect((await serving.call("DELETE", "/v2/a/manifests/v1")).status).toBe(202);
    expect((await serving.call("GET", "/v2/a/manifests/v1")).status).toBe(404);
    expect((await serving.call("GET", "/v2/a/manifests/v2")).status).toBe(200);
    for (const { root } of [signature, image])
      expect((await serving.call("DELETE", `/v2/a/manifests/${root.digest}`)).status).toBe(202);
    expect((await serving.call("GET", "/v2/a/manifests/v2")).status).toBe(404);
    const { body } = await serving.call("GET", `/v2/a/referrers/${image.root.digest}`);
    expect(JSON.parse(body.toString())).toMatchObject({ manifests: [] });
    expect(JSON.parse((await serving.call("GET", "/v2/a/tags/list")).body.toString())).toEqual({
      name: "a",
      tags: [],
    });
    for (const gone of ["v1", image.root.digest, "never"])
      expect(errorCode(await serving.call("DELETE", `/v2/a/manifests/${gone}`))).toBe("MANIFEST_UNKNOWN");
  });

  it("removes a blob from one repository, and from the disk with the last", async () => {
    await using serving = await Serving.start();
    const digest = digestOf(blob);
    const file = join(serving.storePath, "blobs", digest.replace(":", "/"));
    await serving.pushBlob("a", blob);
    await serving.pushBlob("b/c", blob);
    expect((await serving.call("DELETE", `/v2/a/blobs/${digest}`)).status).toBe(202);
    expect((await read(serving, digest)).status).toBe(404);
    expect((await read(serving, digest, "b/c")).status).toBe(200);
    expect(existsSync(file)).toBe(true);
    expect((await serving.call("DELETE", `/v2/b/c/blobs/${digest}`)).status).toBe(202);
    expect(existsSync(file)).toBe(false);
    expect(errorCode(await serving.call("DELETE", `/v2/a/blobs/${digest}`))).toBe("BLOB_UNKNOWN");
  });
});

describe("without a store", () => {
  it("refuses to be written to, in words", async () => {
    await using serving = await Serving.start({ store: "" });
    for (const [method, path] of [
      ["POST", "/v2/a/blobs/uploads/"],
      ["PUT", "/v2/a/manifests/v1"],
      ["DELETE", `/v2/a/blobs/${digestOf(blob)}`],
    ] as const) {
      const answer = await serving.call(method, path);
      expect([answer.status, errorCode(answer)]).toEqual([405, "UNSUPPORTED"]);
      expect(answer.body.toString()).toContain("--store");
    }
  });
});
