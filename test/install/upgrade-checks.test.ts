import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UPGRADE_CHECKS } from "../../src/install/preflight/finding.ts";
import {
  blockingBudgets,
  configurationOf,
  deadMembersIn,
  outdatedIn,
  pluginsIn,
  unmanagedPods,
} from "../../src/install/upgrade/cluster-state.ts";
import { contextAt, pathOf, startOf, stopAt } from "../../src/install/upgrade/context.ts";
import { silentPlanes } from "../../src/install/upgrade/host-checks.ts";
import { checkUpgrade, upgradeFindings } from "../../src/install/upgrade/preflight.ts";
import { planUpgrade, wholePlan } from "../../src/install/upgrade/stages.ts";
import { formatSteps } from "../../src/install/upgrade/table.ts";
import { API_REMOVALS } from "../../src/kubernetes/upgrade.ts";
import { HOME } from "../support/install/site.ts";
import { type UpgradeWishes, upgradeOf } from "../support/install/upgrade-site.ts";

const PLAIN: UpgradeWishes = { os: "debian-12", from: "v1.24.17", carried: ["v1.25.16", "v1.26.15"] };
const found = (more: Partial<UpgradeWishes>): string[] =>
  upgradeFindings(upgradeOf({ ...PLAIN, ...more }))
    .filter(({ severity }) => severity !== "notice")
    .map(({ severity, host, check, message }) => `${severity} ${check}${host ? ` ${host}` : ""}: ${message}`);
const drain = "/etc/systemd/system/kubelet.service.d/99-own.conf";
const expired = readFileSync(join(HOME, "certificates/kubernetes.pem"), "utf8");

/** What is wrong, the check that says so, and words of its message. */
const CASES: [check: keyof typeof UPGRADE_CHECKS, wishes: Partial<UpgradeWishes>, says: RegExp][] = [
  ["upgrade-steps", { from: "v1.23.9" }, /from v1\.23\.9 to v1\.26\.15 .* does not have v1\.24$/],
  ["upgrade-from", { from: "v1.27.1" }, /is at v1\.27\.1, newer than v1\.26\.15/],
  [
    "node-versions",
    { asked: ["master1"] },
    /^error node-versions node1: it would stay at v1\.24\.17, which is too old for a control plane of v1\.26\.15/,
  ],
  [
    "nodes-ready",
    {
      state: {
        nodes: [
          { name: "node1", version: "v1.24.17", ready: false, plane: false, docker: false, marked: false },
        ],
      },
    },
    /node1: it is not ready$/,
  ],
  [
    "kubelet-flags",
    {
      carried: ["v1.25.16", "v1.26.15", "v1.27.16"],
      extraFlags: { [drain]: "Environment=X=--container-runtime=remote" },
    },
    /99-own\.conf starts kubelet with --container-runtime,/,
  ],
  [
    "cgroup-driver",
    { hostFacts: { node1: { kubeletCgroupDriver: "cgroupfs" } } },
    /node1: its kubelet uses cgroupfs/,
  ],
  [
    "kubeadm-config",
    {
      cluster: {
        kubeadm: {
          ClusterConfiguration: {
            apiServer: { extraArgs: [{ name: "v", value: "4" }] },
            scheduler: { extraArgs: { v: 2 } },
          },
        },
      },
      state: { arguments: { apiServer: { v: "3" }, scheduler: { v: "2" } } },
    },
    /the cluster file has apiServer\.extraArgs\.v: 4, and kubeadm's/,
  ],
  [
    "kubeadm-config",
    {
      cluster: { kubernetes: { extraSans: ["api.site", "10.9.9.9"] } },
      state: { certSANs: ["10.9.9.9", "10.0.0.12"] },
    },
    /the cluster file has api\.site for the API server's certificate/,
  ],
  [
    "component-flags",
    {
      from: "v1.24.17",
      state: {
        arguments: { apiServer: { "enable-admission-plugins": "NodeRestriction,PodSecurityPolicy" } },
      },
    },
    /PodSecurityPolicy in apiServer\.extraArgs/,
  ],
  [
    "component-flags",
    { from: "v1.23.17", carried: ["v1.24.17"], state: { arguments: { scheduler: { port: "0" } } } },
    /scheduler\.extraArgs\.port, which v1\.24\.17/,
  ],
  [
    "coredns",
    { state: { coredns: { plugins: ["errors", "k8s_gateway"], image: "x/coredns:v1.8.6" } } },
    /cannot carry .*: k8s_gateway/,
  ],
  [
    "coredns",
    { state: { coredns: { plugins: ["errors"], image: "x/coredns:ours" } } },
    /x\/coredns:ours, and kubeadm cannot tell/,
  ],
  [
    "removed-apis",
    { state: { outdated: [{ api: "policy/v1beta1", kind: "PodSecurityPolicy", name: "psp.flannel" }] } },
    /^warning .*1\.25 does not have PodSecurityPolicy any more: PodSecurityPolicy psp\.flannel/,
  ],
  ["disruption-budgets", { state: { blocking: ["shop/web"] } }, /shop\/web allows no pod to be evicted/],
  [
    "unmanaged-pods",
    { state: { unmanaged: [{ name: "default/alone", node: "node1" }] } },
    /default\/alone on node1/,
  ],
  [
    "etcd-members",
    { state: { deadMembers: ["https://10.0.0.12:2379"] } },
    /10\.0\.0\.12:2379 \(master1\) does not answer/,
  ],
  [
    "certificates",
    { hostFacts: { master1: { apiserverCertificate: expired, time: { host: 4e11, ours: 4e11 } } } },
    /master1: the certificate of its API server ended on/,
  ],
];

