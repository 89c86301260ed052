import { readFile, stat } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BackupResult } from "../../src/install/backup/backup.ts";
import type { RestoreResult } from "../../src/install/backup/restore.ts";
import type { CertsResult } from "../../src/install/certificates/certs.ts";
import type { InstallResult } from "../../src/install/install.ts";
import type { ResetResult } from "../../src/install/reset.ts";
import type { ClusterStatus } from "../../src/install/status.ts";
import { Scratch } from "../support/scratch.ts";
import { siteBundle } from "./rig/bundle.ts";
import type { ConnectedOptions } from "./rig/connected.ts";
import { letExpire } from "./rig/expired.ts";
import type { Host } from "./rig/host.ts";
import { compiled, installPrograms } from "./rig/prepare.ts";
import { Rig } from "./rig/rig.ts";
import { eventually, say } from "./rig/shell.ts";
import { clusterFile, kubectl, leftOn, type Member, nodesReady, notSo, Operator } from "./rig/site.ts";

const SIDE: Omit<ConnectedOptions, "extra"> = {
  version: "v1.34.4",
  systems: ["debian", "el"],
  runtime: "containerd",
};
const PASSWORD = `rig-${Math.random().toString(36).slice(2)}`;
/** This machine's disk is as slow as it is while others use it. */
const ANY_DISK = ["--ignore-check", "etcd-disk"];
const scratch = new Scratch();

