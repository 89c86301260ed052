import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { makeContext } from "../../src/install/context.ts";
import { preflightFiles } from "../../src/install/preflight/files.ts";
import { formatFinding, preflight } from "../../src/install/preflight/preflight.ts";
import { isPatchOf } from "../../src/install/preflight/versions.ts";
import { cli } from "../support/cli.ts";
import { writeBundleFile } from "../support/install/bundle-file.ts";
import { clusterText, siteOf, type Wishes } from "../support/install/site.ts";
import { RAW } from "../support/install/systems.ts";
import { Scratch } from "../support/scratch.ts";

/** What the two files tell, with no host's facts. */
function found(wishes: Wishes, change: (input: ReturnType<typeof siteOf>) => void = () => {}): string[] {
  const input = { ...siteOf(wishes), facts: {} };
  change(input);
  const context = makeContext(input);
  return [...preflight(context), ...preflightFiles(context)].map(
    (finding) => `${finding.severity}: ${formatFinding(finding)}`,
  );
}

const HA = [
  { name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry"] },
  { name: "lb1", address: "10.0.0.18", roles: ["load-balancer"] },
];

describe("check finds from two files", () => {
  it("nothing where nothing is wrong", () => {
    expect(found({})).toEqual([]);
    expect(found({ os: "debian-12" })).toEqual([]);
  });

  const CASES: [string, Wishes, string[]][] = [
    [
      "a network that the bundle does not have",
      { cluster: { network: { name: "flanel" } } },
      ["error: bundle-manifests: network: site.tar has no manifests named flanel"],
    ],
    [
      "add-ons that the bundle does not have",
      { cluster: { addons: ["dashboard"] } },
      ["error: bundle-manifests: addons: site.tar has no manifests named dashboard"],
    ],
    [
      "missing images of kubeadm",
      { bundle: { without: ["registry.k8s.io/pause"] } },
      [
        "error: bundle-images: site.tar does not have registry.k8s.io/pause:3.9, which Kubernetes v1.28.2 needs",
      ],
    ],
    [
      "the tool that is not carried",
      { bundle: { tools: [] } },
      [
        "error: bundle-manifests: master1 serves the bundle and needs airgap itself, which site.tar does not carry",
      ],
    ],
    [
      "no packages at all",
      { bundle: { noPackages: true } },
      [
        "error: bundle-packages: site.tar has no package sets: the hosts would need kubelet, kubeadm and containerd already",
      ],
    ],
    [
      "another version of kubeadm, and a role without kubelet",
      {
        bundle: {
          packages: {
            all: ["containerd.io 1.7.27-3.1.el9"],
            "control-plane": ["=kubelet 1.28.20-1.1", "=kubeadm 1.28.20-1.1"],
          },
        },
      },
      [
        "error: kubernetes: for master1 (control-plane, registry) the set el9 has kubeadm 1.28.20-1.1, but the cluster file says v1.28.2",
        "error: bundle-packages: for node1 (worker) the set el9 has no kubelet and no kubeadm",
      ],
    ],
    [
      "a set without a runtime",
      { bundle: { packages: { all: ["=kubelet 1.28.2-1", "=kubeadm 1.28.2-1"] } } },
      [
        "error: containerd-version: for master1 (control-plane, registry) the set el9 has no containerd",
        "error: containerd-version: for node1 (worker) the set el9 has no containerd",
      ],
    ],
    [
      "Docker without cri-dockerd",
      { cluster: { runtime: "docker" } },
      [
        "error: bundle-packages: for master1 (control-plane, registry) the set el9 has no cri-dockerd, which Docker needs from Kubernetes 1.24 on",
        "error: bundle-packages: for node1 (worker) the set el9 has no cri-dockerd, which Docker needs from Kubernetes 1.24 on",
      ],
    ],
    [
      "load balancers without keepalived",
      { cluster: { hosts: HA, endpoint: { address: "10.0.0.200", loadBalancers: ["lb1"] } } },
      ["error: bundle-packages: for lb1 (load-balancer) the set el9 has no keepalived and no haproxy"],
    ],
    [
      "a system that is too old",
      { os: "centos-7.9", cluster: { kubernetes: { version: "v1.32.1" } } },
      [
        "warning: master1: registry-glibc: it serves the bundle, and airgap's own Node needs glibc 2.28: it cannot be centos-7",
        "error: kernel: for master1 (control-plane, registry) the set el7 is for centos-7, whose kernel 3.10 Kubernetes v1.32.1 refuses (oldest: 4.19)",
        "error: kernel: for node1 (worker) the set el7 is for centos-7, whose kernel 3.10 Kubernetes v1.32.1 refuses (oldest: 4.19)",
      ],
    ],
    [
      "images of another architecture",
      { bundle: { platforms: ["linux/arm64"] } },
      ["error: bundle-platform: the set el9 is for x86_64, but the images of site.tar are for linux/arm64"],
    ],
    [
      "an address in the range of pods",
      { cluster: { kubernetes: { version: "v1.28.2", podSubnet: "10.0.0.0/16" } } },
      [
        "error: subnets: master1: its address 10.0.0.12 is in the pods' range 10.0.0.0/16",
        "error: subnets: node1: its address 10.0.0.15 is in the pods' range 10.0.0.0/16",
      ],
    ],
    [
      "the archive of Harbor",
      {
        cluster: {
          registry: { host: "register.site.local", mode: "harbor" },
          repository: { host: "master1" },
        },
        bundle: { files: ["harbour"] },
      },
      [
        "error: bundle-manifests: registry.mode: harbor installs the file harbor of the bundle, which site.tar does not have",
      ],
    ],
  ];
  test.each(CASES)("%s", (_, wishes, expected) => {
    expect(found(wishes)).toEqual(expected);
  });

  it("a registry that is called otherwise than the bundle's own images", () => {
    const lines = found({}, ({ bundle }) => (bundle.lock.siteName = "register.other.local"));
    expect(lines).toEqual([
      "warning: registry-name: the bundle was built for the site register.other.local, but the cluster's registry is register.site.local",
    ]);
    const own = found({ bundle: { images: ["register.other.local/a/b:1"] } }, ({ bundle }) => {
      bundle.lock.siteName = "register.other.local";
    });
    expect(own.join()).toMatch(/^error: registry-name: register\.other\.local\/a\/b:1 of site\.tar/);
  });

  it("only a warning about a set that cannot make nodes, where another one can", () => {
    const lines = found({ on: { node1: "debian-12" } }, ({ bundle }) => {
      const [, second] = bundle.packageSets;
      if (second) second.facts.roles = {};
    });
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.every((line) => line.startsWith("warning: "))).toBe(true);
  });
});