describe("checks of an upgrade", () => {
  it("find nothing where all is well", () => {
    expect(found({})).toEqual([]);
  });

  it.each(CASES)("%s", (check, wishes, says) => {
    const said = found(wishes).filter((line) => line.split(" ")[1]?.replace(":", "") === check);
    expect(said.join("\n")).toMatch(new RegExp(says.source, "m"));
  });

  it("have a case for each name", () => {
    const shown = new Set<string>(CASES.map(([check]) => check));
    expect(Object.keys(UPGRADE_CHECKS).filter((name) => !shown.has(name))).toEqual([]);
  });

  it("want room for etcd's copies and for what is kept of before each version", () => {
    const free = { "/": { kib: 100_000, mount: "/" } };
    expect(found({ hostFacts: { master1: { free, etcdKiB: 90_000 } } }).join("\n")).toMatch(
      /error disk master1: \/ has 98 MiB left; kubeadm's copy of etcd's data, a snapshot of etcd, .* need \d+ MiB/,
    );
  });

  it("name a package set that a step lacks, for each host", () => {
    const input = upgradeOf(PLAIN);
    const packageSets = input.bundle.packageSets.filter(({ facts }) => facts.kubernetes !== "v1.25.16");
    const findings = upgradeFindings({ ...input, bundle: { ...input.bundle, packageSets } });
    expect(findings.map(({ check, host }) => `${check} ${host}`)).toEqual([
      "bundle-packages master1",
      "bundle-packages node1",
    ]);
  });

  it("name a manifest that the last version does not take", () => {
    const input = upgradeOf(PLAIN);
    const text = "apiVersion: policy/v1beta1\nkind: PodSecurityPolicy\nmetadata: { name: psp.flannel }\n";
    const manifests = { flannel: { files: [{ path: "flannel.yaml", text, sites: [] }] } };
    const findings = upgradeFindings({ ...input, bundle: { ...input.bundle, manifests } });
    expect(findings.map(({ message }) => message)).toEqual([
      "flannel: flannel.yaml has the PodSecurityPolicy psp.flannel as policy/v1beta1, which Kubernetes 1.25 does not serve any more",
    ]);
  });

  it("from files and facts alone find the same as far as these tell, and nothing before there is a cluster", () => {
    const { cluster, bundle, facts, images, userManifests } = upgradeOf({ ...PLAIN, from: "v1.23.9" });
    const files = { cluster, bundle, images, userManifests };
    expect(checkUpgrade({ ...files, facts }).filter(({ severity }) => severity === "error")).toMatchObject([
      { check: "upgrade-steps", message: expect.stringContaining("v1.24") },
    ]);
    expect(checkUpgrade({ ...files, facts: {} })).toEqual([]);
  });
});

