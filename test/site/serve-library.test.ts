import { openSync, readFileSync, truncateSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BundleReader } from "../../src/bundle/reader.ts";
import { fileFromBytes, makeArtifact } from "../../src/lock/artifact.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { attachedTag } from "../../src/oci/manifest.ts";
import { bundleLibrary } from "../../src/site/serve/library.ts";
import type { Region } from "../../src/transport/types.ts";
import { packageFactsOf } from "../support/facts.ts";
import { fill } from "../support/fill.ts";
import { bytesOf, makeImage, makeIndex, type TestImage } from "../support/images.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { Scratch } from "../support/scratch.ts";
import { Serving } from "../support/serve.ts";

const base = bytesOf("base", 200_000);
const image = (name: string): TestImage => makeImage(name, [base, bytesOf(name, 3000)]);
const amd64 = image("amd64");
const arm64 = image("arm64");
const nginx = image("nginx");
const index = makeIndex([amd64, arm64]);
const cosign = makeImage("cosign", [bytesOf("cosign", 40)]);
const sbom = makeImage("sbom", [bytesOf("sbom", 40)], {
  subject: index.root,
  artifactType: "application/x.sbom",
});

let registry: TestRegistry;
const scratches: Scratch[] = [];

/** Builds a bundle in a folder of its own. */
async function build(spec: string, files: Record<string, string> = {}): Promise<string> {
  const scratch = new Scratch();
  scratches.push(scratch);
  for (const [name, content] of Object.entries(files)) scratch.write(name, content);
  scratch.spec(spec.replaceAll("REGISTRY", registry.host));
  await scratch.build();
  return scratch.path("site.tar");
}

async function serve(...paths: string[]): Promise<Serving> {
  const bundles = paths.map((path) => BundleReader.open(path));
  return Serving.start({ libraries: [bundleLibrary(bundles)], store: "" });
}

beforeAll(async () => {
  registry = await startRegistry();
  fill(registry.store, "pause", index, "3.9");
  fill(registry.store, "pause", cosign, attachedTag(index.root.digest, "sig"));
  fill(registry.store, "pause", sbom);
  fill(registry.store, "coredns/coredns", amd64, "v1.10.1");
  fill(registry.store, "library/nginx", nginx, "1.27");
  fill(registry.store, "app/web", amd64, "v1");
  fill(registry.store, "app/web", arm64, "v2");
});
afterAll(async () => {
  await registry.close();
  for (const scratch of scratches) scratch[Symbol.dispose]();
});

/** Upstream registries, all of them our own one. */
const SOURCES =
  "sources: { registry.k8s.io: { mirrors: [REGISTRY] }, docker.io: { mirrors: [REGISTRY] }, register.site: { mirrors: [REGISTRY] } }";
const SITE = `${SOURCES}
siteName: register.site
images: [registry.k8s.io/pause:3.9, registry.k8s.io/coredns/coredns:v1.10.1, nginx:1.27, register.site/app/web:v1]
files: [{ path: tool.tgz }, { path: readme.txt, as: docs/README.txt }]`;
const site = (): Promise<string> => build(SITE, { "tool.tgz": "a tool", "readme.txt": "read me" });

