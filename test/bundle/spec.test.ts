import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { AirgapError } from "../../src/errors.ts";
import { bundleSchema, parseBundleSpec } from "../../src/lock/spec.ts";

const head = "apiVersion: airgap/v1\nkind: Bundle\nname: site\n";
const read = (lines: string) => parseBundleSpec(head + lines, "site.yaml");
const problems = (text: string): string => {
  try {
    parseBundleSpec(text, "site.yaml");
  } catch (error) {
    if (error instanceof AirgapError && error.code === "spec" && error.exit === 2) return error.message;
    throw error;
  }
  return "";
};

/** A spec with every key. */
const WHOLE = `
platforms: [linux/amd64]
siteName: kubernetes-register.superopsmsb.com
sources:
  registry.k8s.io: { mirrors: ["registry.aliyuncs.com/google_containers/*", registry.k8s.io] }
  localhost:5000: { insecure: true }
kubernetes:
  - version: v1.28.2
    config: kubeadm.yaml
images:
  - docker.io/library/nginx:1.27
  - ref: kubernetes-register.superopsmsb.com/superopsmsb/nginx_web:v0.1
    from: docker-daemon:nginx_web:v0.1
    platforms: all
    foreignLayers: false
manifests:
  - kube-flannel.yml
  - path: https://example.org/kube-flannel.yml
    as: flannel
    addImages: [quay.io/x/y:v1]
    acceptImages: ["quay.io/*"]
    ignoreImages: ["*/demo-*"]
charts:
  - chart: ./charts/ingress-nginx
    as: ingress
    version: 4.11.3
    values: [values.yaml]
packages:
  - name: el9
    format: rpm
    for: [rocky-9, rhel-9]
    arch: x86_64
    repositories: [{ id: baseos, baseurl: "https://example.org/", gpgkey: ["https://example.org/KEY"], priority: 99, moduleHotfixes: false, clientCert: , clientKey: }]
    install:
      all: [conntrack-tools, socat, chrony]
      control-plane: [kubelet-1.28.2, kubeadm-1.28.2]
    installed: hosts/el9.rpms
    unsigned: ["kubelet-*"]
    recommends: false
  - name: debian12
    format: deb
    for: [debian-12]
    arch: amd64
    repositories:
      - { id: main, uris: "https://example.org/debian", suites: [bookworm, bookworm-updates], components: [main], signedBy: keys/debian.gpg }
      - { id: k8s, uris: "https://example.org/core:/stable:/v1.28/deb/", suites: ["/"], signedBy: keys/k8s.asc }
    install: [keepalived, haproxy, "containerd=1.6.20~ds1-1+deb12u1"]
repositoryKey: keys/site.asc
files:
  - url: https://example.org/cri-dockerd.tgz
    sha256: ${"ab".repeat(32)}
    as: cri-dockerd.tgz
  - self: true
`;

