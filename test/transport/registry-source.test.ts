import type { Readable } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import { digestOf } from "../../src/oci/digest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { fixedCredentials } from "../../src/transport/credentials.ts";
import { candidatesFor, Mirrors } from "../../src/transport/mirrors.ts";
import { apiHost, isLoopback } from "../../src/transport/registry/endpoint.ts";
import { referrersTag } from "../../src/transport/registry/referrers.ts";
import { basicAuth, tokenAuth } from "../support/auth.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage } from "../support/images.ts";
import { type Hook, startRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { openRegistries } from "../support/transport.ts";

const layer = bytesOf("layer", 500_000);
const image = makeImage("app", [layer]);
const other = makeImage("other", [bytesOf("other", 100)]);
const layerDescriptor = { mediaType: MediaType.ociLayerGzip, digest: digestOf(layer), size: layer.length };

async function open(options: TestRegistryOptions & Parameters<typeof openRegistries>[0] = {}) {
  const registry = await startRegistry(options);
  const opened = openRegistries({ retries: 2, ...options });
  fill(registry.store, "team/app", image, "v1");
  return {
    registry,
    events: opened.events,
    source: opened.registries.source(registry.host, "team/app"),
    [Symbol.asyncDispose]: async () => {
      await opened[Symbol.asyncDispose]();
      await registry.close();
    },
  };
}
const readAll = async (stream: Readable): Promise<Buffer> => Buffer.concat(await stream.toArray());

describe("resolve", () => {
  it("gives a descriptor from one GET, and the content without another", async () => {
    await using test = await open();
    const found = await test.source.resolve("v1");
    expect(found).toEqual(image.root);
    expect(await readAll(await test.source.fetch(found))).toEqual(image.blobs.get(found.digest));
    expect(test.registry.count("GET manifest")).toBe(1);
  });

  it("refuses bytes that are not those of the digest that was asked for", async () => {
    await using test = await open({
      hooks: [
        (exchange) =>
          exchange.label === "GET manifest"
            ? exchange.send(
                200,
                { "content-type": MediaType.ociManifest },
                other.blobs.get(other.root.digest),
              )
            : undefined,
      ],
    });
    await expect(test.source.resolve(image.root.digest)).rejects.toMatchObject({
      code: "corrupt",
      data: { expected: image.root.digest, found: other.root.digest },
    });
  });

  it("refuses a tag whose bytes are not what the registry calls them", async () => {
    await using test = await open({
      hooks: [
        (exchange) =>
          exchange.label === "GET manifest"
            ? exchange.send(
                200,
                { "content-type": MediaType.ociManifest, "docker-content-digest": image.root.digest },
                other.blobs.get(other.root.digest),
              )
            : undefined,
      ],
    });
    await expect(test.source.resolve("v1")).rejects.toMatchObject({ code: "corrupt" });
  });

  it.each([MediaType.dockerSchema1, MediaType.dockerSchema1Signed, "application/json"])(
    "refuses schema 1 by name, served as %s (trap 11)",
    async (mediaType) => {
      const old = Buffer.from(
        JSON.stringify({
          schemaVersion: 1,
          name: "team/app",
          tag: "v1",
          fsLayers: [],
          history: [],
          signatures: [],
        }),
      );
      await using test = await open({
        hooks: [
          (exchange) =>
            exchange.label === "GET manifest"
              ? exchange.send(200, { "content-type": mediaType }, old)
              : undefined,
        ],
      });
      await expect(test.source.resolve("v1")).rejects.toMatchObject({
        code: "unsupported",
        message: expect.stringMatching(/schema 1/),
      });
    },
  );

  it("believes the content where the registry gives no type", async () => {
    await using test = await open({
      hooks: [
        (exchange) =>
          exchange.label === "GET manifest"
            ? exchange.send(
                200,
                { "content-type": "text/plain; charset=utf-8" },
                image.blobs.get(image.root.digest),
              )
            : undefined,
      ],
    });
    expect(await test.source.resolve("v1")).toEqual(image.root);
  });

  it("says not-found, with the registry's words", async () => {
    await using test = await open();
    await expect(test.source.resolve("v2")).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringMatching(/team\/app:v2.*manifest unknown/),
    });
    expect(await test.source.head("v2")).toBeUndefined();
  });

  it("asks for the whole manifest where HEAD tells no digest", async () => {
    await using test = await open({
      hooks: [(exchange) => (exchange.label === "HEAD manifest" ? exchange.send(200) : undefined)],
    });
    expect(await test.source.head("v1")).toBe(image.root.digest);
  });

  it("keeps a registry's words on one line and out of the terminal's control", async () => {
    await using test = await open({
      hooks: [
        (exchange) =>
          exchange.label === "GET manifest" ? exchange.fail(400, "BAD", "a\u001b[2J\nb\u202ec") : undefined,
      ],
    });
    const error: Error = (await test.source.resolve("v1").catch((thrown: Error) => thrown)) as Error;
    expect(error.message).toMatch(/BAD: a \[2J b c/);
  });

  it("does not read an answer without end", async () => {
    await using test = await open({
      hooks: [
        (exchange) => {
          if (exchange.label !== "GET manifest") return undefined;
          exchange.response.writeHead(200, { "content-type": MediaType.ociManifest });
          const timer = setInterval(() => exchange.response.write(Buffer.alloc(1 << 20, 32)), 1);
          exchange.response.on("close", () => clearInterval(timer));
          return true;
        },
      ],
    });
    await expect(test.source.resolve("v1")).rejects.toMatchObject({
      code: "protocol",
      message: expect.stringMatching(/more than \d+ bytes/),
    });
  });
});

