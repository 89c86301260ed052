import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import type { ClusterHost } from "../../src/cluster/cluster.ts";
import type { Event } from "../../src/events.ts";
import { planUpgrade, wholePlan } from "../../src/install/upgrade/stages.ts";
import { type UpgradeOptions, type UpgradeResult, upgrade } from "../../src/install/upgrade/upgrade.ts";
import { makeAuthority } from "../../src/pki/certificate.ts";
import { adminConf } from "../support/install/admin-conf.ts";
import { writeBundleFile } from "../support/install/bundle-file.ts";
import { RecordingHost } from "../support/install/recording-host.ts";
import { clusterText, HOME } from "../support/install/site.ts";
import { RAW } from "../support/install/systems.ts";
import { type UpgradeWishes, upgradeOf } from "../support/install/upgrade-site.ts";
import { Scratch } from "../support/scratch.ts";

const WISHES: UpgradeWishes = {
  os: "debian-12",
  from: "v1.28.2",
  carried: ["v1.29.15", "v1.30.14"],
};
const ADMIN = await makeAuthority({ commonName: "kubernetes-admin", days: 1 });
const CA = readFileSync(join(HOME, "certificates/kubernetes.pem"), "utf8");
const KEPT = Buffer.from("what was there before");

/** A cluster of played hosts at a version, and the files of an operator. */
class Site implements Disposable {
  readonly scratch = new Scratch();
  readonly hosts = new Map<string, RecordingHost>();
  readonly events: Event[] = [];
  /** What the API server says; undefined while it does not answer. */
  nodes: { name: string; version: string }[] | undefined = [
    { name: "master1", version: WISHES.from },
    { name: "node1", version: WISHES.from },
  ];
  budgets: object[] = [];

  async write(): Promise<void> {
    this.scratch.write("cluster.yaml", clusterText({ kubernetes: { version: "v1.30.14" } }));
    await writeBundleFile(this.scratch.path("site.tar"), upgradeOf(WISHES).bundle);
  }