describe.runIf(compiled(SIDE.version))("scenario G: etcd on three hosts of its own", () => {
  let rig: Rig;
  let operator: Operator;
  let members: Member[] = [];
  let cluster = "";
  let bundle = "";

  const host = (name: string): Host =>
    members.map(([member]) => member).find((member) => member.name === name) as Host;
  const install = (...more: string[]) =>
    operator.json<InstallResult>("install", cluster, "--bundle", bundle, "--yes", ...ANY_DISK, ...more);
  const write = async (): Promise<void> => {
    cluster = await clusterFile(scratch.path("site"), members, {
      kubernetes: { version: SIDE.version },
      etcd: "external",
    });
  };
  /** Once its pods are what the cluster takes them for: after a restore it remembers them as they were. */
  const content = () =>
    eventually("status to be content", 180, async () => {
      const { code, stdout } = await operator.airgap(["status", cluster, "--json"]);
      return code === 0 ? (JSON.parse(stdout) as ClusterStatus) : undefined;
    });
  async function timed<T>(what: string, doing: Promise<T>): Promise<T> {
    const began = Date.now();
    const done = await doing;
    say(`${what} took ${Math.round((Date.now() - began) / 1000)} s`);
    return done;
  }
  const configured = (value: string) =>
    kubectl(host("cp1"), "create", "configmap", "kept", `--from-literal=value=${value}`);
  const kept = () => kubectl(host("cp1"), "get", "configmap", "kept", "-o", "jsonpath={.data.value}");

  beforeAll(async () => {
    await installPrograms();
    bundle = await siteBundle({ ...SIDE, application: "v0.1" });
    rig = await Rig.create("10.75.0");
    const made = (name: string): Promise<Host> => rig.host({ name, password: PASSWORD });
    const [cp1, ...others] = await Promise.all(["cp1", "etcd1", "etcd2", "etcd3"].map(made));
    members = [[cp1 as Host, "control-plane", "registry"], ...others.map((other): Member => [other, "etcd"])];
    await write();
    operator = new Operator(rig, { AIRGAP_SSH_PASSWORD: PASSWORD });
  });

  afterAll(async () => {
    await rig?.destroy();
    scratch[Symbol.dispose]?.();
  });

  it("bare hosts become a cluster that keeps its objects on them, without an image of etcd", {
    timeout: 900_000,
  }, async () => {
    await install();
    await nodesReady(host("cp1"), 1);
    await configured("before");
    expect(await host("cp1").sh("crictl images; ls /etc/kubernetes/manifests")).not.toMatch(/etcd/);
    expect(await host("cp1").sh("ls -d /var/lib/etcd/member 2>/dev/null || echo none")).toBe("none");
  });

  it("a second install has nothing to do, and status shows every member", async () => {
    const { steps } = await install();
    expect(notSo(steps)).toEqual([]);
    const { healthy, problems, etcd } = await operator.json<ClusterStatus>("status", cluster);
    expect({ healthy, problems }).toEqual({ healthy: true, problems: [] });
    expect(etcd.map(({ host: name, healthy, alarms }) => ({ name, healthy, alarms }))).toEqual(
      ["etcd1", "etcd2", "etcd3"].map((name) => ({ name, healthy: true, alarms: [] })),
    );
    expect(etcd.filter(({ leader }) => leader)).toHaveLength(1);
  });

  it("a member is lost with all its data: the cluster serves, and only --replace puts an empty host in its place", {
    timeout: 900_000,
  }, async () => {
    const lost = host("etcd2");
    await lost.unplug();
    await eventually("the cluster to serve without a member", 60, async () =>
      (await kept().catch(() => "")) === "before" ? true : undefined,
    );
    const { address } = lost;
    await lost.destroy();
    const fresh = await rig.host({ name: "etcd2", address, password: PASSWORD });
    members = members.map(([member, ...roles]): Member => [member === lost ? fresh : member, ...roles]);
    await write();
    expect(await operator.expect(3, "install", cluster, "--bundle", bundle, "--yes", ...ANY_DISK)).toMatch(
      /etcd2: member: it is empty, and etcd still counts on[\s\S]*--replace etcd2/,
    );
    expect(await kept()).toBe("before");
    await install("--replace", "etcd2");
    expect(notSo((await install()).steps)).toEqual([]);
    const { problems, etcd } = await operator.json<ClusterStatus>("status", cluster);
    expect(problems).toEqual([]);
    expect(etcd.every(({ healthy, learner }) => healthy && !learner)).toBe(true);
    expect(await kept()).toBe("before");
  });

  it("what was deleted after a backup is there again after its restore, though all control planes were reset", {
    timeout: 900_000,
  }, async () => {
    const file = scratch.path("site/backup.tar");
    const { by, etcd: saved } = await operator.json<BackupResult>("backup", cluster, "-o", file);
    expect(by).toMatch(/^etcd\d$/);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await kubectl(host("cp1"), "delete", "configmap", "kept");
    expect(await operator.expect(2, "restore", cluster, file)).toMatch(/Cancelled: nothing was changed/);
    const { etcd } = await timed(
      "reset of the control plane",
      operator.json<ResetResult>("reset", cluster, "--hosts", "cp1", "--yes"),
    );
    expect(etcd).toMatchObject({ emptied: "prefix", prefix: "/registry/" });
    expect(etcd?.keys).toBeGreaterThan(50);
    expect(await operator.expect(4, "restore", cluster, file, "--yes")).toMatch(/no control plane stands/);
    await timed("its installation", install());
    expect(await kept().catch(() => "not there")).toBe("not there");
    const restored = await timed("restore", operator.json<RestoreResult>("restore", cluster, file, "--yes"));
    expect(restored).toMatchObject({ restored: "everything", members: ["etcd1", "etcd2", "etcd3"] });
    expect(restored.before).toBeGreaterThan(saved.revision);
    expect(await kept()).toBe("before");
    await nodesReady(host("cp1"), 1);
    expect((await timed("until all pods are ready", content())).problems).toEqual([]);
  });

  it("certificates that have expired, kubelet's too, are renewed without an API server", {
    timeout: 900_000,
  }, async () => {
    const before = await operator.json<CertsResult>("certs", cluster);
    expect(before.certificates.map(({ host: name, name: file }) => `${name} ${file}`)).toEqual(
      expect.arrayContaining([
        "cp1 admin.conf",
        "cp1 kubelet-client-current.pem",
        "cp1 apiserver-etcd-client.crt",
        "cp1 airgap/serve/tls.crt",
        "etcd1 airgap/etcd/member.crt",
      ]),
    );
    await letExpire(host("cp1"));
    expect(await kept().catch(() => "nothing")).toBe("nothing");
    expect(await operator.expect(1, "certs", cluster)).toMatch(/! cp1: apiserver\.crt has expired/);
    const { renewed, fine, problems } = await operator.json<CertsResult>(
      "certs",
      cluster,
      "--renew",
      "--yes",
    );
    expect({ fine, problems }).toEqual({ fine: true, problems: [] });
    expect(Object.keys(renewed ?? {}).sort()).toEqual(["cp1", "etcd1", "etcd2", "etcd3"]);
    await nodesReady(host("cp1"), 1);
    expect(await kept()).toBe("before");
    const home = scratch.path("site/.airgap/rig/kubeconfig");
    expect(
      await host("cp1").sh("cat >/root/home; kubectl --kubeconfig /root/home get nodes -o name", {
        input: await readFile(home, "utf8"),
      }),
    ).toBe("node/cp1");
    await content();
    expect(notSo((await install()).steps)).toEqual([]);
  });

  it("space is given back by a timer of each member's own hour", async () => {
    const times = await Promise.all(
      ["etcd1", "etcd2", "etcd3"].map((name) =>
        host(name).sh("systemctl show -p TimersCalendar airgap-etcd-defrag.timer"),
      ),
    );
    expect(new Set(times).size).toBe(3);
    expect(
      await host("etcd1").sh("systemctl start airgap-etcd-defrag && journalctl -o cat -u airgap-etcd-defrag"),
    ).toMatch(/bytes are unused: nothing is done/);
  });

  it("reset says that the members are emptied, and leaves nothing", { timeout: 600_000 }, async () => {
    const { etcd } = await operator.json<ResetResult>("reset", cluster, "--yes");
    expect(etcd).toEqual({ emptied: "members", hosts: ["etcd1", "etcd2", "etcd3"] });
    for (const [member] of members)
      expect(await leftOn(member, "/etc/kubernetes", "/var/lib/etcd", "/usr/local/bin/etcd")).toBe("");
  });
});
