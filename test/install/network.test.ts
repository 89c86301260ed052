import { describe, expect, it, test } from "vitest";
import type { Document } from "yaml";
import { addressValue, contains, nthAddress, overlap, parseSubnet, type Subnet } from "../../src/address.ts";
import { makeContext } from "../../src/install/context.ts";
import { parseManifests, printManifests, workloads } from "../../src/install/manifest.ts";
import { planInstall } from "../../src/install/plan.ts";
import { tuneCalico } from "../../src/install/stages/calico.ts";
import { withDashboardAccess } from "../../src/install/stages/dashboard.ts";
import { tuneFlannel } from "../../src/install/stages/flannel.ts";
import { siteOf, type Wishes } from "../support/install/site.ts";

type Json = Record<string, unknown>;
const at = (value: unknown, ...path: (string | number)[]): unknown =>
  path.reduce<unknown>((inner, key) => (inner as Json | undefined)?.[key as string], value);

function tuned(name: "flannel" | "calico", wishes: Wishes = {}): Json[] {
  const context = makeContext(
    siteOf({ ...wishes, cluster: { network: { name }, ...wishes.cluster }, bundle: { manifests: [name] } }),
  );
  const documents = parseManifests(context.bundle.manifests[name]?.files ?? []);
  (name === "flannel" ? tuneFlannel : tuneCalico)(documents, context);
  return parseManifests([{ path: "again.yaml", text: printManifests(documents) }]).map(
    (document) => document.toJS() as Json,
  );
}
const network = (more: object) => ({ cluster: { network: { name: "flannel", ...more } } });
const second = (iface: string, address = "10.0.0.15"): Wishes => ({
  hostFacts: { node1: { addresses: [{ interface: iface, cidr: `${address}/24` }] } },
});