describe("fetch", () => {
  it("gives a blob whole and in parts", async () => {
    await using test = await open();
    expect(await readAll(await test.source.fetch(layerDescriptor))).toEqual(layer);
    expect(
      await readAll(await test.source.fetch(layerDescriptor, { range: { offset: 1000, length: 500 } })),
    ).toEqual(layer.subarray(1000, 1500));
    expect(
      await readAll(await test.source.fetch(layerDescriptor, { range: { offset: layer.length - 7 } })),
    ).toEqual(layer.subarray(-7));
  });

  const answering =
    (how: Hook): Hook =>
    (exchange) =>
      exchange.label === "GET blob" ? how(exchange) : undefined;

  it.each([
    ["other bytes", () => bytesOf("wrong", layer.length)],
    ["too few bytes", () => layer.subarray(1)],
    ["too many bytes", () => Buffer.concat([layer, Buffer.from("x")])],
  ])("fails with %s before the end", async (_, content) => {
    await using test = await open({ hooks: [answering((exchange) => exchange.send(200, {}, content()))] });
    let seen = 0;
    const read = async () => {
      for await (const chunk of await test.source.fetch(layerDescriptor)) seen += chunk.length;
    };
    await expect(read()).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining(layerDescriptor.digest),
    });
    expect(seen).toBeLessThan(layer.length);
  });

  it.each([true, false])("goes on where a transfer broke off; Range understood: %s", async (understood) => {
    let broken = 0;
    await using test = await open({
      hooks: [
        answering((exchange) => {
          if (broken++ > 1) return understood ? undefined : exchange.send(200, {}, layer);
          const from = understood ? Number(/bytes=(\d+)/.exec(exchange.header("range"))?.[1] ?? 0) : 0;
          exchange.response.writeHead(from > 0 ? 206 : 200, {
            "content-length": layer.length - from,
            ...(from > 0 ? { "content-range": `bytes ${from}-${layer.length - 1}/${layer.length}` } : {}),
          });
          exchange.response.write(layer.subarray(from, from + 150_000), () => exchange.drop());
          return true;
        }),
      ],
    });
    expect(await readAll(await test.source.fetch(layerDescriptor))).toEqual(layer);
    expect(broken).toBe(3);
  });

  it("does not take a 206 that starts elsewhere", async () => {
    await using test = await open({
      hooks: [
        answering((exchange) =>
          exchange.send(206, { "content-range": `bytes 0-99/${layer.length}` }, layer.subarray(0, 100)),
        ),
      ],
    });
    await expect(
      test.source.fetch(layerDescriptor, { range: { offset: 50, length: 100 } }).then(readAll),
    ).rejects.toMatchObject({ code: "protocol" });
  });

  it("follows a redirect to another host, without our authorisation", async () => {
    await using storage = await startRegistry({ address: "127.0.0.2" });
    fill(storage.store, "team/app", image);
    const auth = tokenAuth();
    await using test = await open({
      hooks: [
        auth.hook,
        answering((exchange) =>
          exchange.send(307, {
            location: `http://${storage.host}/v2/team/app/blobs/${layerDescriptor.digest}?X-Amz-Signature=geheim`,
          }),
        ),
      ],
    });
    expect(await readAll(await test.source.fetch(layerDescriptor))).toEqual(layer);
    expect(storage.seen.map(({ headers }) => headers["authorization"])).toEqual([undefined]);
  });

  it("waits for a 503 and a 429", async () => {
    let refused = 0;
    await using test = await open({
      hooks: [
        answering((exchange) =>
          refused++ < 2
            ? exchange.fail(refused === 1 ? 503 : 429, "BUSY", "later", { "retry-after": "0" })
            : undefined,
        ),
      ],
    });
    expect(await readAll(await test.source.fetch(layerDescriptor))).toEqual(layer);
    expect(test.events.filter(({ type }) => type === "retry")).toHaveLength(2);
  });

  it("never puts what a redirect signs into a message", async () => {
    await using test = await open({
      hooks: [
        answering((exchange) =>
          exchange.send(307, { location: "http://127.0.0.1:1/x?X-Amz-Signature=geheim&token=geheim" }),
        ),
      ],
    });
    const error = await test.source
      .fetch(layerDescriptor)
      .then(readAll)
      .catch((thrown: unknown) => thrown);
    expect(String((error as Error).message)).not.toContain("geheim");
    expect(test.events.map((event) => JSON.stringify(event)).join()).not.toContain("geheim");
  });
});

