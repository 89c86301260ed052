import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cli } from "../support/cli.ts";
import { Scratch } from "../support/scratch.ts";

const POD =
  "# keep me\napiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec:\n  containers:\n  - { name: a, image: 'reg.site/x:1' } # and me\n  - { name: b, image: busybox }\n";
const MAYBE =
  "---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: c }\ndata: { path: quay.io/org/thing }\n";

describe("airgap images list", () => {
  test("prints kubeadm's lines on stdout, notes on stderr", async () => {
    const { code, stdout, stderr } = await cli([
      "images",
      "list",
      "--kubernetes-version",
      "v1.28",
      "--image-repository",
      "r.site/k",
    ]);
    expect([code, stdout]).toEqual([
      0,
      "r.site/k/kube-apiserver:v1.28.15\nr.site/k/kube-controller-manager:v1.28.15\nr.site/k/kube-scheduler:v1.28.15\nr.site/k/kube-proxy:v1.28.15\nr.site/k/pause:3.9\nr.site/k/etcd:3.5.15-0\nr.site/k/coredns:v1.10.1\n",
    ]);
    expect(stderr).toContain("v1.28.15");
  });

  test("what is unknown tells what to do", async () => {
    const { code, stdout, stderr } = await cli(["images", "list", "--kubernetes-version", "v1.99.0"]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("kubeadm config images list --kubernetes-version v1.99.0");
  });

  test("--config", async () => {
    using scratch = new Scratch();
    const file = scratch.write(
      "k.yaml",
      "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nkubernetesVersion: v1.28.2\netcd: { external: {} }\n",
    );
    expect((await cli(["images", "list", "--config", file])).stdout).not.toContain("etcd");
  });
});

describe("airgap images find", () => {
  test("prints what is carried, sorted, and tells the rest on stderr", async () => {
    using scratch = new Scratch();
    const file = scratch.write("a.yaml", POD + MAYBE);
    const { code, stdout, stderr } = await cli(["images", "find", file]);
    expect([code, stdout]).toEqual([0, "docker.io/library/busybox:latest\nreg.site/x:1\n"]);
    expect(stderr).toContain("quay.io/org/thing:latest");
  });

  test("--json gives where, how and how sure", async () => {
    using scratch = new Scratch();
    const file = scratch.write("a.yaml", POD + MAYBE);
    const result = JSON.parse((await cli(["images", "find", file, "--json"])).stdout);
    expect(result.images[1]).toMatchObject({
      reference: "reg.site/x:1",
      confidence: "certain",
      places: [
        {
          file,
          line: 7,
          object: "Pod/p",
          path: "spec.containers[0].image",
          how: "container",
          written: "reg.site/x:1",
        },
      ],
    });
    expect(result.possible).toHaveLength(1);
  });

  test.each([
    ["bad YAML", "a: b\n c: d\n", /x\.yaml:1: is not YAML/],
    ["too large", `a: ${"x".repeat(33 << 20)}\n`, /33\.0 MiB; at most 32 MiB/],
  ])("%s is an error of the input", async (_, text, message) => {
    using scratch = new Scratch();
    const { code, stdout, stderr } = await cli(["images", "find", scratch.write("x.yaml", text)]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(message);
  });

  test("nothing named, or nothing there", async () => {
    expect((await cli(["images", "find"])).code).toBe(2);
    expect((await cli(["images", "find", "/nowhere.yaml"])).code).toBe(2);
  });
});

describe("airgap manifests rewrite", () => {
  test("prints the document with other names and nothing else changed", async () => {
    using scratch = new Scratch();
    const file = scratch.write("a.yaml", POD);
    const { code, stdout } = await cli([
      "manifests",
      "rewrite",
      file,
      "--target",
      "h.site/p",
      "--map",
      "docker.io/library/*=base/*",
    ]);
    expect([code, stdout]).toEqual([
      0,
      POD.replace("reg.site/x:1", "h.site/p/reg.site/x:1").replace("busybox", "h.site/p/base/busybox"),
    ]);
  });

  test("several files become one stream; digests come from the lock; runtimes get their files", async () => {
    using scratch = new Scratch();
    const digest = `sha256:${"a".repeat(64)}`;
    const root = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 7 };
    const lock = {
      apiVersion: "airgap/v1",
      kind: "Lock",
      name: "x",
      platforms: ["linux/amd64"],
      items: [{ kind: "image", name: "reg.site/x:1", root, origins: [], wantedBy: [] }],
      blobs: [{ digest, size: 7 }],
    };
    const files = [
      scratch.write("a.yaml", POD),
      scratch.write(
        "b.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: { name: q }\nspec: { containers: [{ name: a, image: 'reg.site/x:1' }] }",
      ),
    ];
    const args = [
      "--target",
      "h.site",
      "--digests",
      "--lock",
      scratch.write("l.json", JSON.stringify(lock)),
      "--runtime-config",
      scratch.path("etc"),
    ];
    const { code, stdout, stderr } = await cli(["manifests", "rewrite", ...files, ...args]);
    expect([code, stderr.includes("Docker has no mirrors for")]).toEqual([0, true]);
    expect(stdout.split("\n---\n")).toHaveLength(2);
    expect(stdout.match(new RegExp(`h\\.site/reg\\.site/x:1@${digest}`, "g"))).toHaveLength(2);
    expect(
      readFileSync(join(scratch.path("etc"), "containerd/certs.d/reg.site/hosts.toml"), "utf8"),
    ).toContain("https://h.site/v2/reg.site");
  });
});