describe("flannel", () => {
  const conf = (wishes?: Wishes): Json =>
    JSON.parse(at(tuned("flannel", wishes)[1], "data", "net-conf.json") as string) as Json;
  const args = (wishes?: Wishes): unknown =>
    at(tuned("flannel", wishes)[2], "spec", "template", "spec", "containers", 0, "args");

  it("gets the pod subnet and keeps the rest of its configuration", () => {
    expect(conf()).toEqual({
      Network: "10.244.0.0/16",
      EnableNFTables: false,
      Backend: { Type: "vxlan", VNI: 7 },
    });
    expect(
      conf({ cluster: { kubernetes: { version: "v1.28.2", podSubnet: "10.50.0.0/16" } } }),
    ).toMatchObject({ Network: "10.50.0.0/16" });
  });

  it("gets another backend without what only the one before understands", () => {
    expect(conf(network({ backend: "host-gw" }))).toMatchObject({ Backend: { Type: "host-gw" } });
    expect(conf(network({ backend: "host-gw" }))).not.toMatchObject({ Backend: { VNI: 7 } });
    expect(() => conf(network({ backend: "none" }))).toThrow(
      expect.objectContaining({
        code: "spec",
        message: expect.stringContaining("flannel has no backend none"),
      }),
    );
  });

  it.each<[string, Wishes | undefined, string[]]>([
    ["the interface that all hosts have", undefined, ["--iface=ens192"]],
    ["the one that the user names", network({ interface: "bond0" }), ["--iface=bond0"]],
    ["the network, where interfaces differ", second("eth1"), ["--iface-regex=^10\\.0\\.0\\."]],
    [
      "every network",
      {
        cluster: {
          hosts: [
            { name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry"] },
            { name: "node1", address: "10.7.0.15", roles: ["worker"] },
          ],
        },
        ...second("eth1", "10.7.0.15"),
      },
      ["--iface-regex=^10\\.0\\.0\\.", "--iface-regex=^10\\.7\\.0\\."],
    ],
  ])("is told %s, in the place of another", (_, wishes, words) => {
    expect(args(wishes)).toEqual(["--ip-masq", "--kube-subnet-mgr", ...words]);
  });

  it("leaves everything else as it was, comments too", () => {
    const context = makeContext(siteOf());
    const documents = parseManifests(context.bundle.manifests["flannel"]?.files ?? []);
    tuneFlannel(documents, context);
    const text = printManifests(documents);
    expect(text).toContain("# A network as flannel's manifest describes it");
    expect(at(tuned("flannel")[1], "data", "cni-conf.json")).toContain('"portmap"');
  });

  it("says so when the manifest is none of flannel's", () => {
    const context = makeContext(siteOf());
    const documents = parseManifests([{ path: "x", text: "kind: ConfigMap\n" }]);
    expect(() => tuneFlannel(documents, context)).toThrow(expect.objectContaining({ code: "spec" }));
    const broken = parseManifests([
      { path: "x", text: "kind: ConfigMap\ndata: { net-conf.json: '{' }\n---\nkind: DaemonSet\n" },
    ]);
    expect(() => tuneFlannel(broken, context)).toThrow("net-conf.json of the flannel manifest is not JSON");
  });
});

describe("calico", () => {
  const calico = (backend?: string, more: Wishes = {}) =>
    tuned("calico", { ...more, cluster: { network: { name: "calico", ...(backend ? { backend } : {}) } } });
  const container = (documents: Json[]): unknown =>
    at(documents[1], "spec", "template", "spec", "containers", 0);
  const env = (documents: Json[]): Json =>
    Object.fromEntries(
      (at(container(documents), "env") as { name: string }[]).map(({ name, ...rest }) => [name, rest]),
    );

  it.each([
    [undefined, "Never", "Always", "vxlan", false],
    ["vxlan", "Never", "Always", "vxlan", false],
    ["ipip", "Always", "Never", "bird", true],
    ["none", "Never", "Never", "bird", true],
  ])("with the backend %s", (backend, ipip, vxlan, name, bird) => {
    const documents = calico(backend);
    expect(env(documents)).toEqual({
      IP: { value: "autodetect" },
      CALICO_IPV4POOL_CIDR: { value: "10.244.0.0/16" },
      CALICO_IPV4POOL_IPIP: { value: ipip },
      CALICO_IPV4POOL_VXLAN: { value: vxlan },
      IP_AUTODETECTION_METHOD: { value: "interface=ens192" },
    });
    expect(at(documents[0], "data", "calico_backend")).toBe(name);
    expect(at(container(documents), "livenessProbe", "exec", "command")).toEqual([
      "/bin/calico-node",
      "-felix-live",
      ...(bird ? ["-bird-live"] : []),
    ]);
  });

  it("looks for addresses by their network where interfaces differ", () => {
    expect(env(calico("vxlan", second("eth1")))).toMatchObject({
      IP_AUTODETECTION_METHOD: { value: "cidr=10.0.0.0/24" },
    });
  });

  it("has no other backends, and is not what is not calico", () => {
    expect(() => calico("host-gw")).toThrow(
      expect.objectContaining({ code: "spec", suggestions: ["backend: vxlan", "backend: ipip"] }),
    );
    expect(() =>
      tuneCalico(
        [],
        makeContext(siteOf({ cluster: { network: { name: "calico" } }, bundle: { manifests: ["calico"] } })),
      ),
    ).toThrow("not a Calico manifest");
  });
});

describe("the dashboard", () => {
  const parse = (text: string): Document[] => parseManifests([{ path: "x", text }]);
  const service = (name: string, namespace = "") =>
    `kind: Service\nmetadata: { name: ${name}${namespace} }\nspec: { ports: [{ port: 443 }] }\n`;

  it.each([
    ["kubernetes-dashboard", ", namespace: kubernetes-dashboard", "kubernetes-dashboard"],
    ["dashboard-kong-proxy", "", "boards"],
  ])("of %s is at a port of every node, with an administrator", (name, namespace, where) => {
    const [first, account, binding] = withDashboardAccess(parse(service(name, namespace)), "boards").map(
      (document) => document.toJS() as Json,
    );
    expect(first).toMatchObject({ spec: { type: "NodePort", ports: [{ port: 443, nodePort: 30_443 }] } });
    expect(account).toMatchObject({ kind: "ServiceAccount", metadata: { namespace: where } });
    expect(binding).toMatchObject({
      kind: "ClusterRoleBinding",
      roleRef: { name: "cluster-admin" },
      subjects: [{ namespace: where }],
    });
  });

  it("that is something else stays as it is", () => {
    expect(withDashboardAccess(parse(service("other")))).toHaveLength(1);
  });
});

describe("manifests", () => {
  it("are waited for by what rolls out, in their namespaces", () => {
    const text = ["Deployment", "DaemonSet", "StatefulSet", "Job", "ConfigMap"]
      .map(
        (kind) => `kind: ${kind}\nmetadata: { name: x${kind === "DaemonSet" ? ", namespace: own" : ""} }\n`,
      )
      .join("---\n");
    expect(workloads(parseManifests([{ path: "x", text }]), "shops")).toEqual([
      { namespace: "shops", name: "deployment/x" },
      { namespace: "own", name: "daemonset/x" },
      { namespace: "shops", name: "statefulset/x" },
    ]);
  });

  it("that are broken are named, empty ones passed over", () => {
    expect(() => parseManifests([{ path: "apps/web.yaml", text: "a: [" }])).toThrow(
      expect.objectContaining({ code: "spec", message: expect.stringContaining("apps/web.yaml: ") }),
    );
    expect(
      parseManifests([
        { path: "x", text: "" },
        { path: "y", text: "# nothing\n---\n---\na: 1\n" },
      ]),
    ).toHaveLength(1);
  });

  it("that go through print stay what they were", () => {
    const text = "a: 1\n# words\nb: |\n  x: y\n---\nc: 'd'\n";
    expect(printManifests(parseManifests([{ path: "x", text }]))).toBe(text);
  });
});

describe("addresses", () => {
  const subnet = (text: string): Subnet => parseSubnet(text) as Subnet;

  test.each([
    ["10.0.0.1", 0x0a000001n],
    ["255.255.255.255", 0xffffffffn],
    ["::", 0n],
    ["::1", 1n],
    ["fd00::1:2", (0xfd00n << 112n) + 0x10002n],
    ["::ffff:10.0.0.1", 0x0a000001n],
    ["1:2:3:4:5:6:7:8", 0x00010002000300040005000600070008n],
  ])("%s", (text, value) => expect(addressValue(text)).toBe(value));

  test.each(["10.0.0.0/33", "10.0.0/8", "x", "10.0.0.0/8/8", "10.0.0.0/", "10.0.0.0/-1", "fd00::/129", ""])(
    "%j is no range",
    (text) => {
      expect(parseSubnet(text)).toBeUndefined();
    },
  );

  test.each([
    ["10.0.0.0/8", "10.255.0.0/16", true],
    ["10.0.0.0/16", "10.1.0.0/16", false],
    ["10.0.0.9/8", "10.0.0.0", true],
    ["0.0.0.0/0", "192.168.1.1", true],
    ["fd00::/8", "fdff::/64", true],
    ["fd00::/64", "10.0.0.0/8", false],
  ])("%s and %s overlap: %s", (a, b, yes) => {
    expect(overlap(subnet(a), subnet(b))).toBe(yes);
    expect(overlap(subnet(b), subnet(a))).toBe(yes);
  });

  it("are counted and found", () => {
    expect(nthAddress(subnet("10.96.0.0/12"), 10)).toBe("10.96.0.10");
    expect(nthAddress(subnet("10.96.0.250/24"), 300)).toBe("10.96.1.44");
    expect(nthAddress(subnet("fd02::/112"), 10)).toBe("fd02::a");
    expect(contains(subnet("10.96.0.0/12"), "10.111.255.255")).toBe(true);
    expect(contains(subnet("10.96.0.0/12"), "10.112.0.0")).toBe(false);
    expect(contains(subnet("10.96.0.0/12"), "::1")).toBe(false);
  });
});

describe("a route for services", () => {
  const steps = (wishes: Wishes) =>
    planInstall(siteOf(wishes))
      .stages[0]?.waves[0]?.find(({ host }) => host === "node1")
      ?.steps.map(({ id }) => id) ?? [];
  const routes = (...list: string[]): Wishes => ({
    hostFacts: {
      node1: {
        routes: list.map((to) => ({ to, interface: "ens192" })),
        defaultRoute: list.includes("default"),
      },
    },
  });

  it("is set only where there is no default route", () => {
    expect(steps(routes("10.0.0.0/24"))).toContain("route");
    expect(steps(routes("default", "10.0.0.0/24"))).not.toContain("route");
  });
});
