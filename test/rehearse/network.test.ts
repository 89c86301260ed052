import { describe, expect, it } from "vitest";
import type { Cluster } from "../../src/cluster/cluster.ts";
import { parseCluster } from "../../src/cluster/read.ts";
import { chooseNetwork } from "../../src/rehearse/network.ts";

const cluster = (addresses: string[], more = ""): Cluster =>
  parseCluster(
    `apiVersion: airgap/v1
kind: Cluster
name: site
kubernetes: { version: v1.34.4 }
registry: { host: registry.site }
network: none
${more}
hosts:
${addresses.map((address, i) => `  - { name: n${i}, address: "${address}", roles: [${i === 0 ? "control-plane, registry" : "worker"}] }`).join("\n")}
`,
    "/site/cluster.yaml",
  );

describe("the network of a rehearsal", () => {
  it("has the addresses of the cluster file, and others for itself", () => {
    const network = chooseNetwork([cluster(["10.20.0.254", "10.20.0.12"])], ["172.17.0.0/16"]);
    expect(network).toMatchObject({ subnet: "10.20.0.0/24", outside: "10.20.0.253", gateway: "10.20.0.252" });
    expect([...network.addresses]).toEqual([
      ["10.20.0.254", "10.20.0.254"],
      ["10.20.0.12", "10.20.0.12"],
    ]);
    expect(network.mappedBecause).toBeUndefined();
  });

  it("grows with the hosts, up to /16", () => {
    expect(chooseNetwork([cluster(["10.20.1.5", "10.20.200.9"])], []).subnet).toBe("10.20.0.0/16");
    const far = chooseNetwork([cluster(["10.20.1.5", "10.21.0.9"])], []);
    expect(far.mappedBecause).toContain("one IPv4 range");
    expect([...far.addresses.values()]).toEqual(["10.213.1.11", "10.213.1.12"]);
  });

  it("takes no range that this machine or the engine uses", () => {
    const near = chooseNetwork(
      [cluster(["192.168.1.10", "192.168.1.11"])],
      ["192.168.1.5/24", "10.213.0.0/16"],
    );
    expect(near.mappedBecause).toBe(
      "192.168.1.0/24 overlaps 192.168.1.5/24, which is in use on this machine or its engine",
    );
    expect([near.subnet, near.addresses.get("192.168.1.11")]).toEqual(["10.87.64.0/20", "10.87.65.12"]);
    const used = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15"];
    expect(() => chooseNetwork([cluster(["192.168.1.10"])], used)).toThrow("No range of addresses is free");
  });

  it("never lies within the ranges of pods and services", () => {
    const at = (podSubnet: string): string =>
      chooseNetwork(
        [
          cluster(["fd00::1"], "").kubernetes && {
            ...cluster(["10.1.0.1", "10.200.0.1"]),
            kubernetes: { ...cluster(["10.1.0.1"]).kubernetes, podSubnet },
          },
        ],
        [],
      ).subnet;
    expect([at("10.244.0.0/16"), at("10.213.0.0/16")]).toEqual(["10.213.0.0/20", "10.87.64.0/20"]);
  });
});