describe("the bundle spec", () => {
  it("takes everything that is promised", () => {
    const spec = read(WHOLE);
    expect(spec.images).toEqual([
      { ref: "docker.io/library/nginx:1.27" },
      {
        ref: "kubernetes-register.superopsmsb.com/superopsmsb/nginx_web:v0.1",
        from: "docker-daemon:nginx_web:v0.1",
        platforms: "all",
        foreignLayers: false,
      },
    ]);
    expect(spec.manifests[0]).toEqual({ path: "kube-flannel.yml" });
    expect(spec.packages[0]?.repositories[0]).not.toHaveProperty("clientCert");
    expect(spec).toMatchObject({ name: "site", platforms: ["linux/amd64"], repositoryKey: "keys/site.asc" });
  });

  it("fills in what is left out", () => {
    expect(read("")).toEqual({
      attachments: "all",
      apiVersion: "airgap/v1",
      kind: "Bundle",
      name: "site",
      platforms: ["linux/amd64"],
      sources: {},
      kubernetes: [],
      images: [],
      manifests: [],
      charts: [],
      packages: [],
      files: [],
    });
  });

  it("names line, column and the nearest known key", () => {
    expect(problems(`${head}imagez: []`)).toBe("site.yaml:4:1: unknown key 'imagez'; did you mean 'images'?");
    expect(problems(`${head}images:\n  - ref: a\n    form: oci:x`)).toContain(
      "site.yaml:6:5: images[0]: unknown key 'form'; did you mean 'from'?",
    );
    expect(problems("kind: Bundle\nname: site")).toContain("site.yaml:1:1: 'apiVersion' is missing");
  });

  it("says all that is wrong at once, in the order of the file", () => {
    const lines = problems(`${head}platforms: [linux]\nimages: [3, "a/Case"]\nfiles: yes`).split("\n");
    expect(lines.map((line) => line.split(" ")[0])).toEqual([
      "site.yaml:4:13:",
      "site.yaml:5:10:",
      "site.yaml:5:13:",
      "site.yaml:6:8:",
    ]);
  });

  it.each([
    ["a duplicate key", `${head}name: other`, "site.yaml:4:1"],
    ["YAML that is none", `${head}images: [`, "site.yaml:4"],
    ["an empty file", "", "is empty"],
    ["two documents", `${head}---\n${head}`, "only one document"],
    ["a number where text belongs", `${head}charts: [{ chart: x, version: 1.2 }]`, "put it in quotes"],
    ["another kind", head.replace("Bundle", "Bundel"), "did you mean 'Bundle'?"],
    [
      "a file name that leaves its folder",
      `${head}files: [{ url: x, as: ../../etc/passwd }]`,
      "file name without '..'",
    ],
    [
      "a role that there is not",
      `${head}packages: [{ name: a, format: rpm, for: [x-1], arch: x, repositories: [{ id: a }], install: { master: [] } }]`,
      "is not a role",
    ],
    ["a short sha256", `${head}files: [{ url: x, sha256: abc }]`, "64 hexadecimal digits"],
    ["an unknown transport", `${head}images: [{ ref: a, from: "tar:x" }]`, "docker-daemon:NAME"],
  ])("refuses %s", (_, text, message) => {
    expect(problems(text)).toContain(message);
  });

  it("stands a billion laughs and a large file", () => {
    const laughs = `a0: &a0 [x]\n${Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}, *a${i}, *a${i}]`).join("\n")}\n`;
    expect(problems(head + laughs)).toContain("unknown key");
    expect(problems(`${head}${"# long\n".repeat(700_000)}`)).toContain("is larger than");
  });

  it("follows aliases", () => {
    expect(
      read("platforms: &p [linux/arm64]\nimages: [{ ref: a, platforms: *p }]").images[0]?.platforms,
    ).toEqual(["linux/arm64"]);
  });
});

describe("the JSON Schema", () => {
  const validate = new Ajv2020({ strict: false }).compile(bundleSchema.json());
  const accepts = (text: string): boolean => validate(parse(text));

  it("takes what the parser takes, and refuses what it refuses", () => {
    const bad = [
      "imagez: []",
      "platforms: linux",
      "images: [{ form: x }]",
      "kubernetes: [{ config: x }]",
      "charts: [{ chart: x, version: 1.2 }]",
      "files: [{ self: 3 }]",
      "manifests: [{ as: x }]",
    ];
    const good = [
      "",
      WHOLE,
      "platforms: all",
      "images: [a, { ref: b, platforms: exact }]",
      "files: [{ self: true }]",
      "manifests: [a, { path: b }]",
      "repositoryKey:",
    ];
    for (const lines of bad)
      expect([lines, accepts(head + lines), problems(head + lines) === ""]).toEqual([lines, false, false]);
    for (const lines of good)
      expect([lines, accepts(head + lines), problems(head + lines)]).toEqual([lines, true, ""]);
  });

  it("tells the defaults that the parser fills in", () => {
    const { properties } = bundleSchema.json() as { properties: Record<string, { default?: unknown }> };
    const told = Object.entries(properties).flatMap(([key, { default: value }]) =>
      value === undefined ? [] : [[key, value]],
    );
    expect(Object.fromEntries(told)).toMatchObject({ platforms: ["linux/amd64"], images: [], sources: {} });
    expect(parseBundleSpec(head, "site.yaml")).toMatchObject(Object.fromEntries(told));
  });

  it("is the one that is kept for editors", () => {
    const kept = JSON.parse(
      readFileSync(join(import.meta.dirname, "../../docs/bundle.schema.json"), "utf8"),
    ) as Record<string, unknown>;
    expect(kept).toMatchObject(bundleSchema.json());
  });
});