test("a package's version is of a release, or of another one", () => {
  expect(isPatchOf("1.28.2-1.1", "v1.28.2")).toBe(true);
  expect(isPatchOf("0:1.28.2", "v1.28.2")).toBe(true);
  expect(isPatchOf("1.28.20-1.1", "v1.28.2")).toBe(false);
});

describe("airgap check", () => {
  async function site(scratch: Scratch, wishes: Wishes = {}): Promise<[string, string]> {
    writeFileSync(scratch.path("cluster.yaml"), clusterText(wishes.cluster));
    await writeBundleFile(scratch.path("site.tar"), siteOf(wishes).bundle);
    return [scratch.path("cluster.yaml"), scratch.path("site.tar")];
  }

  it("ends with 3 and all findings, and with 0 where there are none", async () => {
    using scratch = new Scratch();
    const [cluster, bundle] = await site(scratch);
    mkdirSync(scratch.path("bin"));
    writeFileSync(scratch.path("bin/ssh"), `#!/bin/sh\ntouch ${scratch.path("connected")}\n`, {
      mode: 0o755,
    });
    const env = { PATH: `${scratch.path("bin")}:${process.env["PATH"]}` };
    const good = await cli(["check", cluster, "--bundle", bundle], env);
    expect(good).toMatchObject({ code: 0, stdout: expect.stringContaining("No problems found") });
    writeFileSync(cluster, clusterText({ network: { name: "calico" }, addons: ["dashboard"] }));
    const wrong = await cli(["check", cluster, "--bundle", bundle, "--json"], env);
    expect(wrong.code).toBe(3);
    const { findings } = JSON.parse(wrong.stdout) as { findings: { message: string }[] };
    expect(findings.map(({ message }) => message)).toEqual([
      "network: site.tar has no manifests named calico",
      "addons: site.tar has no manifests named dashboard",
    ]);
    expect(
      await cli(["check", cluster, "--bundle", bundle, "--ignore-check", "bundle-manifests"], env),
    ).toMatchObject({ code: 0 });
    expect(existsSync(scratch.path("connected"))).toBe(false);
  });

  it("reads the facts of hosts from files", async () => {
    using scratch = new Scratch();
    const [cluster, bundle] = await site(scratch);
    const facts = scratch.path("facts");
    mkdirSync(facts);
    expect(await cli(["check", cluster, "--bundle", bundle, "--facts", facts])).toMatchObject({ code: 2 });
    copyFileSync(join(RAW, "ubuntu-24.04.txt"), join(facts, "node1.txt"));
    const result = await cli(["check", cluster, "--bundle", bundle, "--facts", facts]);
    expect(result).toMatchObject({
      code: 3,
      stdout: expect.stringContaining(
        "error: node1: bundle-packages: site.tar has no packages for ubuntu-24.04",
      ),
    });
    expect(result.stdout).not.toContain("master1: bundle-packages");
  });
});
