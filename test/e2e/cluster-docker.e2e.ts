import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { InstallResult } from "../../src/install/install.ts";
import type { ClusterStatus } from "../../src/install/status.ts";
import { Scratch } from "../support/scratch.ts";
import { applicationPort, writeApplication } from "./rig/application.ts";
import { siteBundle } from "./rig/bundle.ts";
import type { ConnectedOptions } from "./rig/connected.ts";
import type { Host } from "./rig/host.ts";
import { compiled, installPrograms } from "./rig/prepare.ts";
import { Rig } from "./rig/rig.ts";
import {
  clusterFile,
  heardOutside,
  KUBEADM,
  leftOn,
  type Member,
  nodesReady,
  notSo,
  Operator,
  workloadsAnswer,
} from "./rig/site.ts";

const SIDE: Omit<ConnectedOptions, "extra"> = { version: "v1.23.17", systems: ["debian"], runtime: "docker" };
const PASSWORD = `rig-${Math.random().toString(36).slice(2)}`;
const SITE = "register.rig.test/";
const scratch = new Scratch();

/** The Go that compiled it reads IPv6 proxies otherwise than kubeadm of that time expects. */
const ignored = { nodeRegistration: { ignorePreflightErrors: ["HTTPProxyCIDR"] } };

describe.runIf(compiled(SIDE.version))("scenario A: a real cluster with Docker, Kubernetes 1.23", () => {
  let rig: Rig;
  let operator: Operator;
  let cp1: Host;
  let w1: Host;
  let cluster = "";
  let bundle = "";

  beforeAll(async () => {
    await installPrograms();
    bundle = await siteBundle({ ...SIDE, application: "v0.1" });
    rig = await Rig.create("10.76.0");
    const host = (name: string): Promise<Host> => rig.host({ name, password: PASSWORD });
    const [first, second, register] = await Promise.all([host("cp1"), host("w1"), host("register")]);
    [cp1, w1] = [first, second];
    const members: Member[] = [
      [cp1, "control-plane"],
      [w1, "worker"],
      [register, "registry"],
    ];
    await writeApplication(scratch.path("site/apps"), "v0.1");
    cluster = await clusterFile(scratch.path("site"), members, {
      kubernetes: { version: SIDE.version },
      runtime: "docker",
      addons: ["workloads", { manifest: "apps/" }],
      kubeadm: { ...KUBEADM, InitConfiguration: ignored, JoinConfiguration: ignored },
    });
    operator = new Operator(rig, { AIRGAP_SSH_PASSWORD: PASSWORD });
  });

  afterAll(async () => {
    await rig?.destroy();
    scratch[Symbol.dispose]?.();
  });

  it("bare hosts become a cluster whose pods and services answer", { timeout: 900_000 }, async () => {
    await operator.expect(0, "install", cluster, "--bundle", bundle, "--yes");
    expect((await nodesReady(cp1, 2)).sort()).toEqual(["cp1", "w1"]);
    await workloadsAnswer(rig, cp1, [w1]);
    expect(await heardOutside(rig, `http://${cp1.address}:${applicationPort}/`)).toBe("shop v0.1");
  });

  it("a second install has nothing to do, and status says that all is well", async () => {
    const { steps } = await operator.json<InstallResult>("install", cluster, "--bundle", bundle, "--yes");
    expect(notSo(steps)).toEqual([]);
    const { healthy, problems, nodes } = await operator.json<ClusterStatus>("status", cluster);
    expect({ healthy, problems }).toEqual({ healthy: true, problems: [] });
    expect(nodes.map(({ runtime }) => runtime)).toEqual([
      expect.stringMatching(/^docker:/),
      expect.stringMatching(/^docker:/),
    ]);
  });

  it("Docker has pulled from the site alone, and images have their names from there", async () => {
    for (const host of [cp1, w1]) {
      const pulls = (
        await host.sh(
          "docker events --since 0 --until \"$(date +%s)\" --filter type=image --filter event=pull --format '{{.Actor.ID}}'",
        )
      ).split("\n");
      expect(pulls.length).toBeGreaterThan(2);
      const names = (await host.sh("docker image ls --format '{{.Repository}}'")).split("\n");
      expect([...pulls, ...names].filter((name) => !name.startsWith(SITE))).toEqual([]);
    }
  });

  it("everything comes back after all hosts rebooted", async () => {
    await Promise.all(rig.hosts.map((host) => host.reboot()));
    await nodesReady(cp1, 2);
    await workloadsAnswer(rig, cp1, [w1]);
  });

  it("reset gives back bare hosts", { timeout: 600_000 }, async () => {
    await operator.expect(0, "reset", cluster, "--yes");
    for (const host of rig.hosts)
      expect(await leftOn(host, "/etc/kubernetes", "/var/lib/kubelet", "/var/lib/etcd")).toBe("");
  });
});