describe("foreign layers (trap 10)", () => {
  const foreign = {
    mediaType: MediaType.dockerForeignLayer,
    digest: layerDescriptor.digest,
    size: layer.length,
  };

  it("are refused unless asked for", async () => {
    await using test = await open();
    await expect(test.source.fetch({ ...foreign, urls: ["http://127.0.0.1:1/x"] })).rejects.toMatchObject({
      code: "unsupported",
      suggestions: [expect.stringContaining("foreignLayers: true")],
    });
  });

  it("come from where their publisher says, without our authorisation", async () => {
    await using publisher = await startRegistry({ hooks: [(exchange) => exchange.send(200, {}, layer)] });
    await using registry = await startRegistry({ hooks: [basicAuth("ci", "geheim")] });
    await using opened = openRegistries({
      credentials: fixedCredentials({ [registry.host]: { username: "ci", password: "geheim" } }),
    });
    const source = opened.registries.source(registry.host, "team/app", { foreignLayers: true });
    expect(
      await readAll(await source.fetch({ ...foreign, urls: ["ftp://nowhere/x", `${publisher.url}/layer`] })),
    ).toEqual(layer);
    expect(publisher.seen.map(({ headers }) => headers["authorization"])).toEqual([undefined]);
  });

  it("come from the registry where their publisher has them no longer", async () => {
    await using publisher = await startRegistry({ hooks: [(exchange) => exchange.send(404)] });
    await using registry = await startRegistry();
    fill(registry.store, "team/app", image);
    await using opened = openRegistries();
    const source = opened.registries.source(registry.host, "team/app", { foreignLayers: true });
    expect(await readAll(await source.fetch({ ...foreign, urls: [`${publisher.url}/layer`] }))).toEqual(
      layer,
    );
  });
});

describe("referrers", () => {
  const subject = { mediaType: MediaType.ociManifest, digest: image.root.digest, size: image.root.size };
  const sbom = makeImage("sbom", [bytesOf("sbom", 10)], { artifactType: "application/spdx", subject });

  it("come from the API", async () => {
    await using test = await open();
    fill(test.registry.store, "team/app", sbom);
    expect(await test.source.referrers(image.root.digest)).toMatchObject([
      { digest: sbom.root.digest, artifactType: "application/spdx" },
    ]);
  });

  it.each([404, 405, 400, 401, 403])(
    "come from the tag that stands in where the API answers %d",
    async (status) => {
      await using test = await open({
        hooks: [(exchange) => (exchange.target.kind === "referrers" ? exchange.send(status) : undefined)],
      });
      const list = Buffer.from(
        JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [sbom.root] }),
      );
      test.registry.store.addManifest("team/app", MediaType.ociIndex, list, referrersTag(image.root.digest));
      expect(await test.source.referrers(image.root.digest)).toEqual([sbom.root]);
    },
  );

  it("are none where neither is there, or may be seen", async () => {
    await using test = await open({ referrersApi: false });
    expect(await test.source.referrers(image.root.digest)).toEqual([]);
    await using guarded = await open({
      hooks: [
        (exchange) => (exchange.url.pathname.includes("sha256") ? exchange.fail(403, "DENIED") : undefined),
      ],
    });
    expect(await guarded.source.referrers(image.root.digest)).toEqual([]);
  });
});

