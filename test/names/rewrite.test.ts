import { describe, expect, test } from "vitest";
import { locationsIn } from "../../src/discovery/manifests/applied.ts";
import { type LandingRules, land } from "../../src/names/landing.ts";
import { rewriteText } from "../../src/names/rewrite.ts";
import { containerdFiles, dockerFiles } from "../../src/names/runtime-config.ts";

const rules: LandingRules = { target: { host: "h.site:8443", prefix: "" }, layout: "host", map: [] };
const digest = `sha256:${"d".repeat(64)}` as const;

function rewrite(text: string, more: Partial<LandingRules> = {}, digests = false) {
  const found = locationsIn([{ title: "x.yaml", text }], () => true);
  const done = rewriteText(text, found.locations["x.yaml"] ?? [], {
    land: (reference) => land(reference, { ...rules, ...more }),
    ...(digests ? { digestOf: () => digest } : {}),
  });
  return { ...done, left: [...found.fixed, ...done.left] };
}

const head = "apiVersion: v1\nkind: Pod\nmetadata: { name: p }\n";

describe("documents keep every byte that is no image's name", () => {
  test("comments, quotes, odd spacing, CRLF, anchors, several documents", () => {
    const text = `# reg.site/x:1 stays in a comment\r\n---\r\n${head}spec:\r\n    containers:   # the one\r\n    -   name:  a\r\n        image:   "reg.site/x:1"    # why: reg.site/x:1\r\n    -   {image: 'busybox' , name: b}\r\n---\r\nimages: &i [ ]\r\n`;
    const done = rewrite(text);
    expect(done.text).toBe(
      text
        .replace('"reg.site/x:1"', '"h.site:8443/reg.site/x:1"')
        .replace("'busybox'", "'h.site:8443/docker.io/library/busybox'"),
    );
    expect(done.changes.map(({ from, to }) => [from, to])).toEqual([
      ["reg.site/x:1", "h.site:8443/reg.site/x:1"],
      ["docker.io/library/busybox:latest", "h.site:8443/docker.io/library/busybox"],
    ]);
  });

  test("the same text twice in one scalar, and as part of another", () => {
    const text = `${head}spec:\n  containers:\n  - name: a\n    image: a.site/x:1\n    args: ["--image=a.site/x:1 --other-image=a.site/x:10", "a.site/x:1"]\n`;
    expect(rewrite(text).text).toBe(text.replaceAll("a.site/x:1", "h.site:8443/a.site/x:1"));
  });
});

describe("every kind of place that find knows", () => {
  test.each([
    ["args: ['--solver-image=quay.io/s:1']", "args: ['--solver-image=h.site:8443/quay.io/s:1']"],
    ["args: [--x-image, org/s:1]", "args: [--x-image, h.site:8443/docker.io/org/s:1]"],
    [
      "env: [{ name: X_IMAGE, value: org/s:1 }]",
      "env: [{ name: X_IMAGE, value: h.site:8443/docker.io/org/s:1 }]",
    ],
    [
      "env:\n  - name: IMAGES\n    value: |\n      1=quay.io/s:1\n      2=quay.io/s:2",
      "env:\n  - name: IMAGES\n    value: |\n      1=h.site:8443/quay.io/s:1\n      2=h.site:8443/quay.io/s:2",
    ],
    ["url: docker://quay.io/s:1", "url: docker://h.site:8443/quay.io/s:1"],
    ['json: \'{"image":"quay.io/s:1"}\'', 'json: \'{"image":"h.site:8443/quay.io/s:1"}\''],
    ['json: "{\\"image\\":\\"quay.io/s:1\\"}"', 'json: "{\\"image\\":\\"h.site:8443/quay.io/s:1\\"}"'],
    ["image: { repository: org/s, tag: v1 }", "image: { repository: h.site:8443/docker.io/org/s, tag: v1 }"],
    [
      "image: { registry: quay.io, repository: org/s, tag: v1 }",
      "image: { registry: h.site:8443/quay.io, repository: org/s, tag: v1 }",
    ],
    [
      "driver: { repository: quay.io/org, image: s, version: '1.2' }",
      "driver: { repository: h.site:8443/quay.io/org, image: s, version: '1.2' }",
    ],
    [
      "hub: quay.io/mesh\n  tag: '1'\n  a: { image: one }\n  b: { image: two }",
      "hub: h.site:8443/quay.io/mesh\n  tag: '1'\n  a: { image: one }\n  b: { image: two }",
    ],
  ])("%s", (before, after) => {
    const text = (fields: string): string =>
      `apiVersion: example.org/v1\nkind: Thing\nmetadata: { name: t }\nspec:\n  ${fields}\n`;
    expect(rewrite(text(before)).text).toBe(text(after));
  });

  test("base64 in a Secret is packed again", () => {
    const pack = (text: string): string => Buffer.from(text).toString("base64");
    const text = (image: string): string =>
      `apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ndata:\n  c.yaml: ${pack(`# keep\nsidecar: { image: "${image}" }\n`)} # end\n`;
    expect(rewrite(text("org/s:1")).text).toBe(text("h.site:8443/docker.io/org/s:1"));
  });

  test("what the source spells with escapes is said to be left", () => {
    const text = `${head}spec: { containers: [{ name: a, image: "reg.site\\u002Fx:1" }] }\n`;
    expect(rewrite(text)).toMatchObject({ text, left: ["reg.site/x:1"] });
  });
});

