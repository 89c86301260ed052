import { describe, expect, it } from "vitest";
import { diskProblems, disksIn, markProblems } from "../../src/install/status-differences.ts";
import { siteOf } from "../support/install/site.ts";

const HOSTS = [
  { name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry"] },
  {
    ...{ name: "node1", address: "10.0.0.15", roles: ["worker"] },
    labels: { disk: "ssd" },
    taints: ["gpu:NoSchedule", "a=b:NoExecute"],
  },
];
const node = (labels: object, taints: object[]) => ({
  metadata: { name: "node1", labels },
  spec: { taints },
});

describe("what differs from the cluster file and the bundle", () => {
  const { cluster } = siteOf({ cluster: { hosts: HOSTS } });

  it("labels and taints that a node does not have", () => {
    const taints = [
      { key: "gpu", effect: "NoSchedule" },
      { key: "a", value: "b", effect: "NoExecute" },
    ];
    expect(markProblems(cluster, [node({ disk: "ssd", more: "x" }, taints)])).toEqual([]);
    expect(markProblems(cluster, [node({ disk: "hdd" }, taints.slice(1))])).toEqual([
      "node1 lacks the label disk=ssd, the taint gpu:NoSchedule of the cluster file",
    ]);
    expect(markProblems(cluster, [])).toEqual([]);
  });

  it("disks that are nearly full, by what df says", () => {
    const disks = disksIn("node1", "/ 100000000 50000000\n/var 100000000 1000000\nodd\n/small 10000 9000\n");
    expect(disks.map(({ mount }) => mount)).toEqual(["/", "/var", "/small"]);
    expect(diskProblems(disks)).toEqual(["node1: /var has only 977 MiB left"]);
  });
});
