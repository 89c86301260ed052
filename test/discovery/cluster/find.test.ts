import { describe, expect, it } from "vitest";
import { compareWithBundle } from "../../../src/discovery/cluster/compare.ts";
import { findImagesInCluster, findImagesInKept } from "../../../src/discovery/cluster/find-images.ts";
import type { ClusterObject, Run } from "../../../src/discovery/cluster/kubectl.ts";
import type { ClusterFind } from "../../../src/discovery/cluster/reader.ts";
import type { ImageItem, Lock } from "../../../src/lock/lock.ts";
import type { Digest } from "../../../src/oci/digest.ts";
import { Scratch } from "../../support/scratch.ts";

const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}` as Digest;

/** Answers as kubectl does, from objects by kind. */
const kubectl =
  (objects: Record<string, ClusterObject[] | string>, kinds = Object.keys(objects)): Run =>
  async (command, args) => {
    expect(command).toBe("kubectl");
    const answer = (stdout: string, stderr = "", code = 0) => ({ code, stdout, stderr });
    if (args.includes("api-resources")) return answer(`${kinds.join("\n")}\n`);
    const found = objects[args[args.indexOf("get") + 1] ?? ""];
    if (typeof found === "string") return answer("", found, 1);
    return answer(JSON.stringify({ apiVersion: "v1", kind: "List", items: found ?? [] }));
  };

async function find(objects: Record<string, ClusterObject[] | string>, more: { lock?: Lock } = {}) {
  let complete = true;
  const found = await findImagesInCluster({
    run: kubectl(objects),
    emit: () => {},
    incomplete: () => {
      complete = false;
    },
    ...more,
  });
  return { ...found, complete };
}

const template = (image: string, more: object = {}) => ({
  spec: { containers: [{ name: "c", image, ...more }] },
});
const named = (namespace: string, name: string, owner?: string) => ({
  namespace,
  name,
  ...(owner ? { ownerReferences: [{ controller: true, kind: owner, name: "x" }] } : {}),
});

/** A pod of a deployment, as kubelet reports it with containerd. */
const pod = (image: string, imageID: string, owner: string | undefined = "ReplicaSet"): ClusterObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: named("shop", "web-1", owner),
  spec: { containers: [{ name: "web", image }], initContainers: [{ name: "wait", image: "busybox:1.36" }] },
  status: {
    containerStatuses: [{ name: "web", image, imageID }],
    initContainerStatuses: [{ name: "wait", imageID: `docker-pullable://busybox@${digest("b")}` }],
  },
});

