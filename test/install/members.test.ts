import { beforeEach, describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.ts";
import { makeContext } from "../../src/install/context.ts";
import { checkHosts } from "../../src/install/hosts-check.ts";
import { parseMembers } from "../../src/install/members.ts";
import { planInstall } from "../../src/install/plan.ts";
import { formatFinding, preflight } from "../../src/install/preflight/preflight.ts";
import { PlayedSite } from "../support/install/played-site.ts";
import { siteOf } from "../support/install/site.ts";

const plane = (n: number) => ({
  name: `cp${n}`,
  address: `10.0.0.${10 + n}`,
  roles: ["control-plane", ...(n === 1 ? ["registry"] : [])],
});
const NODE = { name: "node1", address: "10.0.0.20", roles: ["worker"] };
const CLUSTER = { endpoint: { address: "10.0.0.200" }, hosts: [plane(1), plane(2), plane(3), NODE] };

const JOINED = ["/etc/kubernetes/kubelet.conf"];
const STANDS = ["/etc/kubernetes/admin.conf", ...JOINED, "/var/lib/etcd/member"];
const BEGAN = [...STANDS, "/var/lib/airgap/kubeadm-began"];
type Traces = Record<string, readonly string[]>;

const input = (traces: Traces) =>
  siteOf({
    cluster: CLUSTER,
    bundle: { manifests: ["flannel", "dashboard"] },
    hostFacts: Object.fromEntries(
      Object.entries(traces).map(([name, exists]) => [name, { owner: "site", exists: [...exists] }]),
    ),
  });
const down = (name: string) => new AirgapError("network", `${name}: no connection to 10.0.0.9: timed out`);

/** Who is initialised or joins, in order, by a plan. */
function roles(traces: Traces): string[] {
  return planInstall(input(traces))
    .stages.flatMap(({ waves }) => waves.flat())
    .flatMap(({ host, steps }) =>
      steps.flatMap(({ id }) => (["init", "join", "token"].includes(id) ? [`${host} ${id}`] : [])),
    );
}

function lines(traces: Traces, unreached: string[] = [], more: object = {}): string[] {
  const site = input(traces);
  const facts = Object.fromEntries(Object.entries(site.facts).filter(([name]) => !unreached.includes(name)));
  const unreachable = Object.fromEntries(unreached.map((name) => [name, down(name)]));
  return preflight(makeContext({ ...site, facts, unreachable, ...more }))
    .filter(({ check }) => check === "member" || check === "unreachable")
    .map((finding) => `${finding.severity}: ${formatFinding(finding)}`);
}

describe("who makes a cluster and who joins", () => {
  it("on the first day the first of the file, and the others join it", () => {
    expect(roles({})).toEqual(["cp1 init", "cp1 token", "cp2 join", "cp3 join", "cp1 token", "node1 join"]);
    expect(lines({})).toEqual([]);
  });

  it("the first of the file, when lost, joins whoever stands", () => {
    const traces = { cp2: STANDS, cp3: STANDS, node1: JOINED };
    expect(roles(traces)).toEqual(["cp2 init", "cp2 token", "cp1 join", "cp3 join", "node1 join"]);
    expect(lines(traces)).toEqual([]);
  });

  it("also after its own try to join failed half-way", () => {
    const traces = { cp1: BEGAN, cp2: STANDS, cp3: STANDS, node1: JOINED };
    expect(roles(traces).slice(0, 3)).toEqual(["cp2 init", "cp2 token", "cp1 join"]);
  });

  it("a later one, when lost, joins the first", () => {
    const traces = { cp1: STANDS, cp3: STANDS, node1: JOINED };
    expect(roles(traces)).toEqual(["cp1 init", "cp1 token", "cp2 join", "cp3 join", "node1 join"]);
  });

  it("of several that stand the one whose API server runs is asked", () => {
    const site = input({ cp1: STANDS, cp2: STANDS, cp3: STANDS });
    const facts = { ...site.facts, cp3: { ...site.facts["cp3"], listening: [6443] } } as typeof site.facts;
    expect(makeContext({ ...site, facts }).first.name).toBe("cp3");
  });

  it("whoever speaks for the cluster, every control plane has the manifests of network and add-ons", () => {
    const files = (traces: Traces): string[] => {
      const site = input(traces);
      return planInstall({ ...site, cluster: { ...site.cluster, addons: [{ name: "dashboard" }] } })
        .stages.flatMap(({ waves }) => waves.flat())
        .flatMap(({ host, steps }) => steps.map(({ id }) => `${host} ${id}`))
        .filter((each) => / (?:flannel|dashboard)-file$/.test(each))
        .toSorted();
    };
    const all = ["cp1", "cp2", "cp3"].flatMap((name) => [`${name} dashboard-file`, `${name} flannel-file`]);
    expect(files({})).toEqual(all);
    expect(files({ cp2: STANDS, cp3: STANDS, node1: JOINED })).toEqual(all);
  });

  it("nobody makes one where all control planes are lost and a node of theirs is left", () => {
    expect(lines({ node1: JOINED })).toEqual([
      "error: member: node1 is a node of a cluster, and no control plane of it stands: a new one would be a second cluster",
    ]);
  });

  it("nobody makes one while a control plane that may stand is not reached", () => {
    const may =
      "error: member: cp3 may be a control plane of a cluster that stands: while that is not known, none is made elsewhere";
    expect(lines({}, ["cp3"])).toEqual([
      "error: cp3: unreachable: no connection to 10.0.0.9: timed out",
      may,
    ]);
    // Leaving it out by --hosts does not make it known.
    expect(lines({}, ["cp3"], { asked: ["cp1"] })).toEqual([
      "warning: cp3: unreachable: no connection to 10.0.0.9: timed out",
      may,
    ]);
    expect(lines({ cp2: STANDS }, ["cp3"], { asked: ["cp1"] })).toHaveLength(1);
  });

  it("nobody joins under a name that the cluster still knows from before", () => {
    const members = {
      by: "cp2",
      nodes: ["cp1", "cp2", "node1"],
      etcd: ["10.0.0.11", "10.0.0.12"],
      etcdNames: ["cp2"],
    };
    const traces = { cp2: STANDS, cp3: STANDS, node1: JOINED };
    expect(lines(traces, [], { members })).toEqual([
      "error: cp1: member: it is empty, and the cluster still knows it from before: a member of etcd and a node of that name",
    ]);
    expect(lines(traces, [], { members: { ...members, nodes: ["cp2"], etcd: ["10.0.0.12"] } })).toEqual([]);
    // Where it had another address, its name tells.
    expect(
      lines(traces, [], {
        members: { ...members, nodes: ["cp2"], etcd: ["10.0.0.12", "10.0.0.99"], etcdNames: ["cp1", "cp2"] },
      }),
    ).toEqual([
      "error: cp1: member: it is empty, and the cluster still knows it from before: a member of etcd of that name",
    ]);
    expect(lines(traces, [], { members, replace: ["cp1", "cp2"] })).toEqual([
      "notice: cp1: member: it is empty: the cluster forgets a member of etcd and a node of that name, and it joins as a new host",
      "notice: cp2: member: it is part of the cluster already: --replace does nothing with it",
    ]);
    expect(lines(traces, [], { members: { ...members, unanswered: "etcd: timeout" } })[1]).toBe(
      "error: cp2: member: it stands, and does not say who is in the cluster, which cp1 is to join: etcd: timeout",
    );
  });

  it("reads what a cluster says of its members, and nothing else", () => {
    const said = "node a\nnode\netcd https://10.0.0.1:2380,https://[fd00::1]:2380 a\netcd junk\nother x\n";
    expect(parseMembers(said)).toEqual({
      nodes: ["a"],
      etcd: ["10.0.0.1", "fd00::1"],
      etcdNames: ["a"],
    });
  });
});

describe("hosts that are lost", () => {
  let site: PlayedSite;
  const dead = new Set<string>();
  const open: PlayedSite["open"] = async (host) => {
    if (dead.has(host.name)) throw down(host.name);
    return site.open(host);
  };
  beforeEach(async () => {
    dead.clear();
    site = new PlayedSite();
    await site.write(CLUSTER);
    return () => site[Symbol.dispose]();
  });
  const stand = (name: string): void =>
    site.tell(name, [...STANDS.map((path) => `exists|${path}`), "owner|site"].join("\n"));

  it("the first control plane comes back empty: it joins, and nothing is initialised", async () => {
    for (const name of ["cp2", "cp3"]) stand(name);
    site.tell("node1", "exists|/etc/kubernetes/kubelet.conf\nowner|site");
    site.host("cp2").answers(/^show_members cp2$/, "node cp2\nnode cp3\netcd https://10.0.0.12:2380\n");
    const plan = planInstall(input({ cp2: STANDS, cp3: STANDS, node1: JOINED }));
    for (const name of ["cp1", "cp2", "cp3"]) site.host(name).knows(plan);
    site.host("cp2").so.add("control-plane/init");
    await site.install();
    expect(site.host("cp1").applied).toContain("control-plane/join");
    for (const host of site.hosts.values()) expect(host.applied).not.toContain("control-plane/init");
  });

  it("what it has left behind is found before anything is changed: exit 3", async () => {
    for (const name of ["cp2", "cp3"]) stand(name);
    site.host("cp2").answers(/^show_members cp2$/, "node cp1\nnode cp2\netcd https://10.0.0.11:2380\n");
    await expect(site.install()).rejects.toMatchObject({
      exit: 3,
      suggestions: expect.arrayContaining([expect.stringContaining("with --replace cp1")]),
    });
    for (const host of site.hosts.values()) expect(host.sent).toEqual([]);
  });

  it("with --replace the cluster forgets it before anything joins, and then it joins", async () => {
    for (const name of ["cp2", "cp3"]) stand(name);
    const known = "node cp1\nnode node1\netcd https://10.0.0.11:2380 cp1\n";
    site.host("cp2").answers(/^show_members cp2$/, known);
    const facts = input({ cp2: STANDS, cp3: STANDS });
    const plan = planInstall({ ...facts, replace: ["cp1", "node1"] });
    for (const name of ["cp1", "cp2", "cp3", "node1"]) site.host(name).knows(plan);
    await expect(site.install({ replace: ["cp9"] })).rejects.toMatchObject({ code: "usage", exit: 2 });
    await expect(site.install({ replace: ["cp1"] })).rejects.toMatchObject({
      exit: 3,
      message: expect.stringContaining("node1"),
    });
    await site.install({ replace: ["cp1", "node1"] });
    const hand = site.host("cp2").applied;
    expect(hand.indexOf("control-plane/forget-cp1")).toBeGreaterThan(-1);
    expect(hand.indexOf("control-plane/forget-cp1")).toBeLessThan(hand.indexOf("control-plane/token"));
    expect(hand.indexOf("workers/forget-node1")).toBeLessThan(hand.indexOf("workers/token"));
    expect(site.host("cp1").applied).toContain("control-plane/join");
  });

  it("whose join was interrupted is cleared on both sides first", () => {
    const plan = planInstall(input({ cp1: STANDS, cp2: BEGAN, cp3: STANDS, node1: JOINED }));
    const done = plan.stages
      .filter(({ name }) => name === "control-plane")
      .flatMap(({ waves }) => waves.flat())
      .flatMap(({ host, steps }) => steps.map(({ id }) => `${host} ${id}`))
      .filter((each) => / (?:unfinished|forget|token|join)/.test(each));
    expect(done).toEqual([
      "cp1 unfinished",
      "cp2 unfinished",
      "cp1 forget-cp2",
      "cp1 token",
      "cp2 join",
      "cp3 unfinished",
      "cp3 join",
    ]);
  });

  it("one that is down stops a whole run, and not one of other hosts", async () => {
    for (const name of ["cp1", "cp2", "cp3"]) stand(name);
    dead.add("cp3");
    await expect(site.install({ open })).rejects.toMatchObject({
      code: "check-failed",
      exit: 3,
      message: expect.stringContaining("cp3: unreachable: no connection"),
      suggestions: expect.arrayContaining(["to go on without it: --hosts cp1,cp2,node1"]),
    });
    await site.install({ open, hosts: ["cp1", "cp2", "node1"] });
    expect(site.host("node1").applied).toContain("workers/join");
    expect(site.told).toContain("cp3: no connection to 10.0.0.9: timed out (unreachable)");
    await expect(site.install({ open, hosts: ["cp3"] })).rejects.toMatchObject({ exit: 3 });
  });

  it("an endpoint that nobody holds is told on the first day, and stops what needs it later", async () => {
    site.endpointAnswers = false;
    const check = async (): Promise<string[]> =>
      (await checkHosts({ clusterFile: site.clusterFile, open })).findings
        .filter(({ check }) => check === "vip")
        .map(({ severity, message }) => `${severity}: ${message}`);
    expect(await check()).toEqual([
      "warning: cp1 gets no answer at the endpoint 10.0.0.200:6443: it has to be held before `kubeadm init`",
    ]);
    for (const name of ["cp1", "cp2", "cp3"]) stand(name);
    expect(await check()).toEqual([
      "error: cp1 gets no answer at the endpoint 10.0.0.200:6443, where the cluster's API is asked",
    ]);
    await expect(site.install()).rejects.toMatchObject({ exit: 3 });
    site.endpointAnswers = true;
    expect(await check()).toEqual([]);
  });

  it("hosts check of one worker says nothing of control planes that it did not look at", async () => {
    site.tell("node1", "exists|/etc/kubernetes/kubelet.conf\nowner|site");
    const { findings } = await checkHosts({ clusterFile: site.clusterFile, open, hosts: ["node1"] });
    expect(findings.filter(({ check }) => check === "member")).toEqual([]);
  });

  it("hosts check names them and looks at the others", async () => {
    dead.add("node1");
    const result = await checkHosts({ clusterFile: site.clusterFile, open });
    expect(result.findings).toContainEqual(
      expect.objectContaining({ check: "unreachable", severity: "error", host: "node1" }),
    );
    expect(Object.keys(result.facts)).toEqual(["cp1", "cp2", "cp3"]);
  });
});
