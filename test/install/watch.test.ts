import { describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.ts";
import type { ClusterStatus } from "../../src/install/status.ts";
import { changesBetween, type Look, watch } from "../../src/install/watch.ts";
import { PlayedSite } from "../support/install/played-site.ts";

const look = (problems: string[], more: Partial<ClusterStatus> = {}): Look => ({
  time: "2026-01-01T00:00:00.000Z",
  status: { problems, etcd: [], healthy: problems.length === 0, ...more } as unknown as ClusterStatus,
});
const etcd = (leader: string) =>
  ["cp1", "cp2"].map((host) => ({ host, healthy: true, leader: host === leader, alarms: [] })) as never;
const endpoint = (...heldBy: string[]) =>
  ({ addresses: [{ name: "api", address: "10.0.0.200", port: 6443, heldBy }], loadBalancers: [] }) as never;

describe("what changes between two looks", () => {
  it("is nothing, where only days and megabytes are others", () => {
    const before = look(["cp1: / has only 1800 MiB left", "ca.crt of cp1 expires in 12 days"]);
    expect(
      changesBetween(before, look(["cp1: / has only 900 MiB left", "ca.crt of cp1 expires in 1 day"])),
    ).toEqual([]);
  });

  it("is a problem that came, and one that is solved", () => {
    expect(changesBetween(look(["node1: not ready"]), look(["node2: not ready"]))).toEqual([
      "! node2: not ready",
      "solved: node1: not ready",
    ]);
  });

  it("is who has the shared address and who leads etcd", () => {
    const before = look([], { endpoint: endpoint("lb1"), etcd: etcd("cp1") });
    expect(changesBetween(before, look([], { endpoint: endpoint("lb2"), etcd: etcd("cp2") }))).toEqual([
      "lb2 has 10.0.0.200, lb1 had it",
      "cp2 has the leadership of etcd, cp1 had it",
    ]);
    expect(changesBetween(before, look([], { endpoint: endpoint(), etcd: etcd("cp1") }))).toEqual([
      "nobody has 10.0.0.200, lb1 had it",
    ]);
  });

  it("is a cluster that cannot be asked any more", () => {
    const silent: Look = { time: "", silent: "cp1: no connection" };
    expect(changesBetween(look([]), silent)).toEqual(["! the cluster cannot be asked: cp1: no connection"]);
    expect(changesBetween(undefined, silent)).toHaveLength(1);
    expect(changesBetween(silent, look([]))).toEqual([
      "solved: the cluster cannot be asked: cp1: no connection",
    ]);
  });
});

describe("watching", () => {
  it("goes on when the cluster does not answer, and ends when it is told to", async () => {
    using site = new PlayedSite();
    await site.write();
    for (const name of ["master1", "node1"])
      site
        .host(name)
        .answers(/kubectl get (?:nodes|pods)/, JSON.stringify({ items: [] }))
        .answers(/^show_certificates$/, "")
        .answers(
          /^show_etcd_status /,
          "=== health\nhttps://127.0.0.1:2379 is healthy\n=== status\n[]\n=== alarms\n",
        )
        .answers(/^show_disks$/, "")
        .answers(/^show_image_origins$/, "");
    let down = true;
    const stop = new AbortController();
    const open: PlayedSite["open"] = (host) =>
      down ? Promise.reject(new AirgapError("network", `${host.name}: no connection`)) : site.open(host);
    const seen: Look[] = [];
    const options = { clusterFile: site.clusterFile, open, signal: stop.signal };
    for await (const each of watch(options, 5)) {
      seen.push(each);
      if (seen.length === 2) down = false;
      if (seen.length === 4) stop.abort();
    }
    expect(seen.map(({ silent }) => silent !== undefined)).toEqual([true, true, false, false]);
    expect(seen.at(-1)?.status?.problems).toContain("node1 is not in the cluster");
  });

  it("ends at once where waiting does not help", async () => {
    const looks = watch({ clusterFile: "/nonexistent/cluster.yaml" }, 5);
    await expect(looks.next()).rejects.toBeInstanceOf(AirgapError);
  });
});