describe("images find --cluster", () => {
  it("names what runs by reference and digest, with its namespace", async () => {
    const { images, complete } = await find({
      pods: [pod("nginx:1.27", `docker.io/library/nginx@${digest("a")}`)],
    });
    expect(complete).toBe(true);
    expect(images.map(({ reference, digests }) => [reference, digests])).toEqual([
      ["docker.io/library/busybox:1.36", [digest("b")]],
      ["docker.io/library/nginx:1.27", [digest("a")]],
    ]);
    expect(images[1]?.places).toMatchObject([
      { object: "shop/Pod/web-1", path: "spec.containers[0].image", confidence: "certain" },
    ]);
  });

  it("takes the digest of a configuration, or none, for no digest", async () => {
    for (const imageID of [digest("c"), `docker://${digest("c")}`, ""]) {
      const { images } = await find({ pods: [pod("nginx:1.27", imageID)] });
      expect(images.find(({ reference }) => reference.includes("nginx"))?.digests).toEqual([]);
    }
  });

  it("reads ephemeral containers and static pods", async () => {
    const own = pod("nginx:1.27", "", "Node");
    (own["spec"] as ClusterObject)["ephemeralContainers"] = [{ name: "debug", image: "alpine:3.20" }];
    (own["status"] as ClusterObject)["ephemeralContainerStatuses"] = [
      { name: "debug", imageID: `alpine@${digest("e")}` },
    ];
    const { images } = await find({ pods: [own] });
    expect(images.find(({ reference }) => reference === "docker.io/library/alpine:3.20")?.digests).toEqual([
      digest("e"),
    ]);
  });

  it("reads templates that have no pod now, and leaves out what an update replaced", async () => {
    const { images } = await find({
      "cronjobs.batch": [
        {
          apiVersion: "batch/v1",
          kind: "CronJob",
          metadata: named("shop", "nightly"),
          spec: { suspend: true, jobTemplate: { spec: { template: template("dump:3") } } },
        },
      ],
      "deployments.apps": [
        {
          apiVersion: "apps/v1",
          kind: "Deployment",
          metadata: named("shop", "web"),
          spec: { replicas: 0, template: template("web:2") },
        },
      ],
      "replicasets.apps": [
        {
          apiVersion: "apps/v1",
          kind: "ReplicaSet",
          metadata: named("shop", "web-old", "Deployment"),
          spec: { replicas: 0, template: template("web:1") },
        },
        {
          apiVersion: "apps/v1",
          kind: "ReplicaSet",
          metadata: named("shop", "alone"),
          spec: { replicas: 0, template: template("alone:1") },
        },
      ],
    });
    expect(images.map(({ reference }) => reference)).toEqual([
      "docker.io/library/alone:1",
      "docker.io/library/dump:3",
      "docker.io/library/web:2",
    ]);
  });

  it("reads custom resources and the settings of operators, and names kinds that it does not know", async () => {
    const { images, warnings } = await find({
      "prometheuses.monitoring.coreos.com": [
        {
          apiVersion: "monitoring.coreos.com/v1",
          kind: "Prometheus",
          metadata: named("mon", "k8s"),
          spec: { image: "quay.io/prometheus/prometheus:v2.54.1" },
        },
      ],
      "widgets.example.org": [
        { apiVersion: "example.org/v1", kind: "Widget", metadata: named("shop", "w"), spec: { size: 3 } },
      ],
      "deployments.apps": [
        {
          apiVersion: "apps/v1",
          kind: "Deployment",
          metadata: named("op", "operator"),
          spec: {
            template: template("ghcr.io/acme/operator:v1.2.0", {
              env: [{ name: "RELATED_IMAGE_AGENT", value: "ghcr.io/acme/agent:v1.2.0" }],
            }),
          },
        },
      ],
      configmaps: [{ apiVersion: "v1", kind: "ConfigMap", data: { image: "not.asked/for:1" } }],
    });
    expect(images.map(({ reference }) => reference)).toEqual([
      "ghcr.io/acme/agent:v1.2.0",
      "ghcr.io/acme/operator:v1.2.0",
      "quay.io/prometheus/prometheus:v2.54.1",
    ]);
    expect(warnings.join()).toContain("Widget (example.org)");
  });

  it("goes on without a kind that may not be listed, and says so", async () => {
    const { images, warnings, complete } = await find({
      pods: [pod("nginx:1.27", "")],
      "cronjobs.batch": 'Error from server (Forbidden): cronjobs.batch is forbidden: User "ci" cannot list',
    });
    expect(images).toHaveLength(2);
    expect(complete).toBe(false);
    expect(warnings[0]).toContain(
      "cannot list cronjobs.batch, so its images are missing: kubectl: Error from server (Forbidden)",
    );
  });

  it("ends when the cluster gives no answer, without kubectl, and for answers that are no JSON or nest without end", async () => {
    const options = { emit: () => {}, incomplete: () => {} };
    const down: Run = async () => ({
      code: 1,
      stdout: "",
      stderr: "E1130 …\nThe connection to the server 10.0.0.1:6443 was refused",
    });
    await expect(findImagesInCluster({ ...options, run: down })).rejects.toMatchObject({
      code: "refused",
      message: "kubectl: The connection to the server 10.0.0.1:6443 was refused",
    });
    const none: Run = () => Promise.reject(Object.assign(new Error("spawn kubectl"), { code: "ENOENT" }));
    await expect(findImagesInCluster({ ...options, run: none })).rejects.toMatchObject({
      code: "environment",
    });
    const bad =
      (stdout: string): Run =>
      async (_, args) => ({
        code: 0,
        stdout: args.includes("api-resources") ? "pods\n" : stdout,
        stderr: "",
      });
    for (const text of ["<html>", `{"items":[${'{"a":'.repeat(300)}1${"}".repeat(300)}]}`]) {
      const { warnings } = await findImagesInCluster({ ...options, run: bad(text) });
      expect(warnings[0]).toContain("cannot list pods");
    }
  });
});

describe("lists that were kept", () => {
  const kept = async (...texts: unknown[]) => {
    using scratch = new Scratch();
    const paths = texts.map((text, i) =>
      scratch.write(`${i}.json`, typeof text === "string" ? text : JSON.stringify(text)),
    );
    return await findImagesInKept({
      paths,
      stdin: async () => Buffer.from(JSON.stringify({ kind: "List", items: [] })),
      incomplete: () => {},
      lock: { items: [] } as unknown as Lock,
    });
  };

  it("say the same as the cluster does: with namespaces, digests, and without what an update replaced", async () => {
    const { images, comparison } = await kept(
      {
        kind: "List",
        items: [
          pod("nginx:1.27", `docker.io/library/nginx@${digest("a")}`),
          {
            apiVersion: "apps/v1",
            kind: "ReplicaSet",
            metadata: named("shop", "web-old", "Deployment"),
            spec: { template: template("web:1") },
          },
          {
            apiVersion: "v1",
            kind: "ConfigMap",
            metadata: named("shop", "c"),
            data: { image: "not.asked/for:1" },
          },
          { apiVersion: "v1", kind: "Node", status: { images: [{ names: ["left.over/from:1"] }] } },
        ],
      },
      {
        apiVersion: "monitoring.coreos.com/v1",
        kind: "Prometheus",
        metadata: named("mon", "k8s"),
        spec: { image: "quay.io/prometheus/prometheus:v2.54.1" },
      },
    );
    expect(images.map(({ reference, digests }) => [reference, digests])).toEqual([
      ["docker.io/library/busybox:1.36", [digest("b")]],
      ["docker.io/library/nginx:1.27", [digest("a")]],
      ["quay.io/prometheus/prometheus:v2.54.1", []],
    ]);
    expect(images[1]?.places[0]?.object).toBe("shop/Pod/web-1");
    expect(comparison?.missing).toHaveLength(3);
  });

  it.each([
    ["no JSON", "not json", "is not what kubectl get -o json prints: it is not JSON"],
    ["a bare list", "[]", "is not what kubectl get -o json prints: it has no kind"],
    ["a list of nothing", '{"items":[]}', "is not what kubectl get -o json prints: it has no kind"],
    ["too deep", `{"kind":"Pod","spec":${'{"a":'.repeat(300)}1${"}".repeat(300)}}`, "nests deeper"],
  ])("that are none are refused: %s", async (_, text, why) => {
    await expect(kept(text)).rejects.toThrow(why);
    await expect(
      findImagesInKept({ paths: ["/no/such"], stdin: async () => Buffer.from(""), incomplete: () => {} }),
    ).rejects.toThrow("Cannot read /no/such");
  });
});

