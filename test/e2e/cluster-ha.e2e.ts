import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { HostsCheckResult } from "../../src/install/hosts-check.ts";
import type { InstallResult } from "../../src/install/install.ts";
import type { ClusterStatus } from "../../src/install/status.ts";
import { Scratch } from "../support/scratch.ts";
import { siteBundle } from "./rig/bundle.ts";
import type { ConnectedOptions } from "./rig/connected.ts";
import type { Host } from "./rig/host.ts";
import { compiled, installPrograms } from "./rig/prepare.ts";
import { Rig } from "./rig/rig.ts";
import { eventually, say } from "./rig/shell.ts";
import { clusterFile, kubectl, type Member, nodesReady, notSo, Operator, slowest } from "./rig/site.ts";

const SIDE: Omit<ConnectedOptions, "extra"> = {
  version: "v1.34.4",
  systems: ["debian", "el"],
  runtime: "containerd",
};
const PASSWORD = `rig-${Math.random().toString(36).slice(2)}`;
const API = "10.81.0.200";
const ROUTER = 77;
const scratch = new Scratch();

/** A VRRP router of somebody else: RFC 3768, 5.1. It says every second that it is there. */
const STRANGER = `use Socket;
socket(my $s, PF_INET, SOCK_RAW, 112) or die;
setsockopt($s, 0, 32, inet_aton($ARGV[0])) or die;
for (1 .. 60) {
  send($s, pack("C8a4a8", 0x21, ${ROUTER}, 100, 1, 0, 1, 0, 0, inet_aton("10.9.9.9"), ""), 0, pack_sockaddr_in(0, inet_aton("224.0.0.18")));
  sleep 1;
}
`;

interface Asked {
  asked: number;
  answered: number;
  longestGapMs: number;
}

