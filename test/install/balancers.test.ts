import { describe, expect, it } from "vitest";
import { parseBalancer } from "../../src/install/balancer-status.ts";
import { parseBalancerView } from "../../src/install/balancer-views.ts";
import { sharedAddresses } from "../../src/install/balancers.ts";
import { makeContext, type PlanInput } from "../../src/install/context.ts";
import { planInstall } from "../../src/install/plan.ts";
import { formatFinding, preflight } from "../../src/install/preflight/preflight.ts";
import { hostsIn, narrow } from "../../src/plan/stage.ts";
import { clusterOf, siteOf, type Wishes } from "../support/install/site.ts";

const HOSTS = [
  { name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry"] },
  { name: "node1", address: "10.0.0.15", roles: ["worker"] },
  { name: "lb1", address: "10.0.0.18", roles: ["load-balancer"] },
  { name: "lb2", address: "10.0.0.19", roles: ["load-balancer"] },
];
const ENDPOINT = { address: "10.0.0.200" };
const PACKAGES = {
  all: ["containerd.io 1.7.27-3.1.el9", "=kubelet 1.28.2-150500.1.1", "=kubeadm 1.28.2-150500.1.1"],
  "control-plane": ["=kubectl 1.28.2-150500.1.1"],
  "load-balancer": ["keepalived 2.2.8-1.el9", "haproxy 2.4.22-1.el9"],
};
const MACS = { lb1: "aa:00:00:00:00:18", lb2: "aa:00:00:00:00:19" };
const view = (mac: string) => ({ mac, holds: [], neighbors: [], routers: [] });

const input = (endpoint: object = {}, more: Wishes = {}): PlanInput =>
  siteOf({
    cluster: { endpoint: { ...ENDPOINT, ...endpoint }, hosts: HOSTS },
    bundle: { packages: PACKAGES },
    ...more,
  });
const lines = (site: PlanInput, balancers: PlanInput["balancers"] = {}): string[] =>
  preflight(makeContext({ ...site, balancers }))
    .filter(({ check }) =>
      ["vip", "router-id", "leftovers", "address", "bundle-packages", "ports"].includes(check),
    )
    .filter(({ message }) => !message.includes("kubelet on it"))
    .map((finding) => `${finding.severity}: ${formatFinding(finding)}`);

describe("addresses that load balancers share", () => {
  it("are held in the order of the file, the ingress in the opposite one", () => {
    const { cluster } = input({ routerId: 255, ingress: { address: "10.0.0.201", nodePort: 30_080 } });
    expect(
      sharedAddresses(cluster).map(({ name, port, routerId, order, moves }) => [
        name,
        port,
        routerId,
        order.map((host) => host.name).join(),
        moves,
      ]),
    ).toEqual([
      ["api", 6443, 255, "lb1,lb2", true],
      ["ingress", 80, 1, "lb2,lb1", true],
    ]);
  });

  it("are the only load balancer's own, and then nobody moves them", () => {
    const cluster = clusterOf({ endpoint: { address: "10.0.0.18" }, hosts: HOSTS.slice(0, 3) });
    expect(sharedAddresses(cluster)).toMatchObject([{ address: "10.0.0.18", moves: false }]);
  });
});

describe("what load balancers see before anything is changed", () => {
  const seen = (lb1: object = {}, lb2: object = {}) => ({
    lb1: { ...view(MACS.lb1), ...lb1 },
    lb2: { ...view(MACS.lb2), ...lb2 },
  });

  it("is nothing, where all is well; one of them may hold the address", () => {
    const neighbors = [{ address: "10.0.0.200", mac: MACS.lb1 }];
    expect(lines(input(), seen({ holds: ["10.0.0.200"] }, { neighbors }))).toEqual([]);
  });

  it("another machine that answers at the address, told once", () => {
    const neighbors = [{ address: "10.0.0.200", mac: "bb:00:00:00:00:01" }];
    expect(lines(input(), seen({ neighbors }, { neighbors }))).toEqual([
      "error: vip: another machine answers at 10.0.0.200: bb:00:00:00:00:01, which is no load balancer of this cluster",
    ]);
    // It may be the one that was not asked.
    expect(lines(input(), { lb1: { ...view(MACS.lb1), neighbors } })).toEqual([]);
  });

  it("another router of the same id, and a free id to choose", () => {
    const routers = [
      { address: "10.0.0.19", id: 51 },
      { address: "10.0.0.7", id: 51 },
      { address: "10.0.0.8", id: 52 },
    ];
    const site = input();
    expect(lines(site, seen({ routers }))).toEqual([
      "error: router-id: 10.0.0.7 on this network is a VRRP router with the id 51 already",
    ]);
    const [finding] = preflight(makeContext({ ...site, balancers: seen({ routers }) })).filter(
      ({ check }) => check === "router-id",
    );
    expect(finding?.suggestion).toBe("choose another endpoint.routerId, such as 53");
    expect(lines(site, seen({ deaf: "no perl" }))).toEqual([
      "notice: lb1: router-id: other VRRP routers could not be looked for: no perl",
    ]);
  });

  it("a host that has the address, and two that hold it", () => {
    const has = (address: string) => ({
      addresses: [address, "10.0.0.200"].map((each) => ({ interface: "ens192", cidr: `${each}/24` })),
    });
    expect(lines(input({}, { hostFacts: { node1: has("10.0.0.15") } }))).toEqual([
      "error: node1: vip: it has the address 10.0.0.200, which load balancers are to share",
    ]);
    expect(lines(input({}, { hostFacts: { lb1: has("10.0.0.18"), lb2: has("10.0.0.19") } }))).toEqual([
      "warning: vip: lb1 and lb2 hold 10.0.0.200 at the same time: they do not hear each other",
    ]);
  });

  it("programs of somebody else, ports that are taken, an interface that is not there, packages that are missing", () => {
    const hostFacts = { lb1: { active: ["haproxy", "keepalived"], listening: [6443] } };
    expect(lines(input({}, { hostFacts }))).toEqual([
      "error: lb1: ports: another program already listens on 6443",
      "error: lb1: leftovers: haproxy and keepalived run here for somebody, with a configuration that would be replaced",
    ]);
    expect(lines(input({ interface: "bond7" }))[0]).toBe(
      "error: lb1: address: it has no address on the interface bond7, where shared addresses are held",
    );
    const { "load-balancer": _, ...others } = PACKAGES;
    expect(lines(input({}, { bundle: { packages: others } }))[0]).toBe(
      "error: lb1: bundle-packages: neither the host nor the set el9 has haproxy and keepalived",
    );
    const own = { lb1: { tools: ["haproxy", "keepalived"] }, lb2: { tools: ["haproxy", "keepalived"] } };
    expect(lines(input({}, { bundle: { packages: others }, hostFacts: own }))).toEqual([]);
  });

  it("is read line by line, and nothing else of it", () => {
    const said =
      "mac aa:00:00:00:00:18\nholds 10.0.0.200\nneighbor 10.0.0.201 bb:00:00:00:00:01\nneighbor 10.0.0.202 junk\nvrrp 10.0.0.7 51\nvrrp 10.0.0.8 none\ndeaf nobody listens\n";
    expect(parseBalancerView(said)).toEqual({
      mac: "aa:00:00:00:00:18",
      holds: ["10.0.0.200"],
      neighbors: [{ address: "10.0.0.201", mac: "bb:00:00:00:00:01" }],
      routers: [{ address: "10.0.0.7", id: 51 }],
      deaf: "nobody listens",
    });
  });
});

describe("the plan", () => {
  it("has the load balancers learn of a new control plane, also when only that one is asked for", () => {
    const site = input({ ingress: { address: "10.0.0.201", nodePort: 30_080 } });
    const of = (name: string) =>
      hostsIn(narrow(planInstall(site), { hosts: [name], only: ["load-balancer"] })).sort();
    expect(of("master1")).toEqual(["lb1", "lb2", "master1"]);
    expect(of("node1")).toEqual(["lb1", "lb2"]);
    expect(hostsIn(narrow(planInstall(input()), { hosts: ["node1"], only: ["load-balancer"] }))).toEqual([]);
  });

  it("tells machines apart only where every load balancer was seen", () => {
    const answer = (balancers: PlanInput["balancers"]) =>
      planInstall({ ...input(), ...(balancers ? { balancers } : {}) })
        .stages.flatMap(({ waves }) => waves.flat(2))
        .flatMap(({ steps }) => steps)
        .find(({ id }) => id === "answer")?.check;
    expect(answer({ lb1: view(MACS.lb1) })).toBe("leads_to_balancer 10.0.0.200 6443");
    expect(answer({ lb1: view(MACS.lb1), lb2: view(MACS.lb2) })).toBe(
      `leads_to_balancer 10.0.0.200 6443 ${MACS.lb1} ${MACS.lb2}`,
    );
  });

  it("sets labels and taints of a new node, also when only that one is asked for", () => {
    const hosts = HOSTS.map((host) => (host.name === "node1" ? { ...host, labels: { disk: "ssd" } } : host));
    const site = siteOf({ cluster: { hosts: hosts.slice(0, 2) } });
    const steps = narrow(planInstall(site), { hosts: ["node1"] })
      .stages.filter(({ name }) => name === "workers")
      .flatMap(({ waves }) => waves.flat())
      .flatMap(({ host, steps }) => steps.map(({ id }) => `${host} ${id}`));
    expect(steps).toEqual(["master1 token", "node1 unfinished", "node1 join", "master1 node-node1"]);
  });
});

describe("what a load balancer says of itself", () => {
  it("is its programs, its addresses and every server", () => {
    const head = "# pxname,svname,qcur,status,check_status,x";
    const said = [
      "runs haproxy",
      "holds 10.0.0.200",
      "csv HTTP/1.0 200 OK\r",
      "csv \r",
      `csv ${head}`,
      "csv api,FRONTEND,0,OPEN,,",
      "csv control-planes,master1,0,UP,L7OK,",
      "csv control-planes,master2,0,DOWN 1/2,* L4TOUT,",
      "csv control-planes,BACKEND,0,UP,,",
      "csv ingress-nodes,node1,0,no check,,",
      "csv status,FRONTEND,0,OPEN,,",
    ].join("\n");
    expect(parseBalancer("lb1", said)).toEqual({
      ...{ host: "lb1", haproxy: true, keepalived: false, holds: ["10.0.0.200"] },
      servers: [
        { address: "api", host: "master1", up: true, state: "UP", check: "L7OK" },
        { address: "api", host: "master2", up: false, state: "DOWN 1/2", check: "L4TOUT" },
        { address: "ingress", host: "node1", up: false, state: "no check", check: "" },
      ],
    });
    expect(parseBalancer("lb1", "").servers).toEqual([]);
  });
});