  #facts(name: string, address: string): string {
    const plane = name === "master1";
    const lines = [
      "owner|site",
      `kubelet|${WISHES.from}`,
      "containerd|1.7.27",
      "active|kubelet.service",
      "exists|/etc/kubernetes/kubelet.conf",
      "kubelet-cgroup|systemd",
      ...(plane
        ? [
            "exists|/etc/kubernetes/admin.conf",
            `component|kube-apiserver registry.k8s.io/kube-apiserver:${WISHES.from}`,
            "etcd-kib|1000",
            ...CA.trimEnd()
              .split("\n")
              .map((line) => `kubernetes-ca|${line}`),
          ]
        : []),
    ];
    return readFileSync(join(RAW, "debian-12.txt"), "utf8")
      .replaceAll("10.0.0.12", address)
      .replace(/^machine-id\|.*$/m, `machine-id|${Buffer.from(name.padEnd(16, "0")).toString("hex")}`)
      .replace(/^product-uuid\|.*$/m, `product-uuid|${name}`)
      .replace(/^mac\|.*$/m, `mac|00:50:56:8a:00:${plane ? "10" : "11"}`)
      .replace(/^end\|.*$/m, () => `${lines.join("\n")}\nend|${Math.round(Date.now() / 1000)}`);
  }

  readonly open = async ({ name, address }: ClusterHost): Promise<RecordingHost> => {
    const found = this.hosts.get(name);
    if (found) {
      found.closed = false;
      return found;
    }
    const host = RecordingHost.of(wholePlan(planUpgrade(upgradeOf(WISHES))), name);
    host.knows({
      stages: ["verify", "trust", "serve"].map((stage) => ({
        name: stage,
        needs: [],
        wholeCluster: false,
        waves: [[{ host: name, steps: EXTRA.map((id) => ({ id, title: id, check: "", apply: "" })) }]],
      })),
    });
    host.facts = this.#facts(name, address);
    const list = (items: object[]) => () => JSON.stringify({ items });
    const node = ({ name, version }: { name: string; version: string }) => ({
      metadata: {
        name,
        labels: name === "master1" ? { "node-role.kubernetes.io/control-plane": "" } : {},
      },
      status: {
        conditions: [{ type: "Ready", status: "True" }],
        nodeInfo: { kubeletVersion: version, containerRuntimeVersion: "containerd://1.7.27" },
      },
    });
    const configuration = `kubernetesVersion: ${WISHES.from}\nimageRepository: registry.k8s.io\n`;
    host
      .answers(/^kubectl get nodes /, () =>
        this.nodes
          ? JSON.stringify({ items: this.nodes.map(node) })
          : { code: 1, stdout: "", stderr: "refused" },
      )
      .answers(
        /^kubectl get configmaps /,
        list([{ metadata: { name: "kubeadm-config" }, data: { ClusterConfiguration: configuration } }]),
      )
      .answers(/^kubectl get poddisruptionbudgets --/, () => JSON.stringify({ items: this.budgets }))
      .answers(/^kubectl get /, list([]))
      .answers(/^show_etcd_health master1$/, "")
      .answers(/^show_members /, "node master1\n")
      .answers(
        /^show_kept /,
        `etcd.db ${KEPT.length} ${createHash("sha256").update(KEPT).digest("hex")}\n../../x 1 ${"0".repeat(64)}\n`,
      )
      .answers(/^print_stretch \/var\/lib\/airgap\/upgrade\/v[\d.]+\/etcd\.db 0 /, KEPT.toString("base64"))
      .answers(/stat -c %s/, "0\n")
      .answers(
        /^cat \/etc\/kubernetes\/admin\.conf$/,
        adminConf({ server: "https://10.0.0.12:6443", ca: CA, ...ADMIN }),
      );
    this.hosts.set(name, host);
    return host;
  };

  upgrade(more: Partial<UpgradeOptions> = {}): Promise<UpgradeResult> {
    return upgrade({
      clusterFile: this.scratch.path("cluster.yaml"),
      bundle: this.scratch.path("site.tar"),
      dryRun: false,
      ignoreChecks: [],
      workers: 1,
      drainTimeout: 60,
      open: this.open,
      emit: (event) => this.events.push(event),
      ...more,
    });
  }

  [Symbol.dispose](): void {
    this.scratch[Symbol.dispose]();
  }
}

/** Steps that depend on facts that the played hosts may have and the plan's own have not. */
const EXTRA = ["probe", "pod-network", "node-port", "probe-gone"];

