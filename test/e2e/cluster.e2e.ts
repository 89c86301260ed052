import { cp } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ClusterImages } from "../../src/discovery/cluster/find-images.ts";
import { Backup } from "../../src/install/backup/archive.ts";
import type { BackupResult } from "../../src/install/backup/backup.ts";
import type { RestoreResult } from "../../src/install/backup/restore.ts";
import type { HostsCheckResult } from "../../src/install/hosts-check.ts";
import type { InstallResult } from "../../src/install/install.ts";
import type { ClusterStatus } from "../../src/install/status.ts";
import { Scratch } from "../support/scratch.ts";
import { applicationPort, writeApplication } from "./rig/application.ts";
import { siteBundle } from "./rig/bundle.ts";
import type { ConnectedOptions } from "./rig/connected.ts";
import type { Host } from "./rig/host.ts";
import { compiled, installPrograms } from "./rig/prepare.ts";
import { Rig } from "./rig/rig.ts";
import { eventually, must, say } from "./rig/shell.ts";
import {
  askedForImages,
  clusterFile,
  debugContainerd,
  heardOutside,
  kubectl,
  leftOn,
  type Member,
  nodesReady,
  notSo,
  Operator,
  stateOf,
  workloadsAnswer,
} from "./rig/site.ts";
import { elSystem } from "./rig/system/el.ts";

const SIDE: Omit<ConnectedOptions, "extra"> = {
  version: "v1.34.4",
  systems: ["debian", "el"],
  runtime: "containerd",
};
const PASSWORD = `rig-${Math.random().toString(36).slice(2)}`;
const scratch = new Scratch();