describe("rules", () => {
  const text = (image: string): string => `${head}spec: { containers: [{ name: a, image: ${image} }] }\n`;

  test("layouts, the site's own name, digests on wish", () => {
    expect(
      rewrite(text("registry.k8s.io/coredns/coredns:v1"), {
        layout: "flat",
        target: { host: "h", prefix: "p" },
      }).text,
    ).toBe(text("h/p/coredns:v1"));
    expect(rewrite(text("registry.k8s.io/coredns/coredns:v1"), { layout: "path" }).text).toBe(
      text("h.site:8443/coredns/coredns:v1"),
    );
    expect(rewrite(text("own.site/app:1"), { siteName: "own.site" }).text).toBe(text("h.site:8443/app:1"));
    expect(rewrite(text("reg.site/x:1"), {}, true).text).toBe(text(`h.site:8443/reg.site/x:1@${digest}`));
  });

  test("a digest that is written stays, and goes into the field that it has", () => {
    const pinned = `reg.site/x@sha256:${"e".repeat(64)}`;
    expect(rewrite(text(pinned), {}, true).text).toBe(text(`h.site:8443/${pinned}`));
    const split = (tag: string): string =>
      `apiVersion: example.org/v1\nkind: Thing\nmetadata: { name: t }\nspec: { image: { repository: org/s, tag: ${tag} } }\n`;
    expect(rewrite(split("v1"), {}, true).text).toBe(
      split(`v1@${digest}`).replace("org/s", "h.site:8443/docker.io/org/s"),
    );
  });

  test("a registry that images of several layouts share is changed so that all fit", () => {
    const values = (registry: string, a: string, b: string): string =>
      `apiVersion: example.org/v1\nkind: Thing\nmetadata: { name: t }\nspec:\n  imageRegistry: ${registry}\n  a: { image: ${a}, tag: v1 }\n  b: { image: ${b}, tag: v2 }\n`;
    expect(rewrite(values("quay.io", "org/a", "other/b"), { layout: "flat" }).text).toBe(
      values("h.site:8443", "a", "b"),
    );
  });

  test("a text that is not the one that was read is refused", () => {
    expect(() =>
      rewriteText("abc def", [{ reference: "reg.site/x:1", whole: true, names: [{ start: 2, end: 6 }] }], {
        land: (reference) => reference,
      }),
    ).toThrow(/not the one that was read/);
  });
});

describe("runtimes that need no rewriting", () => {
  const access = { scheme: "https" as const, ca: "PEM\n" };

  test("containerd gets a hosts.toml for each registry, that never leads upstream", () => {
    const files = containerdFiles(
      ["registry.k8s.io", "localhost:5000"],
      { ...rules, target: { host: "h.site:8443", prefix: "m" } },
      access,
    );
    expect(Object.keys(files).sort()).toEqual([
      "containerd/certs.d/h.site_8443_/ca.crt",
      "containerd/certs.d/h.site_8443_/hosts.toml",
      "containerd/certs.d/localhost_5000_/hosts.toml",
      "containerd/certs.d/registry.k8s.io/hosts.toml",
    ]);
    const toml = files["containerd/certs.d/registry.k8s.io/hosts.toml"];
    expect(toml).toContain('server = "https://h.site:8443"');
    expect(toml).toContain('[host."https://h.site:8443/v2/m/registry.k8s.io"]');
    expect(toml).toContain("override_path = true");
    expect(files["containerd/certs.d/localhost_5000_/hosts.toml"]).toContain("/v2/m/localhost-5000");
  });

  test("what a mirror can't do is refused with advice", () => {
    expect(() => containerdFiles(["quay.io"], { ...rules, layout: "flat" }, access)).toThrow(
      /rewrite the documents/,
    );
  });

  test("docker has mirrors for docker.io only, and only at a registry's root", () => {
    const path = { ...rules, layout: "path" as const };
    expect(dockerFiles(["docker.io", "quay.io"], path, access)).toEqual({
      files: {
        "docker/daemon.json": '{\n  "registry-mirrors": [\n    "https://h.site:8443"\n  ]\n}\n',
        "docker/certs.d/h.site:8443/ca.crt": "PEM\n",
      },
      unserved: ["quay.io"],
    });
    expect(dockerFiles(["docker.io"], rules, { scheme: "http", insecure: true })).toEqual({
      files: { "docker/daemon.json": '{\n  "insecure-registries": [\n    "h.site:8443"\n  ]\n}\n' },
      unserved: ["docker.io"],
    });
  });
});