describe("the way", () => {
  it("begins at the oldest control plane; a worker that lags goes straight to where the cluster is", () => {
    const behind = upgradeOf({ ...PLAIN, from: "v1.26.15", nodes: { node1: "v1.25.3" } });
    expect(startOf(behind)).toBe("v1.26.15");
    expect(pathOf(behind)).toEqual({ stones: ["v1.26.15"], missing: [] });
    const context = contextAt(behind, "v1.26.15");
    expect(context.behindPlanes).toEqual([]);
    expect(context.behindWorkers.map(({ name }) => name)).toEqual(["node1"]);
  });

  it("goes on with a node that an earlier run has drained", () => {
    const input = upgradeOf({ ...PLAIN, from: "v1.26.15" });
    const nodes = input.state.nodes.map((node) => ({ ...node, marked: node.name === "node1" }));
    const marked = { ...input, state: { ...input.state, nodes } };
    const titles = wholePlan(planUpgrade(marked)).stages.flatMap(({ name }) =>
      name.startsWith("v1") ? [name] : [],
    );
    expect(titles).toEqual(["v1.26.15-workers"]);
  });

  it("--to stops before the file's version, and never goes beyond it", () => {
    const { cluster } = upgradeOf(PLAIN);
    expect(stopAt(cluster, "1.25.16").kubernetes.version).toBe("v1.25.16");
    expect(() => stopAt(cluster, "v1.27.0")).toThrow(/newer than kubernetes\.version/);
    expect(() => stopAt(cluster, "latest")).toThrow(/is not a version/);
  });

  it("keeps something before every minor, and cuts the plan there", () => {
    expect(planUpgrade(upgradeOf(PLAIN)).map(({ keeps }) => keeps)).toEqual([
      "v1.25.16",
      "v1.26.15",
      undefined,
    ]);
  });
});

describe("a control plane that does not answer", () => {
  it("is told how it comes back", () => {
    const { cluster, facts } = upgradeOf(PLAIN);
    const own = facts["master1"];
    if (own === undefined) throw new Error("no facts");
    const { components: _, ...bare } = own;
    const say = (more: object): string =>
      silentPlanes(cluster, { master1: { ...own, ...more } }, "connection refused")
        .map(({ finding }) => `${finding.message} -> ${finding.suggestion}`)
        .join();
    expect(say({})).toMatch(/^connection refused -> on master1: crictl ps -a/);
    expect(say({ active: [] })).toMatch(/^kubelet does not run -> /);
    expect(say({ apiserverCertificate: expired, time: { host: 4e11, ours: 4e11 } })).toMatch(
      /kubeadm certs renew all/,
    );
    expect(
      silentPlanes(cluster, { master1: bare }, undefined)
        .map(({ finding }) => finding.suggestion)
        .join(),
    ).toMatch(/kubeadm-backup-manifests/);
    expect(silentPlanes(cluster, {}, undefined)).toMatchObject([
      { finding: { message: "it cannot be reached" }, passing: false },
    ]);
  });
});