describe("a bundle as a registry", () => {
  it("answers under upstream names, the paths of the host layout, and the site's own", async () => {
    await using serving = await serve(await site());
    const digest = async (path: string): Promise<unknown> => {
      const { status, headers } = await serving.call("HEAD", `/v2/${path}`);
      return status === 200 ? headers["docker-content-digest"] : status;
    };
    for (const [path, answer] of [
      ["pause/manifests/3.9?ns=registry.k8s.io", index.root.digest],
      ["registry.k8s.io/pause/manifests/3.9", index.root.digest],
      ["registry.k8s.io/pause/manifests/3.9?ns=registry.k8s.io", index.root.digest],
      ["pause/manifests/3.9", 404],
      ["pause/manifests/3.9?ns=quay.io", 404],
      ["coredns/coredns/manifests/v1.10.1?ns=registry.k8s.io", amd64.root.digest],
      ["library/nginx/manifests/1.27?ns=docker.io", nginx.root.digest],
      ["library/nginx/manifests/1.27?ns=registry-1.docker.io", nginx.root.digest],
      ["library/nginx/manifests/1.27", nginx.root.digest],
      ["app/web/manifests/v1", amd64.root.digest],
      ["app/web/manifests/v1?ns=register.site", amd64.root.digest],
      ["app/web/manifests/v1?ns=quay.io", 404],
      ["register.site/app/web/manifests/v1", amd64.root.digest],
      ["app/web/manifests/v2", 404],
    ] as const) {
      expect([path, await digest(path)]).toEqual([path, answer]);
    }
    expect(JSON.parse((await serving.call("GET", "/v2/_catalog")).body.toString())).toEqual({
      repositories: [
        "app/web",
        "docker.io/library/nginx",
        "register.site/app/web",
        "registry.k8s.io/coredns/coredns",
        "registry.k8s.io/pause",
      ],
    });
  });

  it("gives the original index, what was carried of it, and nothing of another repository", async () => {
    await using serving = await serve(await site());
    const get = (path: string) => serving.call("GET", `/v2/registry.k8s.io/pause/${path}`);
    const original = await get("manifests/3.9");
    expect(original.body.equals(index.blobs.get(index.root.digest) as Buffer)).toBe(true);
    expect(original.headers["content-type"]).toBe(index.root.mediaType);
    expect(
      (await get(`manifests/${amd64.root.digest}`)).body.equals(amd64.blobs.get(amd64.root.digest) as Buffer),
    ).toBe(true);
    for (const [digest, bytes] of amd64.blobs)
      expect((await get(`blobs/${digest}`)).body.equals(bytes)).toBe(true);
    expect((await get(`manifests/${arm64.root.digest}`)).status).toBe(404);
    expect((await get(`blobs/${digestOf(bytesOf("nginx", 3000))}`)).status).toBe(404);
    expect(
      (await serving.call("GET", `/v2/docker.io/library/nginx/blobs/${digestOf(bytesOf("nginx", 3000))}`))
        .status,
    ).toBe(200);
  });

  it("serves signatures by cosign's tag, and referrers", async () => {
    await using serving = await serve(await site());
    const tag = attachedTag(index.root.digest, "sig");
    expect(
      (await serving.call("HEAD", `/v2/pause/manifests/${tag}?ns=registry.k8s.io`)).headers[
        "docker-content-digest"
      ],
    ).toBe(cosign.root.digest);
    expect(
      JSON.parse((await serving.call("GET", "/v2/registry.k8s.io/pause/tags/list")).body.toString()),
    ).toEqual({
      name: "registry.k8s.io/pause",
      tags: ["3.9", tag],
    });
    const { body } = await serving.call("GET", `/v2/pause/referrers/${index.root.digest}?ns=registry.k8s.io`);
    expect(JSON.parse(body.toString())).toMatchObject({
      manifests: [{ ...sbom.root, artifactType: "application/x.sbom" }],
    });
    expect(
      (await serving.call("GET", `/v2/registry.k8s.io/pause/manifests/${sbom.root.digest}`)).status,
    ).toBe(200);
  });

  it("serves files by their names, with ranges and lists", async () => {
    await using serving = await serve(await site());
    const file = await serving.call("GET", "/files/tool.tgz");
    expect([file.status, file.body.toString(), file.headers["content-type"]]).toEqual([
      200,
      "a tool",
      "application/gzip",
    ]);
    expect(
      (await serving.call("GET", "/files/tool.tgz", { headers: { range: "bytes=2-" } })).body.toString(),
    ).toBe("tool");
    expect((await serving.call("GET", "/files/docs/README.txt")).body.toString()).toBe("read me");
    expect((await serving.call("GET", "/files")).headers.location).toBe("/files/");
    const list = (await serving.call("GET", "/files/")).body.toString();
    expect(list).toContain('href="./tool.tgz"');
    expect(list).toContain('href="./docs/"');
    for (const path of ["/files/none", "/files/tool.tgz/x", "/packages/", "/files/docs%2F..%2Ftool.tgz"])
      expect((await serving.call("GET", path)).status).toBe(404);
  });

  it("shows what it has on its page, with nothing foreign in it as HTML", async () => {
    await using serving = await serve(
      await build(`files: [{ path: a.txt, as: "<b>&'.txt" }]`, { "a.txt": "x" }),
    );
    const page = await serving.call("GET", "/");
    expect(page.headers["content-security-policy"]).toContain("default-src 'none'");
    expect(page.body.toString()).toContain("&#60;b&#62;&#38;&#39;.txt");
    expect(page.body.toString()).not.toContain("<b>");
    const link = /href="(\/files\/[^"]+)"/.exec(page.body.toString())?.[1] ?? "";
    expect((await serving.call("GET", link)).body.toString()).toBe("x");
  });
});

