import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import type { InstallResult } from "../../../src/install/install.ts";
import type { ClusterStatus } from "../../../src/install/status.ts";
import { Random } from "../../support/random.ts";
import { Scratch } from "../../support/scratch.ts";
import { siteBundle } from "../rig/bundle.ts";
import type { ConnectedOptions } from "../rig/connected.ts";
import { inside } from "../rig/network.ts";
import { compiled, installPrograms } from "../rig/prepare.ts";
import { Rig } from "../rig/rig.ts";
import { eventually, say } from "../rig/shell.ts";
import { clusterFile, kubectl, type Member, nodesReady, notSo, Operator } from "../rig/site.ts";

const SIDE: Omit<ConnectedOptions, "extra"> = {
  version: "v1.34.4",
  systems: ["debian", "el"],
  runtime: "containerd",
};
const KILLS = 20;
const PASSWORD = `rig-${Math.random().toString(36).slice(2)}`;
const AIRGAP = join(import.meta.dirname, "../../../bin/airgap");
const scratch = new Scratch();

/** Hosts with their roles, and what the cluster file has beside them. */
const SITES: Record<string, { hosts: [name: string, ...roles: string[]][]; more: Record<string, unknown> }> =
  {
    "C: three control planes behind two load balancers": {
      hosts: [
        ["cp1", "control-plane", "registry"],
        ["cp2", "control-plane"],
        ["cp3", "control-plane"],
        ["lb1", "load-balancer"],
        ["lb2", "load-balancer"],
        ["w1", "worker"],
      ],
      more: { endpoint: { address: "10.82.0.200", routerId: 78, loadBalancers: ["lb1", "lb2"] } },
    },
    "G: etcd on three hosts of its own": {
      hosts: [
        ["cp1", "control-plane", "registry"],
        ["etcd1", "etcd"],
        ["etcd2", "etcd"],
        ["etcd3", "etcd"],
      ],
      more: { etcd: "external" },
    },
  };

describe.runIf(compiled(SIDE.version)).each(Object.entries(SITES))("%s", (title, { hosts, more }) => {
  let rig: Rig | undefined;
  afterEach(() => rig?.destroy());
  afterAll(() => scratch[Symbol.dispose]?.());

  it(`install comes to its end though it is killed ${KILLS} times`, { timeout: 2_400_000 }, async () => {
    await installPrograms();
    const bundle = await siteBundle({ ...SIDE, application: "v0.1" });
    rig = await Rig.create("10.82.0");
    const { network } = rig;
    const members = await Promise.all(
      hosts.map(
        async ([name, ...roles]): Promise<Member> => [
          await (rig as Rig).host({ name, password: PASSWORD }),
          ...roles,
        ],
      ),
    );
    const cluster = await clusterFile(scratch.path(title.slice(0, 1)), members, {
      kubernetes: { version: SIDE.version },
      ...more,
    });
    const words = ["install", cluster, "--bundle", bundle, "--yes", "--ignore-check", "etcd-disk"];
    const env = { ...process.env, NO_COLOR: "1", AIRGAP_SSH_PASSWORD: PASSWORD };
    const random = new Random(Date.now() % 1000);

    let kills = 0;
    let whole = false;
    for (; kills < KILLS && !whole; kills++) {
      const [command, args] = inside(network, [AIRGAP, ...words]);
      const child = spawn(command, args, { env, stdio: ["ignore", "ignore", "pipe"] });
      let said = "";
      child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
      const over = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
      // After facts and checks, and then anywhere in what takes a fresh host a few minutes.
      const ended = await Promise.race([over, sleep(4000 + random.below(9000), "running" as const)]);
      if (ended === "running") {
        child.kill("SIGKILL");
        await over;
      } else if (ended === 0) whole = true;
      else throw new Error(`run ${kills + 1} ended with ${ended}: ${said.slice(-3000)}`);
    }
    say(`${title.slice(0, 1)}: killed ${whole ? kills - 1 : kills} times`);

    const operator = new Operator(rig, { AIRGAP_SSH_PASSWORD: PASSWORD });
    await operator.json<InstallResult>(...words);
    expect(notSo((await operator.json<InstallResult>(...words)).steps)).toEqual([]);
    const nodes = hosts.filter(([, ...roles]) => roles.includes("control-plane") || roles.includes("worker"));
    const [cp1] = members[0] as Member;
    expect((await nodesReady(cp1, nodes.length)).sort()).toEqual(nodes.map(([name]) => name).sort());
    const { problems, etcd } = await eventually("status to be content", 180, async () => {
      const { code, stdout } = await operator.airgap(["status", cluster, "--json"]);
      return code === 0 ? (JSON.parse(stdout) as ClusterStatus) : undefined;
    });
    expect(problems).toEqual([]);
    expect(etcd).toHaveLength(3);
    expect(await kubectl(cp1, "get", "namespaces", "-o", "name")).toContain("kube-flannel");
  });
});