describe("upgrade", () => {
  let site: Site;
  beforeEach(async () => {
    site = new Site();
    await site.write();
    return () => site[Symbol.dispose]();
  });
  const applied = (name: string): string[] => site.hosts.get(name)?.applied ?? [];

  it("goes through every minor, brings home what was kept before each, and has nothing to do again", async () => {
    const { from, through, kept, changed } = await site.upgrade();
    expect({ from, through }).toEqual({ from: "v1.28.2", through: ["v1.29.15", "v1.30.14"] });
    expect(changed).toBeGreaterThan(50);
    expect(kept.map(({ version, host, path }) => [version, host, basename(path)])).toEqual([
      ["v1.29.15", "master1", "etcd.db"],
      ["v1.30.14", "master1", "etcd.db"],
    ]);
    const folder = site.scratch.path(".airgap/site/upgrade/v1.29.15/master1");
    expect(readdirSync(folder)).toEqual(["etcd.db"]);
    expect(readFileSync(join(folder, "etcd.db")).equals(KEPT)).toBe(true);
    expect(statSync(join(folder, "etcd.db")).mode & 0o777).toBe(0o600);
    const master = applied("master1");
    const order = [
      "v1.29.15-keep/keep",
      "v1.29.15-control-plane/upgrade",
      "v1.29.15-workers/drain-node1",
      "v1.29.15-workers/uncordon-node1",
      "v1.30.14-keep/keep",
      "v1.30.14-control-plane/upgrade",
      "network/flannel",
    ];
    expect(order.map((step) => master.indexOf(step))).toEqual(
      order.map((step) => master.indexOf(step)).toSorted((a, b) => a - b),
    );
    expect(order.filter((step) => !master.includes(step))).toEqual([]);
    expect(applied("node1")).toContain("v1.29.15-workers/kubelet");
    expect((await site.upgrade()).changed).toBe(0);
  });

  it("stops at a step that fails, says how to go on, and goes on there", async () => {
    await site.open({ name: "node1", address: "10.0.0.15" } as ClusterHost);
    site.hosts.get("node1")?.failing.set("v1.29.15-workers/packages", ["No space left on device\n"]);
    await expect(site.upgrade()).rejects.toMatchObject({
      code: "step-failed",
      message: expect.stringContaining("node1: v1.29.15-workers/packages"),
      suggestions: expect.arrayContaining(["Fix the cause, then run the same command; it resumes here."]),
    });
    expect(applied("master1")).not.toContain("v1.30.14-keep/keep");
    const before = applied("master1").length;
    await site.upgrade();
    expect(applied("master1").slice(before)).not.toContain("v1.29.15-control-plane/upgrade");
    expect(applied("master1")).toContain("v1.30.14-control-plane/upgrade");
  });

  it("refuses with 3 before it sends anything", async () => {
    site.budgets = [
      {
        metadata: { namespace: "shop", name: "web" },
        status: { expectedPods: 1, currentHealthy: 1, disruptionsAllowed: 0 },
      },
    ];
    await expect(site.upgrade()).rejects.toMatchObject({ code: "check-failed", exit: 3 });
    expect([...site.hosts.values()].flatMap(({ sent }) => sent)).toEqual([]);
    await site.upgrade({ ignoreChecks: ["disruption-budgets"] });
  });

  it("says on which host an API server must come back, when none answers", async () => {
    site.nodes = undefined;
    await expect(site.upgrade({ patienceMs: 0 })).rejects.toMatchObject({
      exit: 3,
      message: expect.stringMatching(/master1: upgrade-from: .*does not answer: refused/),
      suggestions: expect.arrayContaining([expect.stringContaining("on master1: crictl ps -a")]),
    });
  });

  it("a dry run applies nothing; --to ends earlier, without network and add-ons", async () => {
    const { steps, through } = await site.upgrade({ dryRun: true, to: "v1.29.15" });
    expect(through).toEqual(["v1.29.15"]);
    expect([...new Set(steps.map(({ stage }) => stage))]).toEqual([
      "trust",
      "serve",
      "v1.29.15-keep",
      "v1.29.15-control-plane",
      "v1.29.15-workers",
    ]);
    expect([...site.hosts.values()].flatMap(({ applied }) => applied)).toEqual([]);
  });

  it("--hosts leaves workers behind as far as they may be, and no further", async () => {
    await expect(site.upgrade({ hosts: ["master1"], to: "v1.29.15", dryRun: true })).resolves.toMatchObject({
      through: ["v1.29.15"],
    });
    site.nodes = [
      { name: "master1", version: "v1.28.2" },
      { name: "node1", version: "v1.26.1" },
    ];
    await expect(site.upgrade({ hosts: ["master1"], dryRun: true })).rejects.toMatchObject({
      exit: 3,
      message: expect.stringMatching(/node1: node-versions: it would stay at v1\.26\.1, .* of v1\.30\.14/),
      suggestions: expect.arrayContaining([expect.stringContaining("--to v1.29.15")]),
    });
  });

  it("--script writes the turns of hosts, in their order", async () => {
    const dir = site.scratch.path("out");
    const { scripts = [], beside } = await site.upgrade({ script: dir });
    expect(scripts.map((file) => basename(file)).slice(0, 4)).toEqual([
      "01-master1.sh",
      "02-node1.sh",
      "03-master1.sh",
      "04-node1.sh",
    ]);
    expect(beside?.map(({ name }) => name)).toEqual([expect.stringMatching(/^site-.*\.tar$/)]);
    const text = scripts.map((file) => readFileSync(file, "utf8")).join("");
    expect(text.indexOf("v1.29.15-control-plane/upgrade")).toBeLessThan(text.indexOf("v1.30.14-keep/keep"));
    expect([...site.hosts.values()].flatMap(({ sent }) => sent)).toEqual([]);
  });
});