describe("tags", () => {
  it("come page by page", async () => {
    await using test = await open({ page: 2 });
    for (const tag of ["a", "b", "c", "d"]) fill(test.registry.store, "team/app", image, tag);
    expect(await test.source.tags()).toEqual(["a", "b", "c", "d", "v1"]);
  });

  it("are none for null, and no endless loop", async () => {
    await using empty = await open({
      hooks: [
        (exchange) =>
          exchange.target.kind === "tags" ? exchange.json(200, { name: "x", tags: null }) : undefined,
      ],
    });
    expect(await empty.source.tags()).toEqual([]);
    await using loop = await open({
      hooks: [
        (exchange) =>
          exchange.target.kind === "tags"
            ? exchange.json(200, { tags: ["a"] }, { link: `<${exchange.url.pathname}?n=1>; rel="next"` })
            : undefined,
      ],
    });
    await expect(loop.source.tags()).rejects.toMatchObject({ code: "protocol" });
  });
});

describe("authorisation", () => {
  const login = { username: "ci", password: "geheim" };
  const credentialsFor = (credential: Parameters<typeof fixedCredentials>[0][string]) => ({
    for: async () => credential,
  });

  it("is one token a repository, asked for once", async () => {
    const auth = tokenAuth();
    await using test = await open({ hooks: [auth.hook] });
    await test.source.resolve("v1");
    await Promise.all([1, 2, 3].map(async () => readAll(await test.source.fetch(layerDescriptor))));
    expect(auth.issued).toEqual([["repository:team/app:pull"]]);
  });

  it("sends the login to the token service", async () => {
    const auth = tokenAuth({ ...login, anonymous: "none" });
    await using test = await open({ hooks: [auth.hook], credentials: credentialsFor(login) });
    expect(await test.source.resolve("v1")).toEqual(image.root);
  });

  it("exchanges an identity token by POST", async () => {
    const auth = tokenAuth({ refreshToken: "lang-und-geheim", anonymous: "none" });
    await using test = await open({
      hooks: [auth.hook],
      credentials: credentialsFor({ identityToken: "lang-und-geheim" }),
    });
    expect(await test.source.resolve("v1")).toEqual(image.root);
    expect(test.registry.seen.filter(({ path }) => path === "/token").map(({ method }) => method)).toEqual([
      "POST",
    ]);
  });

  it("finds a token service on another private address (trap 14)", async () => {
    const auth = tokenAuth();
    await using service = await startRegistry({
      address: "127.0.0.3",
      hooks: [(exchange) => (exchange.url.pathname === "/token" ? auth.hook(exchange) : undefined)],
    });
    const elsewhere: Hook = (exchange) => {
      exchange.url.host = service.host;
      return auth.hook(exchange);
    };
    await using test = await open({ hooks: [elsewhere] });
    expect(await test.source.resolve("v1")).toEqual(image.root);
    expect(service.seen).toHaveLength(1);
  });

  it("is not repeated for ever", async () => {
    await using test = await open({ hooks: [basicAuth("ci", "anders")], credentials: credentialsFor(login) });
    await expect(test.source.resolve("v1")).rejects.toMatchObject({
      code: "unauthorized",
      suggestions: [`docker login ${test.registry.host}`],
    });
    expect(test.registry.count("GET manifest")).toBe(1);
  });

  it("asks a challenge's own scope too", async () => {
    const scopes: string[][] = [];
    const hook: Hook = (exchange) => {
      if (exchange.url.pathname === "/token") {
        scopes.push(exchange.url.searchParams.getAll("scope"));
        return exchange.json(200, { access_token: `t${scopes.length}` });
      }
      if (scopes.some((each) => each.includes("aws")) || exchange.target.kind === "ping") return undefined;
      return exchange.fail(401, "UNAUTHORIZED", "no", {
        "www-authenticate": `Bearer realm="http://${exchange.url.host}/token",service="public.ecr.aws",scope="aws"`,
      });
    };
    await using test = await open({ hooks: [hook] });
    expect(await test.source.resolve("v1")).toEqual(image.root);
    expect(scopes.at(-1)).toEqual(["repository:team/app:pull", "aws"]);
  });

  it.each(["", "x\ny", 42])("refuses a token service's answer %j", async (token) => {
    const guard = tokenAuth();
    await using test = await open({
      hooks: [
        (exchange) =>
          exchange.url.pathname === "/token" ? exchange.json(200, { token }) : guard.hook(exchange),
      ],
    });
    await expect(test.source.resolve("v1")).rejects.toMatchObject({ code: "protocol" });
  });

  it.each(["ftp://x/token", "nonsense"])("refuses the realm %s", async (realm) => {
    const auth = tokenAuth({ realm: () => realm });
    await using test = await open({ hooks: [auth.hook] });
    await expect(test.source.resolve("v1")).rejects.toMatchObject({ code: "protocol" });
  });
});