describe("a bundle beside a cluster", () => {
  const image = (name: string, root: string, original?: string): ImageItem =>
    ({
      kind: "image",
      name,
      root: { mediaType: "m", digest: digest(root), size: 1 },
      ...(original ? { original: { mediaType: "m", digest: digest(original), size: 1 } } : {}),
      origins: [],
      wantedBy: [],
    }) as ImageItem;
  const lock = {
    siteName: "harbor.site",
    kubeadm: { "v1.34.4": ["registry.k8s.io/pause:3.10.1"] },
    items: [
      image("docker.io/library/nginx:1.27", "1", "2"),
      image("harbor.site/shop/web:v2", "3"),
      image("quay.io/old/thing:v1", "4"),
      image("registry.k8s.io/coredns/coredns:v1.12.1", "5"),
      image("registry.k8s.io/pause:3.10.1", "6"),
    ],
  } as unknown as Lock;
  const used = (reference: string, ...digests: string[]): ClusterFind => ({
    reference,
    confidence: "certain",
    places: [],
    digests: digests.map(digest),
  });

  it("knows images by upstream name, by the site's layouts and by content", () => {
    expect(
      compareWithBundle(
        [
          used("docker.io/library/nginx:1.27", "2"),
          used("10.0.0.20/registry.k8s.io/coredns/coredns:v1.12.1", "5"),
          used("harbor.site/shop/web:v2"),
          used("elsewhere.example/copy/of-thing:v9", "4"),
        ],
        lock,
      ),
    ).toEqual({
      carried: [
        "docker.io/library/nginx:1.27",
        "10.0.0.20/registry.k8s.io/coredns/coredns:v1.12.1",
        "harbor.site/shop/web:v2",
        "elsewhere.example/copy/of-thing:v9",
      ],
      missing: [],
      differs: [],
      unused: [],
    });
    expect(compareWithBundle([used("harbor.site/coredns/coredns:v1.12.1")], lock).carried).toHaveLength(1);
  });

  it("knows content that a template names by its digest, with a tag or without", () => {
    const found = compareWithBundle(
      [
        used(`docker.io/library/nginx:1.27@${digest("2")}`),
        used(`mirror.example/any/name@${digest("4")}`),
        used(`harbor.site/shop/web:v2@${digest("a")}`),
        used("lb.site/by-rule:1"),
      ],
      lock,
      (name) => (name.startsWith("registry.k8s.io/coredns") ? ["lb.site/by-rule:1"] : []),
    );
    expect(found).toMatchObject({
      carried: [
        `docker.io/library/nginx:1.27@${digest("2")}`,
        `mirror.example/any/name@${digest("4")}`,
        "lb.site/by-rule:1",
      ],
      missing: [],
      differs: [{ reference: `harbor.site/shop/web:v2@${digest("a")}`, runs: [digest("a")] }],
      unused: [],
    });
  });

  it("names what is missing, what has another content and what nobody uses; an equal path elsewhere is another image", () => {
    expect(
      compareWithBundle(
        [
          used("docker.io/library/nginx:1.27", "a"),
          used("ghcr.io/coredns/coredns:v1.12.1", "b"),
          used("redis:7"),
        ],
        lock,
      ),
    ).toEqual({
      carried: [],
      missing: ["ghcr.io/coredns/coredns:v1.12.1", "redis:7"],
      differs: [{ reference: "docker.io/library/nginx:1.27", runs: [digest("a")], carries: digest("1") }],
      unused: ["harbor.site/shop/web:v2", "quay.io/old/thing:v1", "registry.k8s.io/coredns/coredns:v1.12.1"],
    });
  });
});
