import { describe, expect, it } from "vitest";
import { canonicalJson } from "../../src/oci/canonical-json.ts";
import { parseDescriptor } from "../../src/oci/descriptor.ts";
import { childrenOf, parseManifest } from "../../src/oci/manifest.ts";
import { MediaType } from "../../src/oci/media-types.ts";
import { formatPlatform, matchesPlatform, parsePlatform } from "../../src/oci/platform.ts";
import { formatReference, parseReference, withDefaultTag } from "../../src/oci/reference.ts";

const hex = "a".repeat(64);

describe("references", () => {
  it.each([
    ["nginx", "docker.io/library/nginx"],
    ["nginx:1.27", "docker.io/library/nginx:1.27"],
    ["docker.io/traefik:v3", "docker.io/library/traefik:v3"],
    ["index.docker.io/library/a", "docker.io/library/a"],
    ["a/b", "docker.io/a/b"],
    ["localhost/a", "localhost/a"],
    ["localhost:5000/a:1", "localhost:5000/a:1"],
    ["registry:5000/a", "registry:5000/a"],
    ["[::1]:5000/a/b", "[::1]:5000/a/b"],
    ["Registry.Local/a", "registry.local/a"],
    [`quay.io/x/y:v1@sha256:${hex}`, `quay.io/x/y:v1@sha256:${hex}`],
    ["k8s.gcr.io/a__b/c--d/e.f", "k8s.gcr.io/a__b/c--d/e.f"],
  ])("%s is %s", (written, canonical) => {
    expect(formatReference(parseReference(written))).toBe(canonical);
    expect(formatReference(parseReference(canonical))).toBe(canonical);
  });

  it.each([
    "",
    "UPPER",
    "a//b",
    "a/",
    "/a",
    "a:",
    "a:b:c",
    "a@sha256:short",
    "a b",
    "-a",
    "a:.tag",
    `a:${"x".repeat(129)}`,
    "registry.k8s.io/",
    "a..b",
    "a@md5:123",
    `${"a/".repeat(128)}a`,
  ])("%s is none", (text) => {
    expect(() => parseReference(text)).toThrow(/is not an image reference/);
  });

  it("have the tag latest where neither tag nor digest is written", () => {
    expect(withDefaultTag(parseReference("a")).tag).toBe("latest");
    expect(withDefaultTag(parseReference(`a@sha256:${hex}`)).tag).toBeUndefined();
  });
});

describe("platforms", () => {
  it("are normalised as containerd does", () => {
    expect(parsePlatform("linux/x86_64")).toEqual({ os: "linux", architecture: "amd64" });
    expect(parsePlatform("Linux/aarch64")).toEqual({ os: "linux", architecture: "arm64" });
    expect(formatPlatform(parsePlatform("linux/armhf"))).toBe("linux/arm/v7");
    for (const text of ["linux", "", "a/b/c/d", "linux/arm/"])
      expect(() => parsePlatform(text)).toThrow(/is not a platform/);
  });

  it("match with the architecture's own variant left out or written", () => {
    expect(
      matchesPlatform(
        { os: "linux", architecture: "arm64", variant: "v8" },
        { os: "linux", architecture: "arm64" },
      ),
    ).toBe(true);
    expect(
      matchesPlatform(
        { os: "linux", architecture: "arm", variant: "v6" },
        { os: "linux", architecture: "arm" },
      ),
    ).toBe(false);
    expect(
      matchesPlatform({ os: "windows", architecture: "amd64" }, { os: "linux", architecture: "amd64" }),
    ).toBe(false);
  });
});

describe("manifests", () => {
  const descriptor = { mediaType: MediaType.ociConfig, digest: `sha256:${hex}`, size: 2 };
  const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

  it("are read with or without their own mediaType", () => {
    const content = { schemaVersion: 2, config: descriptor, layers: [descriptor] };
    expect(parseManifest(bytes(content), undefined, "x")).toMatchObject({
      kind: "manifest",
      mediaType: MediaType.ociManifest,
    });
    expect(childrenOf(parseManifest(bytes(content), MediaType.ociManifest, "x"))).toHaveLength(2);
    expect(parseManifest(bytes({ schemaVersion: 2, manifests: [] }), undefined, "x").kind).toBe("index");
  });

  it("refuse schema 1 by name", () => {
    expect(() =>
      parseManifest(bytes({ schemaVersion: 1, fsLayers: [] }), MediaType.dockerSchema1Signed, "x:1"),
    ).toThrow(/x:1 is a Docker schema 1 manifest/);
  });

  it.each([
    ["no JSON", "{"],
    ["a list", "[]"],
    ["nothing known", "{}"],
    ["a size below zero", JSON.stringify({ config: { ...descriptor, size: -1 }, layers: [] })],
    [
      "a digest that is none",
      JSON.stringify({ config: { ...descriptor, digest: "sha256:x/../y" }, layers: [] }),
    ],
    [
      "layers that are no list",
      JSON.stringify({ config: descriptor, layers: {}, mediaType: MediaType.ociManifest }),
    ],
  ])("refuse %s", (_, text) => {
    expect(() => parseManifest(Buffer.from(text), undefined, "x")).toThrow(
      expect.objectContaining({ code: "protocol" }),
    );
  });

  it("refuse content that says it is something else than what it is served as", () => {
    expect(() =>
      parseManifest(
        bytes({ mediaType: MediaType.dockerManifest, config: descriptor, layers: [] }),
        MediaType.ociManifest,
        "x",
      ),
    ).toThrow(/served as/);
  });

  it("refuse what is too large", () => {
    expect(() => parseManifest(Buffer.alloc(4 * 1024 * 1024 + 1, 0x20), undefined, "x")).toThrow(/at most/);
  });

  it("keep of a descriptor only what the specification names", () => {
    expect(
      parseDescriptor(
        { ...descriptor, __proto__: { x: 1 }, other: 1, urls: [1], annotations: { a: "b" } },
        "x",
      ),
    ).toEqual({
      ...descriptor,
      annotations: { a: "b" },
    });
  });
});

describe("canonical JSON", () => {
  it("is the same for the same value", () => {
    expect(canonicalJson({ b: 1, a: [{ d: undefined, c: null }], é: "\n" })).toBe(
      '{"a":[{"c":null}],"b":1,"é":"\\n"}',
    );
  });
});