describe.runIf(compiled(SIDE.version))(
  "scenario C: three control planes behind an address that two load balancers share",
  () => {
    let rig: Rig;
    let operator: Operator;
    let members: Member[] = [];
    let cluster = "";
    let bundle = "";

    const host = (name: string): Host =>
      members.map(([member]) => member).find((member) => member.name === name) as Host;
    const install = (...more: string[]) =>
      operator.json<InstallResult>("install", cluster, "--bundle", bundle, "--yes", ...more);
    const status = async (): Promise<ClusterStatus> => {
      const { stdout } = await operator.airgap(["status", cluster, "--json"]);
      return JSON.parse(stdout) as ClusterStatus;
    };
    const holders = async (): Promise<string[]> =>
      (await status()).endpoint?.addresses.map(({ heldBy }) => heldBy.join()) ?? [];
    const write = async (): Promise<void> => {
      cluster = await clusterFile(scratch.path("site"), members, {
        kubernetes: { version: SIDE.version },
        endpoint: { address: API, routerId: ROUTER, loadBalancers: ["lb1", "lb2"] },
      });
    };

    /** What a client of the API sees while something happens after two seconds. */
    async function asking(seconds: number, what: () => Promise<void>): Promise<Asked> {
      const client = rig.run(
        [
          process.execPath,
          join(import.meta.dirname, "./rig/ask-api.ts"),
          scratch.path("site/.airgap/rig/kubeconfig"),
          String(seconds),
        ],
        { timeoutMs: (seconds + 30) * 1000 },
      );
      await new Promise((wake) => setTimeout(wake, 2000));
      await what();
      const { code, stdout, stderr } = await client;
      if (code !== 0) throw new Error(stderr);
      return JSON.parse(stdout) as Asked;
    }

    beforeAll(async () => {
      await installPrograms();
      bundle = await siteBundle({ ...SIDE, application: "v0.1" });
      rig = await Rig.create("10.81.0");
      const names = ["cp1", "cp2", "cp3", "lb1", "lb2", "w1", "register"];
      const roles = [
        ...["control-plane", "control-plane", "control-plane"],
        ...["load-balancer", "load-balancer", "worker", "registry"],
      ];
      const hosts = await Promise.all(names.map((name) => rig.host({ name, password: PASSWORD })));
      members = hosts.map((each, i): Member => [each, roles[i] ?? ""]);
      await write();
      operator = new Operator(rig, { AIRGAP_SSH_PASSWORD: PASSWORD });
    });

    afterAll(async () => {
      await rig?.destroy();
      scratch[Symbol.dispose]?.();
    });

    it("another machine at the address, and another router of that id, are found before anything is changed", async () => {
      const stranger = host("register");
      await stranger.sh(`ip address add ${API}/32 dev host0; cat >/root/vrrp.pl`, { input: STRANGER });
      await stranger.sh(
        `setsid perl /root/vrrp.pl ${stranger.address} >/dev/null 2>&1 & echo $! >/root/vrrp.pid`,
      );
      const { stdout } = await operator.airgap(["hosts", "check", cluster, "--yes", "--json"]);
      await stranger.sh(`kill "$(cat /root/vrrp.pid)"; ip address delete ${API}/32 dev host0`);
      const { findings } = JSON.parse(stdout) as HostsCheckResult;
      const said = findings
        .filter(({ check }) => check === "vip" || check === "router-id")
        .map(({ message }) => message);
      expect(said).toContainEqual(expect.stringMatching(`^another machine answers at ${API}: `));
      expect(said).toContain(
        `${stranger.address} on this network is a VRRP router with the id ${ROUTER} already`,
      );
    });

    it("bare hosts become a cluster that is asked by that address", { timeout: 1_200_000 }, async () => {
      const { time, steps } = await install();
      say(`three control planes took ${Math.round((time?.total ?? 0) / 1000)} s; ${slowest(steps)}`);
      expect((await nodesReady(host("cp1"), 4)).sort()).toEqual(["cp1", "cp2", "cp3", "w1"]);
      const server = await host("w1").sh("grep server: /etc/kubernetes/kubelet.conf");
      expect(server).toContain(`https://${API}:6443`);
      await eventually("status to be content", 180, async () => (await status()).healthy || undefined);
      const { endpoint } = await status();
      expect(endpoint?.addresses).toEqual([{ name: "api", address: API, port: 6443, heldBy: ["lb1"] }]);
      expect(
        endpoint?.loadBalancers.map(({ host: name, servers }) => [
          name,
          servers.map((server) => [server.host, server.up]),
        ]),
      ).toEqual(["lb1", "lb2"].map((name) => [name, ["cp1", "cp2", "cp3"].map((server) => [server, true])]));
      expect(notSo((await install()).steps)).toEqual([]);
    });

    it("the load balancer that holds the address loses power: the other one has it within 5 s", async () => {
      const { longestGapMs, ...counts } = await asking(10, () => host("lb1").unplug());
      say(
        `a load balancer lost: no answer for ${longestGapMs} ms (${counts.answered} of ${counts.asked} answered)`,
      );
      expect(longestGapMs).toBeLessThan(5000);
      expect(await holders()).toEqual(["lb2"]);
      await host("lb1").boot();
      await eventually("lb1 to have the address again", 60, async () => (await holders())[0] === "lb1");
    });

    it("a control plane loses power: the API answers again within 10 s, and status names it", async () => {
      const { longestGapMs, ...counts } = await asking(16, () => host("cp1").unplug());
      say(
        `a control plane lost: no answer for ${longestGapMs} ms (${counts.answered} of ${counts.asked} answered)`,
      );
      expect(longestGapMs).toBeLessThan(10_000);
      const { healthy, problems } = await status();
      expect(healthy).toBe(false);
      expect(problems).toContainEqual(
        expect.stringMatching(/^cp1 does not serve the API for lb1, lb2 \(DOWN/),
      );
    });

    it("an empty host of its name takes its place, when that is asked for", {
      timeout: 900_000,
    }, async () => {
      const { address } = host("cp1");
      await host("cp1").destroy();
      const fresh = await rig.host({ name: "cp1", address, password: PASSWORD });
      members = members.map(([member, role]): Member => [member.name === "cp1" ? fresh : member, role ?? ""]);
      await write();
      const refused = await operator.expect(3, "install", cluster, "--bundle", bundle, "--yes");
      expect(refused).toMatch(/cp1: member: it is empty, .* a member of etcd and a node of that name/);
      expect(refused).toContain("--replace cp1");
      const { steps } = await install("--replace", "cp1");
      const done = steps.filter(({ state }) => state === "done").map(({ host, step }) => `${host} ${step}`);
      expect(done).toContain("cp1 join");
      expect(done.filter((each) => each.endsWith(" forget-cp1"))).toHaveLength(1);
      expect((await nodesReady(host("cp2"), 4)).sort()).toEqual(["cp1", "cp2", "cp3", "w1"]);
      const pods = await kubectl(
        host("cp2"),
        ...["-n", "kube-system", "get", "pods", "-l", "component=etcd", "--no-headers"],
      );
      expect(pods.split("\n").filter((line) => / 1\/1 +Running /.test(line))).toHaveLength(3);
    });

    it("then there is nothing to do, and all is well", async () => {
      // The first control plane of the file speaks for the cluster again.
      expect(notSo((await install()).steps)).toEqual([]);
      await eventually("status to be content", 180, async () => (await status()).healthy || undefined);
      expect(await holders()).toEqual(["lb1"]);
    });
  },
);