describe.runIf(compiled(SIDE.version))(
  "scenarios B, E, F and I: a real cluster on isolated hosts, from a bundle",
  () => {
    let rig: Rig;
    let operator: Operator;
    let members: Member[] = [];
    let cluster = "";
    let bundle = "";

    const host = (name: string): Host =>
      members.map(([member]) => member).find((member) => member.name === name) as Host;
    const states = (...names: string[]) =>
      Promise.all(
        members
          .filter(([{ name }]) => names.length === 0 || names.includes(name))
          .map(([member]) => stateOf(member)),
      );
    const install = (...more: string[]) =>
      operator.json<InstallResult>("install", cluster, "--bundle", bundle, "--yes", ...more);
    const doneBy = ({ steps }: InstallResult) =>
      steps
        .filter(({ state }) => state === "done")
        .map(({ host, stage, step }) => `${host} ${stage}/${step}`);
    const answers = () => workloadsAnswer(rig, host("cp1"), [host("w1"), host("w2")]);
    const shopSays = (version: string) =>
      eventually(
        `the shop to be at ${version}`,
        60,
        async () =>
          (await heardOutside(rig, `http://${host("w2").address}:${applicationPort}/`)) === `shop ${version}`,
      );

    /** The cluster file as it stands, or with fewer hosts. */
    const write = (without?: string): Promise<string> =>
      clusterFile(
        scratch.path("site"),
        members.filter(([{ name }]) => name !== without),
        {
          kubernetes: { version: SIDE.version },
          addons: ["dashboard", "workloads", { manifest: "apps/" }],
          backup: { every: "24h" },
        },
      );

    beforeAll(async () => {
      await installPrograms();
      bundle = await siteBundle({ ...SIDE, application: "v0.1" });
      rig = await Rig.create("10.77.0");
      const { root } = await elSystem();
      const [cp1, w1, w2, register] = await Promise.all([
        rig.host({ name: "cp1", password: PASSWORD }),
        rig.host({ name: "w1", password: PASSWORD }),
        rig.host({ name: "w2", password: PASSWORD, tree: root }),
        rig.host({ name: "register", password: PASSWORD }),
      ]);
      members = [
        [cp1, "control-plane"],
        [w1, "worker"],
        [w2, "worker"],
        [register, "registry"],
      ];
      await Promise.all([cp1, w1, w2].map(debugContainerd));
      await writeApplication(scratch.path("site/apps"), "v0.1");
      cluster = await write();
      operator = new Operator(rig, { AIRGAP_SSH_PASSWORD: PASSWORD });
    });

    afterAll(async () => {
      await rig?.destroy();
      scratch[Symbol.dispose]?.();
    });

    it("hosts reach each other and nothing else", async () => {
      const { code } = await host("cp1").exec(["ping", "-c1", "-W2", host("w1").address]);
      expect(code).toBe(0);
      const out = await host("cp1").exec(["ping", "-c1", "-W2", "192.0.2.1"]);
      expect(`${out.code} ${out.stderr}`).toMatch(/Network is unreachable/);
    });

    it("hosts check tells what they are, and that nothing stands against it", async () => {
      const { facts, findings } = await operator.json<HostsCheckResult>(
        "hosts",
        "check",
        cluster,
        "--bundle",
        bundle,
        "--yes",
      );
      expect(Object.keys(facts).sort()).toEqual(["cp1", "register", "w1", "w2"]);
      expect(facts["w2"]).toMatchObject({
        os: { id: "rocky", version: "9.4" },
        packageManager: "dnf",
        defaultRoute: false,
      });
      expect(facts["cp1"]).toMatchObject({ os: { id: "debian", version: "12" }, packageManager: "apt-get" });
      expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
      expect(findings.filter(({ check }) => check === "route").map(({ host }) => host)).toEqual([
        "cp1",
        "w1",
        "w2",
      ]);
    });

    it("a dry run changes nothing", async () => {
      const before = await states();
      await operator.expect(0, "install", cluster, "--bundle", bundle, "--dry-run", "--yes");
      expect(await states()).toEqual(before);
    });

    it("bare hosts become a cluster whose pods and services answer, the users' own application among them", {
      timeout: 900_000,
    }, async () => {
      const { changed, time } = await install();
      expect(changed).toBeGreaterThan(80);
      say(`the first install took ${Math.round((time?.total ?? 0) / 1000)} s`);
      expect((await nodesReady(host("cp1"), 3)).sort()).toEqual(["cp1", "w1", "w2"]);
      await answers();
      await shopSays("v0.1");
    });

    it("a second dry run and a second install have nothing to do", async () => {
      const before = await states();
      await operator.expect(0, "install", cluster, "--bundle", bundle, "--dry-run", "--yes");
      const { changed, steps, time } = await install();
      expect(changed).toBe(0);
      expect(notSo(steps)).toEqual([]);
      expect(await states()).toEqual(before);
      const ms = (time?.connecting ?? 0) + (time?.total ?? 0);
      say(
        `the second install took ${Math.round(ms)} ms on ${members.length} hosts, ${Math.round(time?.commands ?? 0)} of them their commands' own`,
      );
    });

    it("the dashboard is at its port of every node, and its token is an administrator's", async () => {
      for (const name of ["cp1", "w1", "w2"])
        expect(await heardOutside(rig, `http://${host(name).address}:30443/`)).toBe("dashboard");
      const [token = ""] = (await operator.expect(0, "status", cluster, "--token", "dashboard")).split("\n");
      const ask = [
        "curl",
        "-sk",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        `https://${host("cp1").address}:6443/api/v1/namespaces/kube-system/secrets`,
      ];
      expect((await rig.run([...ask, "-H", `Authorization: Bearer ${token}`])).stdout).toBe("200");
      expect((await rig.run(ask)).stdout).toBe("403");
    });

    it("status says that all is well", async () => {
      const { healthy, nodes, problems, origins, certificates } = await operator.json<ClusterStatus>(
        "status",
        cluster,
      );
      expect({ healthy, problems }).toEqual({ healthy: true, problems: [] });
      expect(nodes.map(({ name, ready, version }) => [name, ready, version])).toEqual(
        ["cp1", "w1", "w2"].map((name) => [name, true, SIDE.version]),
      );
      expect(origins.map(({ onlySite }) => onlySite)).toEqual([true, true, true]);
      expect(certificates[0]?.days).toBeGreaterThan(300);
    });

    it("what was deleted after a backup is there again after its restore", { timeout: 600_000 }, async () => {
      const file = scratch.path("site/backup.tar");
      await kubectl(host("cp1"), "create", "configmap", "kept", "--from-literal=value=before");
      const { by, etcd } = await operator.json<BackupResult>("backup", cluster, "-o", file);
      expect(by).toBe("cp1");
      await kubectl(host("cp1"), "delete", "configmap", "kept");
      const restored = await operator.json<RestoreResult>("restore", cluster, file, "--yes");
      expect(restored).toMatchObject({ restored: "everything", members: ["cp1"] });
      expect(restored.before).toBeGreaterThan(etcd.revision);
      const value = ["get", "configmap", "kept", "-o", "jsonpath={.data.value}"];
      expect(await kubectl(host("cp1"), ...value)).toBe("before");
      expect((await nodesReady(host("cp1"), 3)).sort()).toEqual(["cp1", "w1", "w2"]);
      await answers();
    });

    it("a control plane makes backups by a timer, as airgap itself makes them", async () => {
      await host("cp1").sh("systemctl start airgap-backup", { timeoutMs: 180_000 });
      const [name = ""] = (await host("cp1").sh("ls /var/backups/airgap")).split("\n");
      const copy = scratch.path("site/by-timer.tar");
      await cp(join(host("cp1").root, "var/backups/airgap", name), copy);
      const made = Backup.open(copy);
      expect(made.about).toMatchObject({
        cluster: "rig",
        kubernetes: SIDE.version,
        etcd: { mode: "stacked" },
      });
      expect(made.names).toEqual(expect.arrayContaining(["pki/ca.key", "pki/etcd/ca.key", "snapshot.db"]));
      made.close();
    });

    it("no image came from anywhere but the site, by the runtimes' own word", async () => {
      for (const name of ["cp1", "w1", "w2"]) {
        const { hosts, pulled } = await askedForImages(host(name));
        expect(pulled).toBeGreaterThan(2);
        expect(hosts).toEqual(["register.rig.test"]);
      }
    });

    it("images find --cluster knows all that runs, and that the bundle has it", async () => {
      const found = await operator.cluster<ClusterImages>(cluster, SIDE.version, "--bundle", bundle);
      expect(found.warnings).toEqual([]);
      expect(found.comparison).toMatchObject({ missing: [], differs: [] });
      const runs = (name: string) => found.images.find(({ reference }) => reference.includes(name));
      expect(runs("kube-apiserver")).toMatchObject({
        places: [{ object: "kube-system/Pod/kube-apiserver-cp1" }],
      });
      // Images that kubeadm pulled before there was a kubelet have no name with a digest in containerd.
      expect(found.images.flatMap(({ digests }) => digests).length).toBeGreaterThan(2);
      await kubectl(
        host("cp1"),
        "create",
        "deployment",
        "stray",
        "--image=example.test/stray:v1",
        "--replicas=0",
      );
      const stray = await operator.cluster<ClusterImages>(cluster, SIDE.version, "--bundle", bundle);
      expect(stray.comparison?.missing).toEqual(["example.test/stray:v1"]);
      await kubectl(host("cp1"), "delete", "deployment", "stray");
    });

    it("a second bundle with the application's next version rolls out that and nothing else", {
      timeout: 900_000,
    }, async () => {
      const pods = [
        "get",
        "pods",
        "-A",
        "-l",
        "app!=shop",
        "-o",
        "jsonpath={range .items[*]}{.metadata.uid} {end}",
      ];
      const before = await kubectl(host("cp1"), ...pods);
      bundle = await siteBundle({ ...SIDE, application: "v0.2" });
      await writeApplication(scratch.path("site/apps"), "v0.2");
      const done = doneBy(await install());
      expect(done.filter((step) => !step.startsWith("register serve/"))).toEqual([
        "cp1 addons/apps-file",
        "cp1 addons/apps",
      ]);
      await shopSays("v0.2");
      expect(await kubectl(host("cp1"), ...pods)).toBe(before);
      expect((await install()).changed).toBe(0);
    });

    it("a worker that leaves and comes again is the only one that is touched", {
      timeout: 900_000,
    }, async () => {
      const before = await states("cp1", "w2", "register");
      await operator.expect(0, "reset", cluster, "--hosts", "w1", "--yes");
      expect((await nodesReady(host("cp1"), 2)).sort()).toEqual(["cp1", "w2"]);
      expect(await leftOn(host("w1"), "/etc/kubernetes", "/var/lib/kubelet")).toBe("");
      const done = doneBy(await install());
      expect(done).toContain("w1 workers/join");
      // The first control plane lets it in, waits for its pods, and tries the network from every node: no other host does anything.
      const letsIn =
        /^cp1 (?:workers\/token|network\/flannel|addons\/(?:dashboard|workloads|apps)|verify\/\S+)$/;
      expect(done.filter((step) => !step.startsWith("w1 ") && !letsIn.test(step))).toEqual([]);
      expect(await states("cp1", "w2", "register")).toEqual(before);
      await nodesReady(host("cp1"), 3);
      await answers();
    });

    it("a worker that is gone from the file stays what it is, and it is said", async () => {
      await write("w2");
      const said = await operator.expect(0, "install", cluster, "--bundle", bundle, "--yes");
      expect(said).toMatch(/^rig: nothing to do, /m);
      expect(said).toMatch(/w2 is no longer in the cluster file.*airgap reset \S+ --hosts w2/s);
      expect(await nodesReady(host("cp1"), 3)).toContain("w2");
      await write();
      expect((await install()).changed).toBe(0);
    });

    it("everything comes back after all hosts rebooted", async () => {
      await Promise.all(members.map(([member]) => member.reboot()));
      await nodesReady(host("cp1"), 3);
      await answers();
      await shopSays("v0.2");
    });

    it("the password is nowhere", async () => {
      for (const [member] of members)
        expect(
          await member.sh(
            `grep -rlsF '${PASSWORD}' /etc /var/log /var/lib/airgap /root /run/log 2>/dev/null || true`,
          ),
        ).toBe("");
      expect(
        (
          await must("sh", ["-c", `grep -rlsF '${PASSWORD}' "$0" || true`, scratch.path("site")])
        ).stdout.trim(),
      ).toBe("");
    });

    it("reset gives back bare hosts", { timeout: 600_000 }, async () => {
      await operator.expect(0, "reset", cluster, "--yes");
      for (const [member] of members)
        expect(await leftOn(member, "/etc/kubernetes", "/var/lib/kubelet", "/var/lib/etcd")).toBe("");
    });
  },
);
