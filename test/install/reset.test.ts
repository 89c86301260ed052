import { beforeEach, describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.ts";
import { clearLeftovers } from "../../src/install/clear-leftovers.ts";
import { type ResetOptions, type ResetResult, reset } from "../../src/install/reset.ts";
import { Journal } from "../../src/state/journal.ts";
import { PlayedSite } from "../support/install/played-site.ts";

const MASTER = { name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry"] };
const NODE = { name: "node1", address: "10.0.0.15", roles: ["worker"] };
const NEXT = { name: "node2", address: "10.0.0.16", roles: ["worker"] };

let site: PlayedSite;
const asked: string[][] = [];

function run(more: Partial<ResetOptions> = {}): Promise<ResetResult> {
  const sure = async (hosts: string[]): Promise<boolean> => asked.push(hosts) > 0;
  return reset({
    clusterFile: site.clusterFile,
    packages: false,
    sure,
    open: site.open,
    emit: (event) => site.events.push(event),
    ...more,
  });
}

async function known(): Promise<string[]> {
  const journal = await Journal.open(site.scratch.path(".airgap/site/journal.sqlite"));
  const hosts = await journal.hosts();
  await journal.close();
  return hosts.map(({ name }) => name);
}

/** What was asked of the cluster on its control plane. */
const asks = (): string[] =>
  site.host("master1").commands.filter((command) => command.startsWith("remove_node "));

beforeEach(async () => {
  asked.length = 0;
  site = new PlayedSite();
  await site.write({ hosts: [MASTER, NODE, NEXT] });
  await site.install();
  for (const name of ["master1", "node1", "node2"])
    site.host(name).remembers = [{ step: "workers/join" }, { step: "hosts/swap" }];
  site.host("master1").answers(/^remove_node /, "");
  return () => site[Symbol.dispose]();
});

describe("reset", () => {
  it("takes back workers first and the control plane after, and forgets them", async () => {
    const order: string[] = [];
    for (const [name, host] of site.hosts) {
      const play = host.run.bind(host);
      host.run = (script, options) => {
        order.push(name);
        return play(script, options);
      };
    }
    const result = await run();
    expect(asked).toEqual([["master1", "node1", "node2"]]);
    expect(order.at(-1)).toBe("master1");
    expect(order.toSorted()).toEqual(["master1", "node1", "node2"]);
    expect(result.hosts).toContainEqual({ host: "node2", undone: 2, failed: [] });
    // Nobody is left whom a drain would help.
    expect(asks()).toEqual([]);
    expect(await known()).toEqual([]);
    expect(site.host("node1").sent.at(-1)?.script).toMatch(/\nundo_all\n/);
  });

  it("of a worker drains it, deletes it and touches nobody else", async () => {
    const sent = site.host("node2").sent.length;
    await run({ hosts: ["node1"] });
    expect(asked).toEqual([["node1"]]);
    expect(asks()).toEqual([
      "remove_node node1 --ignore-daemonsets --delete-emptydir-data --force --timeout=120s",
    ]);
    expect(site.host("node2").sent).toHaveLength(sent);
    expect(site.host("master1").sent.some(({ mode }) => mode === "undo")).toBe(false);
    expect(await known()).toEqual(["master1", "node2"]);
  });

  it("knows a host that only the journal remembers", async () => {
    await site.write({ hosts: [MASTER, NODE] });
    await run({ hosts: ["node2"] });
    expect(asks()[0]).toMatch(/^remove_node node2 /);
    expect(site.host("node2").sent.at(-1)?.mode).toBe("undo");
    expect(await known()).toEqual(["master1", "node1"]);
    await expect(run({ hosts: ["node2"] })).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("node2 is not in the cluster file and not known"),
    });
  });

  it("with packages takes those along", async () => {
    await run({ hosts: ["node1"], packages: true });
    expect(site.host("node1").sent.at(-1)?.script).toMatch(/\nundo_all packages\n/);
  });

  it("does nothing without a yes", async () => {
    await expect(run({ sure: async () => false })).rejects.toMatchObject({
      code: "usage",
      suggestions: ["use --yes to skip this question"],
    });
    for (const host of site.hosts.values()) expect(host.sent.some(({ mode }) => mode === "undo")).toBe(false);
  });

  it("names what could not be taken back, remembers that host, and goes on with the rest", async () => {
    site.host("node1").remembers = [
      { step: "workers/join", output: "kubeadm: device or resource busy\n" },
      { step: "hosts/swap" },
    ];
    await expect(run()).rejects.toMatchObject({
      code: "step-failed",
      message: expect.stringContaining("node1: workers/join: kubeadm: device or resource busy"),
      data: {
        hosts: expect.arrayContaining([
          { host: "node1", undone: 1, failed: [expect.any(String)] },
          { host: "node2", undone: 2, failed: [] },
        ]),
      },
    });
    expect(await known()).toEqual(["node1"]);
    expect(await run()).toMatchObject({
      hosts: expect.arrayContaining([{ host: "node1", undone: 1, failed: [] }]),
    });
    expect(await known()).toEqual([]);
  });

  it("stops when a worker can't be taken out of the cluster", async () => {
    const host = site.host("master1");
    const play = host.run.bind(host);
    host.run = async (script, options) =>
      script.includes("kubectl drain")
        ? { code: 1, stdout: "", stderr: "the server refused" }
        : play(script, options);
    await expect(run({ hosts: ["node1"] })).rejects.toMatchObject({
      code: "step-failed",
      message: expect.stringContaining("the server refused"),
    });
    expect(site.host("node1").sent.some(({ mode }) => mode === "undo")).toBe(false);
    expect(await known()).toContain("node1");
  });

  it("of a host that does not answer says how the cluster forgets it", async () => {
    const open: PlayedSite["open"] = async (host) => {
      if (host.name === "node1") throw new AirgapError("network", "node1: no connection");
      return site.open(host);
    };
    await expect(run({ hosts: ["node1"], open })).rejects.toMatchObject({
      code: "network",
      suggestions: [`when lost for good: airgap reset ${site.clusterFile} --hosts node1 --gone`],
    });
    site.host("master1").answers(/^forget_node /, "");
    const before = site.opened.length;
    expect(await run({ hosts: ["node1"], gone: true, open })).toMatchObject({
      hosts: [{ host: "node1", undone: 0, failed: [] }],
    });
    expect(site.opened.slice(before)).toEqual(["master1"]);
    expect(site.host("master1").commands.at(-1)).toBe("forget_node node1 10.0.0.15 master1");
    expect(await known()).toEqual(["master1", "node2"]);
  });

  it("lets a cluster forget nobody who stands, and not its last control plane", async () => {
    site.host("master1").answers(/^forget_node /, { code: 1, stdout: "", stderr: "node1 is ready\n" });
    await expect(run({ hosts: ["node1"], gone: true })).rejects.toMatchObject({
      code: "step-failed",
      message: "the cluster could not forget node1:\n  master1: node1 is ready",
    });
    expect(await known()).toContain("node1");
    await expect(run({ hosts: ["master1"], gone: true })).rejects.toMatchObject({ code: "usage" });
  });

  it("takes a host that the cluster does not know for forgotten", async () => {
    site.host("master1").answers(/^forget_node /, { code: 44, stdout: "", stderr: "" });
    await run({ hosts: ["node2"], gone: true });
    expect(site.told).toContain("node2: the cluster does not know it");
    expect(await known()).toEqual(["master1", "node1"]);
  });

  it("says which name may be meant", async () => {
    await expect(run({ hosts: ["nod1"] })).rejects.toMatchObject({
      code: "usage",
      suggestions: ["did you mean node1?"],
    });
  });
});