describe("what the cluster says", () => {
  const map = (name: string, data: Record<string, string>) => ({ metadata: { name }, data });

  it("is read from kubeadm's and kubelet's ConfigMaps, whatever their form", () => {
    const read = configurationOf(
      [
        map("kubeadm-config", {
          ClusterConfiguration:
            "kubernetesVersion: v1.31.4\nimageRepository: k8s.gcr.io\napiServer:\n  extraArgs:\n    - { name: v, value: '4' }\n  certSANs: [api.site]\n",
        }),
        map("kubelet-config-1.23", { kubelet: "cgroupDriver: cgroupfs\n" }),
        map("coredns", {
          Corefile: ".:53 {\n    errors\n    hosts {\n      fallthrough\n    }\n    # loop\n}\n",
        }),
      ],
      [{ metadata: { name: "coredns" }, spec: { template: { spec: { containers: [{ image: "c:v1" }] } } } }],
    );
    expect(read).toEqual({
      version: "v1.31.4",
      imageRepository: "k8s.gcr.io",
      arguments: { apiServer: { v: "4" }, controllerManager: {}, scheduler: {} },
      certSANs: ["api.site"],
      cgroupDriver: "cgroupfs",
      coredns: { plugins: ["errors", "hosts"], image: "c:v1" },
    });
    expect(configurationOf([map("kubeadm-config", { ClusterConfiguration: "[" })], []).version).toBe("");
    expect(pluginsIn("")).toEqual([]);
  });

  it("budgets without room, pods without an owner, members without an answer", () => {
    expect(
      blockingBudgets([
        {
          metadata: { namespace: "a", name: "b" },
          status: { expectedPods: 2, currentHealthy: 2, disruptionsAllowed: 0 },
        },
        {
          metadata: { namespace: "a", name: "starting" },
          status: { expectedPods: 2, currentHealthy: 1, disruptionsAllowed: 0 },
        },
        { metadata: { namespace: "a", name: "c" }, status: { expectedPods: 0, disruptionsAllowed: 0 } },
        { metadata: { namespace: "a", name: "d" }, status: { expectedPods: 2, disruptionsAllowed: 1 } },
      ]),
    ).toEqual(["a/b"]);
    const pod = (name: string, metadata: object) => ({
      metadata: { namespace: "d", name, ...metadata },
      spec: { nodeName: "n" },
      status: { phase: "Running" },
    });
    expect(
      unmanagedPods([
        pod("alone", {}),
        pod("owned", { ownerReferences: [{}] }),
        pod("static", { annotations: { "kubernetes.io/config.mirror": "x" } }),
      ]),
    ).toEqual([{ name: "d/alone", node: "n" }]);
    expect(
      deadMembersIn(
        "https://10.0.0.1:2379 is healthy: successfully\nhttps://10.0.0.2:2379 is unhealthy: failed to commit\nError: unhealthy cluster\n",
      ),
    ).toEqual(["https://10.0.0.2:2379"]);
  });

  it("objects by the API version in which they were applied last", () => {
    const applied = (kind: string, api: string | undefined) => ({
      kind,
      metadata: {
        name: "x",
        ...(api
          ? {
              annotations: {
                "kubectl.kubernetes.io/last-applied-configuration": JSON.stringify({ apiVersion: api, kind }),
              },
            }
          : {}),
      },
    });
    expect(
      outdatedIn(
        [
          applied("CronJob", "batch/v1beta1"),
          applied("CronJob", "batch/v1"),
          applied("CronJob", undefined),
          applied("PodSecurityPolicy", undefined),
        ],
        API_REMOVALS,
      ),
    ).toEqual([
      { api: "batch/v1beta1", kind: "CronJob", name: "x" },
      { api: "policy/v1beta1", kind: "PodSecurityPolicy", name: "x" },
    ]);
  });
});

describe("the table of a dry run", () => {
  it("has a line for each part and host, in the order of the plan", () => {
    const step = (stage: string, host: string, id: string, state: "already" | "would-change") => ({
      ...{ stage, host, step: id, title: id, state },
    });
    expect(
      formatSteps([
        step("serve", "r", "unit", "would-change"),
        step("v1.25.16-control-plane", "m", "kubeadm", "would-change"),
        step("v1.25.16-control-plane", "m", "upgrade", "would-change"),
        step("v1.25.16-workers", "m", "drain-n", "already"),
        step("network", "m", "flannel", "already"),
      ]),
    ).toEqual([
      "VERSION   PART           HOST  STEPS",
      "          serve          r     unit",
      "v1.25.16  control-plane  m     kubeadm, upgrade",
      "3 of 5 steps would change something",
    ]);
    expect(formatSteps([step("serve", "r", "unit", "already")])).toEqual([
      "Nothing to do: every step is already done",
    ]);
  });
});
