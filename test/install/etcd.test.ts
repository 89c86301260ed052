import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { entryHeader } from "../../src/bundle/tar.ts";
import { makeContext } from "../../src/install/context.ts";
import { parseEtcd } from "../../src/install/etcd/ask.ts";
import type { EtcdFound } from "../../src/install/etcd/found.ts";
import { compareEtcd, readEtcdRelease } from "../../src/install/etcd/release.ts";
import { etcdProblems, parseEtcdStatus } from "../../src/install/etcd/status.ts";
import { registryPrefix } from "../../src/install/etcd/topology.ts";
import { imagesFor } from "../../src/install/node-images.ts";
import { formatFinding, preflight } from "../../src/install/preflight/preflight.ts";
import { clusterOf, siteOf, type Wishes } from "../support/install/site.ts";

const HOSTS = [
  { name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry"] },
  ...[1, 2, 3].map((n) => ({ name: `etcd${n}`, address: `10.0.0.3${n}`, roles: ["etcd"] })),
];
const CLUSTER = { etcd: "external", hosts: HOSTS };
const DATA = { owner: "site", exists: ["/var/lib/etcd/member"] };
const member = (n: number, more: object = {}) => ({
  id: `a${n}`,
  name: `etcd${n}`,
  peerUrls: [`https://10.0.0.3${n}:2380`],
  learner: false,
  ...more,
});
const found = (more: Partial<EtcdFound> = {}): EtcdFound => ({
  by: "etcd1",
  members: [1, 2, 3].map((n) => member(n)),
  sync: {},
  ...more,
});
const STANDS = { etcd1: DATA, etcd2: DATA, etcd3: DATA };

function lines(wishes: Wishes = {}): string[] {
  const site = siteOf({ os: "debian-12", bundle: { files: ["etcd"] }, cluster: CLUSTER, ...wishes });
  return preflight(makeContext(site))
    .filter(({ check }) => check === "member" || check.startsWith("etcd") || check === "ports")
    .map((finding) => `${finding.severity}: ${formatFinding(finding)}`);
}

describe("an etcd of its own, before anything is changed", () => {
  it("finds nothing wrong with bare hosts and a bundle that carries it, nor with members that stand", () => {
    expect(lines()).toEqual([]);
    expect(lines({ hostFacts: STANDS, etcd: found() })).toEqual([]);
  });

  it("wants the release in the bundle, for the machine, new enough for kubeadm, and a step that members can take", () => {
    expect(lines({ bundle: {} })).toEqual([
      "error: etcd: site.tar has no file `etcd`, from which etcd is installed",
    ]);
    expect(
      lines({
        cluster: { ...CLUSTER, kubernetes: { version: "v1.34.2" } },
        hostFacts: { etcd2: { machine: "aarch64" } },
      }).filter((line) => line.includes(": etcd: ")),
    ).toEqual(["error: etcd2: etcd: it is arm64, but site.tar has etcd for amd64"]);
    const installed = (etcd: string) =>
      lines({ hostFacts: { ...STANDS, etcd1: { ...DATA, versions: { etcd } } }, etcd: found() });
    expect(installed("3.4.30")).toEqual([]);
    expect(installed("3.3.27")[0]).toMatch(
      /^error: etcd1: etcd: its etcd is 3\.3\.27, and site\.tar has 3\.5\.24/,
    );
    expect(installed("3.6.5")[0]).toMatch(/members go up/);
  });

  it("does not take data of another etcd, nor objects of an earlier cluster", () => {
    expect(lines({ hostFacts: { etcd2: { exists: ["/var/lib/etcd/member"] } } })).toEqual([
      "error: etcd2: etcd-data: /var/lib/etcd has data of another etcd",
    ]);
    expect(lines({ hostFacts: STANDS, etcd: found({ keys: 12 }) })).toEqual([
      "error: etcd-data: etcd has 12 keys below /registry/ of an earlier cluster, which would come back to life",
    ]);
    const plane = { owner: "site", exists: ["/etc/kubernetes/admin.conf", "/etc/kubernetes/kubelet.conf"] };
    expect(lines({ hostFacts: { ...STANDS, master1: plane }, etcd: found({ keys: 12 }) })).toEqual([]);
    for (const mark of ["kubeadm-began", "kubeadm-discarded"]) {
      const own = { owner: "site", exists: [`/var/lib/airgap/${mark}`] };
      expect(lines({ hostFacts: { ...STANDS, master1: own }, etcd: found({ keys: 12 }) })).toEqual([]);
      const theirs = { ...own, owner: "another" };
      expect(lines({ hostFacts: { ...STANDS, master1: theirs }, etcd: found({ keys: 12 }) })).not.toEqual([]);
    }
  });

  it("replaces a lost member only when it is told to, and never one that has data", () => {
    const lost = { etcd1: DATA, etcd3: DATA };
    expect(lines({ hostFacts: lost, etcd: found() })).toEqual([
      "error: etcd2: member: it is empty, and etcd still counts on the member that it was",
    ]);
    expect(lines({ hostFacts: lost, etcd: found(), replace: ["etcd2"] })).toEqual([]);
    expect(lines({ hostFacts: lost, etcd: found({ members: [member(1), member(3)] }) })[0]).toMatch(
      /does not know it$/,
    );
    expect(lines({ hostFacts: STANDS, etcd: found(), replace: ["etcd2"] })).toEqual([
      "error: etcd2: member: it has etcd's data, so it is not one that comes back empty",
    ]);
    expect(lines({ hostFacts: lost, etcd: found({ unanswered: "no leader" }), replace: ["etcd2"] })).toEqual([
      "error: etcd1: member: its member of etcd does not say who the members are: no leader",
    ]);
    const stranger = { id: "b9", name: "old", peerUrls: ["https://10.0.0.39:2380"], learner: false };
    expect(
      lines({
        hostFacts: lost,
        etcd: found({ members: [...found().members, stranger] }),
        replace: ["etcd2"],
      }),
    ).toEqual([
      "error: etcd1: member: etcd has a member that the cluster file does not name: old at https://10.0.0.39:2380",
    ]);
  });

  it("warns of a slow disk, and refuses one on which heartbeats are missed", () => {
    const sync = {
      etcd1: { mean: 3, slowest: 9 },
      etcd2: { mean: 12.5, slowest: 30 },
      etcd3: { mean: 140, slowest: 300 },
    };
    expect(lines({ etcd: { members: [], sync } })).toEqual([
      expect.stringMatching(/^warning: etcd2: etcd-disk: .*12\.5 ms on average/),
      expect.stringMatching(/^error: etcd3: etcd-disk: .*140 ms on average/),
    ]);
  });

  it("wants etcd's ports free on members, and not on control planes", () => {
    const listening = [2379];
    expect(lines({ hostFacts: { master1: { listening }, etcd1: { listening } } })).toEqual([
      "error: etcd1: ports: another program already listens on 2379",
    ]);
  });
});

describe("an etcd that somebody else keeps", () => {
  const etcd = { endpoints: ["https://e:2379"], caFile: "a", certFile: "b", keyFile: "c" };
  const asked = (endpoint: object, keys?: number) =>
    lines({
      cluster: { etcd },
      etcd: {
        members: [],
        sync: {},
        given: {
          endpoints: [{ url: "https://e:2379", healthy: true, ...endpoint }],
          ...(keys === undefined ? {} : { keys }),
        },
      },
    });

  it("must be new enough, healthy and empty", () => {
    expect(asked({ version: "3.5.24" }, 0)).toEqual([]);
    expect(asked({ version: "3.4.3" })).toEqual([
      "error: etcd: https://e:2379 is etcd 3.4.3; kubeadm v1.28.2 accepts an external etcd from 3.4.13 on",
    ]);
    expect(asked({ healthy: false, problem: "timed out" })).toEqual([
      "error: etcd: https://e:2379 is not healthy, as asked from this machine: timed out",
    ]);
    expect(asked({}, 7)[0]).toMatch(/^error: etcd-data: etcd has 7 keys/);
  });
});

it("kubeadm's images have none of etcd where it is elsewhere", () => {
  const names = (cluster: object) =>
    imagesFor(clusterOf(cluster as Record<string, unknown>), siteOf().bundle.lock).kubeadm.map(
      ({ asked }) => asked,
    );
  expect(names({}).filter((name) => name.includes("etcd"))).toHaveLength(1);
  expect(names(CLUSTER).filter((name) => name.includes("etcd"))).toEqual([]);
  expect(names({ ...CLUSTER, runtime: "docker" }).filter((name) => name.includes("etcd"))).toEqual([]);
});

it("the API servers' prefix is read from their arguments, in both forms", () => {
  const prefix = (extraArgs: unknown) =>
    registryPrefix(clusterOf({ kubeadm: { ClusterConfiguration: { apiServer: { extraArgs } } } }));
  expect(registryPrefix(clusterOf())).toBe("/registry/");
  expect(prefix({ "etcd-prefix": "/blue" })).toBe("/blue/");
  expect(prefix([{ name: "etcd-prefix", value: "/green/" }])).toBe("/green/");
});

describe("etcd's release archive", () => {
  const archive = (name: string): Buffer =>
    gzipSync(Buffer.concat([entryHeader(name, 0), Buffer.alloc(1024)]));
  it("is known by its first folder, wherever it lies in the bundle", () => {
    const read = (bytes: Buffer) => readEtcdRelease("site.tar", bytes);
    expect(read(archive("etcd-v3.5.24-linux-amd64/README.md"))).toEqual({ version: "3.5.24", arch: "amd64" });
    for (const wrong of [
      archive("harbor/harbor.sh"),
      Buffer.from("no archive"),
      archive("etcd-v3.5.24-darwin-amd64/x"),
    ])
      expect(() => read(wrong)).toThrow(/is not a release archive of etcd/);
  });

  it("is compared by three numbers", () => {
    expect(compareEtcd("3.5.24", "3.5.9")).toBeGreaterThan(0);
    expect(compareEtcd("3.5.24-0", "3.5.24")).toBe(0);
    expect(compareEtcd("3.4.30", "3.5.0")).toBeLessThan(0);
  });
});

describe("what members say", () => {
  it("is read line by line, and nothing else is believed", () => {
    expect(
      parseEtcd(
        "member a1 started etcd1 https://10.0.0.31:2380 voter\nmember b2 unstarted - https://10.0.0.32:2380 learner\nmember ../x\nkeys 12\n",
      ),
    ).toEqual({
      members: [member(1), { id: "b2", peerUrls: ["https://10.0.0.32:2380"], learner: true }],
      keys: 12,
    });
    expect(parseEtcd("keys -3\nnonsense")).toEqual({ members: [] });
  });

  it("becomes its health, its size and its alarms", () => {
    const status = JSON.stringify([
      { Status: { header: { member_id: 7 }, version: "3.6.5", dbSize: 2000, dbSizeInUse: 500, leader: 7 } },
    ]);
    expect(
      parseEtcdStatus(
        "etcd1",
        `=== health\nhttps://127.0.0.1:2379 is healthy: took = 2ms\n=== status\n${status}\n=== alarms\nmemberID:7 alarm:NOSPACE \n`,
      ),
    ).toEqual({
      host: "etcd1",
      healthy: true,
      version: "3.6.5",
      leader: true,
      learner: false,
      size: 2000,
      used: 500,
      alarms: ["NOSPACE"],
    });
    const silent = parseEtcdStatus(
      "etcd2",
      "=== health\nError: context deadline exceeded\n=== status\n=== alarms\n",
    );
    expect(silent).toEqual({
      host: "etcd2",
      healthy: false,
      alarms: [],
      problem: "Error: context deadline exceeded",
    });
    expect(etcdProblems([silent, { host: "etcd1", healthy: true, alarms: ["NOSPACE"] }])).toEqual([
      "etcd on etcd2: Error: context deadline exceeded",
      "etcd has no space left and takes no writes (alarm NOSPACE): docs/etcd.md",
    ]);
  });
});
