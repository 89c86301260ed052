import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scratch } from "../support/scratch.ts";
import { connectedSide } from "./rig/connected.ts";
import { kubernetes } from "./rig/go/recipes.ts";
import type { Host } from "./rig/host.ts";
import { installPrograms } from "./rig/prepare.ts";
import { isBuilt } from "./rig/programs.ts";
import { Rig } from "./rig/rig.ts";
import { must } from "./rig/shell.ts";
import { clusterFile, heardByPod, heardOutside, kubectl, type Member, nodesReady, Operator, stateOf } from "./rig/site.ts";
import { elSystem } from "./rig/system/el.ts";

const VERSION = "v1.34.4";
const PASSWORD = `rig-${Math.random().toString(36).slice(2)}`;
const scratch = new Scratch();
const bundle = scratch.path("site.tar");

// Compiling Kubernetes takes longer than a test run may: `node test/e2e/rig/prepare.ts` does it once.
const compiled = isBuilt(kubernetes(VERSION));
if (!compiled) process.stderr.write("passed over: the tests with a real cluster; fill the rig's cache first: node test/e2e/rig/prepare.ts\n");

describe.runIf(compiled)("a real cluster on isolated hosts, from a bundle", () => {
  let rig: Rig;
  let operator: Operator;
  let members: Member[] = [];
  let cluster = "";
  let [cp, debian, el]: Host[] = [];

  const host = (name: string): Host => members.map(([member]) => member).find((member) => member.name === name) as Host;

  async function workloadsAnswer(): Promise<void> {
    const control = host("cp1");
    await kubectl(control, "rollout", "status", "daemonset/web", "--timeout=150s");
    await kubectl(control, "wait", "--for=condition=Ready", "pod/client", "--timeout=60s");
    expect(await heardByPod(control, "http://web.default.svc.cluster.local/")).toMatch(/^web on w[12]$/);
    const pods = (await kubectl(control, "get", "pods", "-l", "app=web", "-o", "jsonpath={range .items[*]}{.spec.nodeName} {.status.podIP}{'\\n'}{end}"))
      .trim()
      .split("\n");
    expect(pods).toHaveLength(2);
    for (const pod of pods) {
      const [node = "", address = ""] = pod.split(" ");
      expect(await heardByPod(control, `http://${address}:8080/`)).toBe(`web on ${node}`);
    }
    for (const name of ["cp1", "w1", "w2"]) expect(await heardOutside(rig, `http://${host(name).address}:30080/`)).toMatch(/^web on w[12]$/);
  }

  beforeAll(async () => {
    await installPrograms();
    await using connected = await connectedSide(scratch.path("connected"), {
      version: VERSION,
      systems: ["debian", "el"],
      runtime: "containerd",
      extra: { files: [{ self: true }] },
    });
    await must("npm", ["run", "pack", "--", process.arch], { cwd: join(import.meta.dirname, "../.."), timeoutMs: 600_000 });
    await must(join(import.meta.dirname, "../../bin/airgap"), ["build", connected.spec, "-o", bundle], { timeoutMs: 900_000 });
    rig = await Rig.create("10.77.0");
    const { root } = await elSystem();
    [cp, debian, el] = await Promise.all([
      rig.host({ name: "cp1", password: PASSWORD }),
      rig.host({ name: "w1", password: PASSWORD }),
      rig.host({ name: "w2", password: PASSWORD, tree: root }),
    ]);
    const register = await rig.host({ name: "register", password: PASSWORD });
    members = [
      [cp as Host, "control-plane"],
      [debian as Host, "worker"],
      [el as Host, "worker"],
      [register, "registry"],
    ];
    cluster = await clusterFile(scratch.path("site"), members, { kubernetes: { version: VERSION }, addons: ["workloads"] });
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

  it("a dry run changes nothing", async () => {
    const before = await Promise.all(members.map(([member]) => stateOf(member)));
    await operator.expect(0, "install", cluster, "--bundle", bundle, "--dry-run", "--yes");
    expect(await Promise.all(members.map(([member]) => stateOf(member)))).toEqual(before);
  });

  it("bare hosts become a cluster whose pods and services answer", { timeout: 900_000 }, async () => {
    await operator.expect(0, "install", cluster, "--bundle", bundle, "--yes");
    expect((await nodesReady(host("cp1"), 3)).sort()).toEqual(["cp1", "w1", "w2"]);
    await workloadsAnswer();
  });

  it("a second dry run and a second install have nothing to do", async () => {
    const before = await Promise.all(members.map(([member]) => stateOf(member)));
    await operator.expect(0, "install", cluster, "--bundle", bundle, "--dry-run", "--yes");
    await operator.expect(0, "install", cluster, "--bundle", bundle, "--yes");
    expect(await Promise.all(members.map(([member]) => stateOf(member)))).toEqual(before);
  });

  it("no image came from anywhere but the site", async () => {
    for (const name of ["cp1", "w1", "w2"]) {
      const events = await host(name).sh("journalctl --no-pager -u containerd | grep -c 'PullImage' || true");
      expect(Number(events)).toBeGreaterThan(0);
      const failed = await host(name).sh("journalctl --no-pager -u containerd | grep -E 'PullImage .* failed|dial tcp' | head -5");
      expect(failed).toBe("");
    }
  });

  it("everything comes back after all hosts rebooted", async () => {
    await Promise.all(members.map(([member]) => member.reboot()));
    await nodesReady(host("cp1"), 3);
    await workloadsAnswer();
  });

  it("the password is nowhere", async () => {
    for (const [member] of members)
      expect(await member.sh(`grep -rlsF '${PASSWORD}' /etc /var/log /var/lib/airgap /root /run/log 2>/dev/null || true`)).toBe("");
    expect((await must("sh", ["-c", `grep -rlsF '${PASSWORD}' "$0" || true`, scratch.path("site")])).stdout.trim()).toBe("");
  });
});
