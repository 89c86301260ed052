import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { parseCluster, readCluster } from "../../src/cluster/read.ts";
import { checkRehearsable, writeClusterFile } from "../../src/rehearse/cluster-file.ts";
import { chooseNetwork } from "../../src/rehearse/network.ts";
import { Scratch } from "../support/scratch.ts";

const scratch = new Scratch();
afterAll(() => scratch[Symbol.dispose]());

const text = (more: string): string => `apiVersion: airgap/v1
kind: Cluster
name: site
kubernetes:
  version: v1.34.4
  extraSans: [10.20.0.1, 10.20.0.11, api.site]
  dnsHosts: { git.site: 10.20.0.12 }
registry: { host: registry.site }
network: none
ssh: { user: admin, sudo: true, passwordEnv: SITE_PASSWORD }
hosts:
  - { name: cp1, address: 10.20.0.1, roles: [control-plane, registry], connection: local }
  - { name: w1, address: 10.20.0.11, roles: [worker], ssh: { port: 2222 } }
${more}`;

describe("the cluster file of a rehearsal", () => {
  it("has other addresses wherever it names them, a login of its own, and paths that still lead there", async () => {
    const original = scratch.write(
      "cluster.yaml",
      text(`addons: [{ manifest: apps/ }]
kubeadm:
  KubeletConfiguration: { maxPods: 50, evictionHard: { "memory.available": 5% } }
`),
    );
    const cluster = await readCluster(original);
    const network = chooseNetwork([cluster], ["10.20.0.0/24"]);
    mkdirSync(scratch.path("work"));
    const hostKeys = new Map([["w1", `SHA256:${"A".repeat(43)}`]]);
    const written = writeClusterFile(original, scratch.path("work"), {
      network,
      identityFile: "/key",
      hostKeys,
    });
    const read = await readCluster(written);
    expect(
      read.hosts.map(({ address, connection, hostKey, ssh }) => [
        address,
        connection,
        hostKey,
        ssh.user,
        ssh.sudo,
        ssh.port,
      ]),
    ).toEqual([
      ["10.213.1.11", "ssh", undefined, "root", false, undefined],
      ["10.213.1.12", "ssh", hostKeys.get("w1"), "root", false, undefined],
    ]);
    expect(read.kubernetes.extraSans).toEqual(["10.213.1.11", "10.213.1.12", "api.site"]);
    // Nobody of this cluster has that address: it is none of another's beginning.
    expect(read.kubernetes.dnsHosts).toEqual({ "git.site": "10.20.0.12" });
    expect(read.addons).toEqual([{ manifest: join(scratch.dir, "apps") }]);
    const { kubeadm } = parse(readFileSync(written, "utf8")) as {
      kubeadm: Record<string, Record<string, unknown>>;
    };
    expect(kubeadm["KubeletConfiguration"]).toMatchObject({ maxPods: 50, imageGCHighThresholdPercent: 100 });
    expect(kubeadm["KubeProxyConfiguration"]?.["conntrack"]).toMatchObject({ maxPerCore: 0 });
  });

  it.each([
    ["registry.mode is external", "registry: { host: registry.site, mode: external, address: 10.20.0.9 }"],
    ["etcd.endpoints", "etcd: { endpoints: [https://10.20.0.30:2379], caFile: a, certFile: b, keyFile: c }"],
    ["endpoint.port", "endpoint: { address: 10.20.0.9, port: 443 }"],
  ])("is refused where somebody else has what it needs: %s", (why, line) => {
    const key = line.slice(0, line.indexOf(":"));
    const given = text("")
      .split("\n")
      .filter((each) => !each.startsWith(`${key}:`));
    const roles =
      key === "registry"
        ? given.map((each) => each.replace("[control-plane, registry]", "[control-plane]"))
        : given;
    const cluster = parseCluster(
      `${roles.join("\n")}\n${line}\nrepository: { host: cp1 }\n`,
      "/site/cluster.yaml",
    );
    expect(() => checkRehearsable(cluster)).toThrow(why);
  });
});