describe("reset --leftovers", () => {
  const K3S = { name: "node9", address: "10.0.0.19", roles: ["worker"] };
  const clear = (leftovers: string[], agree = true) =>
    clearLeftovers({
      clusterFile: site.clusterFile,
      leftovers,
      sure: async (what) => {
        asked.push(what);
        return agree;
      },
      open: site.open,
      emit: () => {},
    });
  const removed = (): string[] =>
    site.host("node9").commands.filter((command) => command.startsWith("remove_leftover "));

  beforeEach(async () => {
    await site.write({ hosts: [MASTER, NODE, NEXT, K3S] });
    site.tell(
      "node9",
      "active|k3s.service\nexists|/etc/cni/net.d/05-old.conflist\naddress|cni0 10.42.0.1/24",
    );
    site.host("node9").answers(/^remove_leftover /, "");
  });

  it("removes what is named, where it is, and nothing else", async () => {
    const result = await clear(["k3s", "/etc/cni/net.d/05-old.conflist"]);
    expect(result.hosts).toEqual([{ host: "node9", undone: 2, failed: [] }]);
    expect(removed()).toEqual([
      "remove_leftover service k3s",
      "remove_leftover configuration /etc/cni/net.d/05-old.conflist",
    ]);
    expect(asked.at(-1)).toEqual([
      "node9: stop and remove k3s",
      "node9: delete /etc/cni/net.d/05-old.conflist",
    ]);
  });

  it("asks first, and refuses what no host has", async () => {
    await expect(clear(["k3s"], false)).rejects.toMatchObject({ code: "usage" });
    await expect(clear(["/etc/passwd", "k3s"])).rejects.toMatchObject({
      exit: 2,
      message: expect.stringMatching(/no host has \/etc\/passwd .* There is: k3s on node9, cni0 on node9/),
    });
    expect(removed()).toEqual([]);
  });
});