describe("mirrors", () => {
  const reference = parseReference;
  const sources = {
    "registry.k8s.io": {
      mirrors: ["registry.aliyuncs.com/google_containers/*", "mirror.site/k8s", "registry.k8s.io"],
    },
  };
  const names = (text: string, flat = false, entries: Parameters<typeof candidatesFor>[1] = sources) =>
    candidatesFor(reference(text), entries, flat).map(({ host, repository }) => `${host}/${repository}`);

  it("are tried in order, flat only where the entry ends in /*", () => {
    expect(names("registry.k8s.io/coredns/coredns:v1")).toEqual([
      "registry.aliyuncs.com/google_containers/coredns",
      "mirror.site/k8s/coredns/coredns",
      "registry.k8s.io/coredns/coredns",
    ]);
    expect(names("quay.io/a/b:1")).toEqual(["quay.io/a/b"]);
    expect(names("nginx", false, { "docker.io": { mirrors: ["mirror.site"] } })).toEqual([
      "mirror.site/library/nginx",
    ]);
  });

  it("may be flat for kubeadm's own images, but upstream never is", () => {
    expect(names("registry.k8s.io/coredns/coredns:v1", true)).toEqual([
      "registry.aliyuncs.com/google_containers/coredns",
      "mirror.site/k8s/coredns/coredns",
      "mirror.site/k8s/coredns",
      "registry.k8s.io/coredns/coredns",
    ]);
  });

  it("of registry.k8s.io serve k8s.gcr.io, unless that has its own", () => {
    expect(names("k8s.gcr.io/pause:3.5")).toEqual([
      "registry.aliyuncs.com/google_containers/pause",
      "mirror.site/k8s/pause",
      "registry.k8s.io/pause",
    ]);
    expect(names("k8s.gcr.io/pause:3.5", false, {})).toEqual(["k8s.gcr.io/pause"]);
    expect(
      names("k8s.gcr.io/pause:3.5", false, { ...sources, "k8s.gcr.io": { mirrors: ["own.site"] } }),
    ).toEqual(["own.site/pause"]);
  });

  it.each(["", "UPPER.site/A", "host/*/x", "https://host"])("refuses '%s'", (mirror) => {
    expect(() => names("a.site/x", false, { "a.site": { mirrors: [mirror] } })).toThrow(
      expect.objectContaining({ code: "spec" }),
    );
  });

  /** Scenario A: a flat mirror, behind one that is dead and one that lacks the image. */
  it("name the origin that answered, and ask a dead host once", async () => {
    await using empty = await startRegistry();
    await using flat = await startRegistry();
    fill(flat.store, "google_containers/app", image, "v1");
    fill(flat.store, "google_containers/other", other, "v1");
    await using opened = openRegistries({ retries: 0 });
    const mirrors = new Mirrors(
      opened.registries,
      { "registry.k8s.io": { mirrors: ["127.0.0.1:1/x", empty.host, `${flat.host}/google_containers/*`] } },
      (event) => opened.events.push(event),
    );
    const first = await mirrors.open({ reference: reference("registry.k8s.io/deep/app:v1") });
    expect(await first.source.resolve(first.reference)).toEqual(image.root);
    expect(first.source.name).toBe(`docker://${flat.host}/google_containers/app`);
    const second = await mirrors.open({ reference: reference("registry.k8s.io/other:v1") });
    expect(await second.source.resolve(second.reference)).toEqual(other.root);
    expect(opened.events.filter(({ type }) => type === "warning")).toMatchObject([
      { message: expect.stringMatching(/^127\.0\.0\.1:1 does not answer/) },
    ]);
  });

  it("with other content than a lock says are passed over and named with both digests", async () => {
    await using wrong = await startRegistry();
    await using right = await startRegistry();
    fill(wrong.store, "app", other, "v1");
    fill(right.store, "app", image, "v1");
    await using opened = openRegistries();
    const mirrors = new Mirrors(
      opened.registries,
      { "a.site": { mirrors: [wrong.host, right.host] } },
      (event) => opened.events.push(event),
    );
    const { source, reference: asked } = await mirrors.open({
      reference: reference("a.site/app:v1"),
      expect: image.root.digest,
    });
    expect(asked).toBe(image.root.digest);
    expect(source.name).toBe(`docker://${right.host}/app`);
    const warning = opened.events.find(({ type }) => type === "warning");
    expect(warning).toMatchObject({
      message: expect.stringMatching(
        new RegExp(`${wrong.host}/app:v1 .*${other.root.digest}.*${image.root.digest}`),
      ),
    });
  });

  it("stand in for each other's content, in the middle of a blob too", async () => {
    await using breaking = await startRegistry({
      hooks: [
        (exchange) => {
          if (exchange.target.kind !== "blob" || exchange.target.digest !== layerDescriptor.digest)
            return undefined;
          const from = Number(/bytes=(\d+)/.exec(exchange.header("range"))?.[1] ?? 0);
          if (from >= 100_000) return exchange.fail(404, "BLOB_UNKNOWN");
          exchange.response.writeHead(200, { "content-length": layer.length });
          exchange.response.write(layer.subarray(0, 100_000), () => exchange.drop());
          return true;
        },
      ],
    });
    await using whole = await startRegistry();
    for (const { store } of [breaking, whole]) fill(store, "app", image, "v1");
    await using opened = openRegistries({ retries: 0 });
    const mirrors = new Mirrors(opened.registries, { "a.site": { mirrors: [breaking.host, whole.host] } });
    const { source, reference: asked } = await mirrors.open({ reference: reference("a.site/app:v1") });
    await source.resolve(asked);
    expect(await readAll(await source.fetch(layerDescriptor))).toEqual(layer);
    const written: Buffer[] = [];
    await source.writeTo?.(layerDescriptor, { offset: 10 }, (chunk) => written.push(Buffer.from(chunk)));
    expect(Buffer.concat(written)).toEqual(layer.subarray(10));
  });

  it("that all lack it are named in one error", async () => {
    await using one = await startRegistry();
    await using two = await startRegistry();
    await using opened = openRegistries();
    const mirrors = new Mirrors(opened.registries, { "a.site": { mirrors: [one.host, two.host] } });
    const { source } = await mirrors.open({ reference: reference("a.site/app:v1") });
    await expect(source.resolve("v1")).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringMatching(new RegExp(`a.site/app:v1.*${one.host}.*${two.host}`)),
    });
  });
});

describe("hosts", () => {
  afterEach(() => vi.unstubAllEnvs());

  it("on this machine may speak plain http", () => {
    expect(
      ["localhost", "localhost:5000", "127.0.0.1:80", "127.9.9.9", "[::1]:5000"].map(isLoopback),
    ).toEqual([true, true, true, true, true]);
    expect(["docker.io", "127.example.com", "localhost.evil.com", "10.0.0.1:5000"].map(isLoopback)).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect(apiHost("docker.io")).toBe("registry-1.docker.io");
  });

  it("are asked once whether they speak TLS", async () => {
    await using test = await open();
    await Promise.all([test.source.resolve("v1"), test.source.tags(), test.source.resolve("v1")]);
    expect(test.registry.count("GET ping")).toBe(1);
  });
});
