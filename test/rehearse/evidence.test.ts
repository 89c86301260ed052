import { describe, expect, it } from "vitest";
import { parseCluster } from "../../src/cluster/read.ts";
import type { Lock } from "../../src/lock/lock.ts";
import { type Holdings, holdingsOf, prove, type Seen, waitingImages } from "../../src/rehearse/evidence.ts";
import type { RunningHost } from "../../src/rehearse/hosts.ts";
import type { Engine } from "../../src/transport/engine.ts";

const cluster = parseCluster(
  `apiVersion: airgap/v1
kind: Cluster
name: site
kubernetes: { version: v1.34.4 }
registry: { host: registry.site }
network: flannel
addons: [shop]
hosts:
  - { name: cp1, address: 10.0.0.1, roles: [control-plane, registry] }
  - { name: w1, address: 10.0.0.2, roles: [worker] }
`,
  "/site/cluster.yaml",
);
const digest = (n: number) => `sha256:${String(n).repeat(64)}` as const;
const image = (name: string, n: number) => ({ kind: "image", name, root: { digest: digest(n) } });
const lock = {
  items: [
    image("registry.k8s.io/pause:3.10", 1),
    image("docker.io/library/idle:1", 2),
    { kind: "packages", name: "d12", facts: { packages: [{ id: "runc=1.1" }, { id: "kubelet=1.34.4" }] } },
  ],
  blobs: [{ digest: digest(1) }, { digest: digest(2) }],
} as unknown as Lock;
const has = (packages: string[], images: Holdings["images"] = []): Holdings => ({
  packages: new Set(packages),
  images,
  volumeBytes: 0,
});
const pause = { name: "registry.k8s.io/pause:3.10", digest: digest(1) };
const seen = (w1: Holdings): Seen => ({
  before: new Map([
    ["cp1", has(["bash=5"])],
    ["w1", has(["bash=5"])],
  ]),
  after: new Map([
    ["cp1", has(["bash=5", "runc=1.1"], [pause])],
    ["w1", w1],
  ]),
});
const step = (
  host: string,
  stage: string,
  id: string,
  state: "done" | "already" | "failed" | "skipped" = "done",
) => ({
  ...{ host, stage, step: id, title: `${id} of ${stage}`, state },
});
const steps = [
  ...["nodes", "system-pods", "node-port"].map((id) => step("cp1", "verify", id)),
  ...["cp1", "w1"].map((host) => step(host, "verify", "pod-network")),
  step("cp1", "addons", "shop"),
];
const told = (all: ReturnType<typeof prove>): string[] => all.map(({ what, good }) => `${what} ${good}`);

describe("what a rehearsal proves", () => {
  it("is that images and packages are of the bundle, and that steps of the last stages were good", () => {
    const idle = { name: "docker.io/library/idle:1", digest: digest(2) };
    const proved = prove(cluster, [lock], steps, seen(has(["bash=5", "kubelet=1.34.4"], [pause, idle])), {
      ...{ host: "w1", pulled: [idle.name], failed: [], passedOver: [] },
    });
    expect(told(proved)).toEqual([
      "images true",
      "packages true",
      "nodes true",
      "system pods true",
      "DNS and pod to pod true",
      "node ports true",
      "add-ons true",
    ]);
    expect(proved[0]?.detail).toContain(
      "No pod had wanted, and w1 was told to pull: docker.io/library/idle:1",
    );
    expect(proved[1]?.detail).toMatch(/^2 packages on 2 hosts/);
  });

  it("names an image and a package that are not of the bundle", () => {
    const strange = has(["bash=5", "curl=7"], [pause, { name: "docker.io/evil:1", digest: digest(9) }]);
    const [images, packages] = prove(cluster, [lock], steps, seen(strange));
    expect([images?.good, packages?.good]).toEqual([false, false]);
    expect(images?.detail).toContain(`docker.io/evil:1 (${digest(9)}) on w1`);
    expect(packages?.detail).toContain("curl=7 on w1");
  });

  it("is nothing for a cluster without images, and no add-ons that did not run", () => {
    const bad = steps.map((each) =>
      each.stage === "addons" || each.host === "w1" ? { ...each, state: "skipped" as const } : each,
    );
    const proved = prove(cluster, [lock], bad, { before: new Map(), after: new Map() });
    expect(proved.filter(({ good }) => !good).map(({ what, detail }) => `${what}: ${detail}`)).toEqual([
      expect.stringMatching(/^images: .*; no node has an image$/),
      "DNS and pod to pod: not shown on w1",
      "add-ons: not applied: shop of addons",
    ]);
  });
});

/** An engine whose containers answer everything with this. */
const answering = (code: number, stdout: string): Engine =>
  ({ exec: async () => ({ code, stdout, stderr: "" }) }) as unknown as Engine;
const host = { id: "1", name: "cp1" } as RunningHost;

describe("what is read of hosts", () => {
  it("are packages, images by their name, and the size of the volume", async () => {
    const printed = [
      "package libc6=2.36-9",
      `image registry.k8s.io/pause:3.10 ${digest(1)}`,
      `image ${digest(1)} ${digest(1)}`,
      "volume 2048",
    ].join("\n");
    expect(await holdingsOf(answering(0, printed), host)).toEqual({
      packages: new Set(["libc6=2.36-9"]),
      images: [pause],
      volumeBytes: 2 ** 21,
    });
  });

  it("are images that pods wait for, once each, and nothing where no cluster answers", async () => {
    const waiting = (reason: string, message?: string) => [
      { image: "x.example/a:1", state: { waiting: { reason, message } } },
    ];
    const pods = {
      items: [
        {
          metadata: { namespace: "shop", name: "a-1" },
          status: { containerStatuses: waiting("ImagePullBackOff", "not found") },
        },
        {
          metadata: { namespace: "shop", name: "a-2" },
          status: { initContainerStatuses: waiting("ErrImagePull") },
        },
        {
          metadata: { namespace: "shop", name: "b" },
          status: { containerStatuses: waiting("CrashLoopBackOff") },
        },
      ],
    };
    expect(await waitingImages(answering(0, JSON.stringify(pods)), host)).toEqual([
      { image: "x.example/a:1", pod: "shop/a-2", why: "ErrImagePull" },
    ]);
    expect(await waitingImages(answering(1, ""), host)).toEqual([]);
    expect(await waitingImages(answering(0, "Error"), host)).toEqual([]);
  });
});