describe("package sets", () => {
  const set = (name: string, files: Record<string, string>): BundleReader => {
    const made = Object.entries(files).map(([title, content]) =>
      fileFromBytes(title, "application/octet-stream", Buffer.from(content)),
    );
    const { item } = makeArtifact({
      kind: "packages",
      name,
      files: made,
      origins: [],
      wantedBy: [],
      facts: packageFactsOf(),
    });
    const scratch = new Scratch();
    scratches.push(scratch);
    const contents = Object.values(files);
    const fd = openSync(scratch.write("content", contents.join("")), "r");
    const region = (digest: string): Region | undefined => {
      const at = contents.findIndex((content) => digestOf(content) === digest);
      return at < 0
        ? undefined
        : { fd, offset: contents.slice(0, at).join("").length, size: (contents[at] ?? "").length };
    };
    const titled = made.map(({ title, mediaType, digest, size }) => ({
      title,
      layer: { mediaType, digest, size },
    }));
    return {
      path: `${name}.tar`,
      lock: { items: [item] },
      region,
      files: () => titled,
    } as unknown as BundleReader;
  };

  it("are served as repositories, path by path", async () => {
    const el9 = set("el9", {
      "repodata/repomd.xml": "<repomd/>",
      "Packages/k/kubelet-1.28.2.rpm": "an rpm",
    });
    const debian = set("debian12", { "dists/site/InRelease": "signed" });
    await using serving = await Serving.start({ libraries: [bundleLibrary([el9, debian])], store: "" });
    const get = async (path: string): Promise<unknown[]> => {
      const { status, headers, body } = await serving.call("GET", path);
      return [status, headers["content-type"], body.toString()];
    };
    expect(await get("/packages/el9/repodata/repomd.xml")).toEqual([200, "application/xml", "<repomd/>"]);
    expect(await get("/packages/el9/Packages/k/kubelet-1.28.2.rpm")).toEqual([
      200,
      "application/x-rpm",
      "an rpm",
    ]);
    expect(await get("/packages/debian12/dists/site/InRelease")).toEqual([
      200,
      "application/octet-stream",
      "signed",
    ]);
    expect(
      (
        await serving.call("GET", "/packages/el9/repodata/repomd.xml", { headers: { range: "bytes=1-6" } })
      ).body.toString(),
    ).toBe("repomd");
    for (const [path, names] of [
      ["/packages/", ["debian12/", "el9/"]],
      ["/packages/el9/", ["Packages/", "repodata/"]],
    ] as const) {
      for (const name of names) expect((await get(path))[2]).toContain(`href="./${name}"`);
    }
    for (const path of [
      "/packages/el9/escape",
      "/packages/el9/%2e%2e/escape",
      "/packages/el8/",
      "/packages/el9/repodata/none",
    ])
      expect((await get(path))[0]).toBe(404);
  });
});

describe("several bundles", () => {
  it("answer as one, each with what it carries of an index", async () => {
    const spec = (platform: string): string =>
      `${SOURCES}\nplatforms: [linux/${platform}]\nimages: [registry.k8s.io/pause:3.9]`;
    await using serving = await serve(await build(spec("amd64")), await build(spec("arm64")));
    for (const { root } of [index, amd64, arm64])
      expect((await serving.call("HEAD", `/v2/registry.k8s.io/pause/manifests/${root.digest}`)).status).toBe(
        200,
      );
  });

  it("are refused when they mean different things by one name, both named", async () => {
    const one = await build("images: [REGISTRY/app/web:v1]");
    fill(registry.store, "app/web", index, "v1");
    const two = await build("images: [REGISTRY/app/web:v1]");
    fill(registry.store, "app/web", amd64, "v1");
    const paths = [one, two].map((path) => BundleReader.open(path));
    expect(() => bundleLibrary(paths)).toThrow(
      expect.objectContaining({ code: "conflict", data: expect.objectContaining({ bundles: [one, two] }) }),
    );
    const files = await Promise.all(
      ["a", "b"].map((content) => build("files: [{ path: f }]", { f: content })),
    );
    expect(() => bundleLibrary(files.map((path) => BundleReader.open(path)))).toThrow(
      new RegExp(`file f differs between ${files[0]} .* and ${files[1]}`),
    );
  });

  it("may pin an old digest of a tag beside the tag itself", async () => {
    await using serving = await serve(
      await build(
        `images: [REGISTRY/app/web:v1, "REGISTRY/app/web:v2@${arm64.root.digest}", "REGISTRY/app/web:v1@${arm64.root.digest}"]`,
      ),
    );
    const path = `/v2/${registry.host.replace(":", "-")}/app/web/manifests/`;
    for (const [reference, { root }] of [
      ["v1", amd64],
      ["v2", arm64],
      [arm64.root.digest, arm64],
    ] as const) {
      expect((await serving.call("HEAD", path + reference)).headers["docker-content-digest"]).toBe(
        root.digest,
      );
    }
  });
});

describe("a bundle that changes under a running server", () => {
  it("makes /healthz fail when it gets shorter", async () => {
    const path = await site();
    await using serving = await serve(path);
    expect((await serving.call("GET", "/healthz")).status).toBe(200);
    truncateSync(path, readFileSync(path).length - 1);
    const { status, body } = await serving.call("GET", "/healthz");
    expect([status, JSON.parse(body.toString()).reason]).toEqual([503, `${path} has become shorter`]);
  });
});
