import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { describe, expect, it, test } from "vitest";
import { parse, stringify } from "yaml";
import { apiAddress, hostsOf, namedHosts, nodesOf, registryName } from "../../src/cluster/cluster.ts";
import { parseCluster, readCluster } from "../../src/cluster/read.ts";
import { clusterSchema } from "../../src/cluster/schema.ts";
import { isAirgapError } from "../../src/errors.ts";
import { readDocument } from "../../src/schema/document.ts";
import { cli } from "../support/cli.ts";
import { clusterOf, clusterText } from "../support/install/site.ts";
import { Random } from "../support/random.ts";
import { Scratch } from "../support/scratch.ts";

const FINGERPRINT = `SHA256:${"A".repeat(43)}`;

/** Every key that a cluster file may have. */
const FULL = {
  apiVersion: "airgap/v1",
  kind: "Cluster",
  name: "superops",
  kubernetes: {
    version: "1.28.2",
    podSubnet: "10.50.0.0/16",
    serviceSubnet: "10.100.0.0/16",
    dnsDomain: "site.local",
    proxyMode: "ipvs",
    extraSans: ["api.site.local"],
    dnsHosts: { "app.site": "10.0.0.50", "*.shop.site": "10.0.0.51" },
  },
  runtime: "docker",
  network: { name: "flannel", backend: "host-gw", interface: "eth1" },
  registry: {
    host: "Harbor.Site.local",
    port: 5000,
    address: "10.0.0.21",
    scheme: "https",
    mode: "harbor",
    layout: "path",
    prefix: "k8s",
    map: ["registry.k8s.io/**=google_containers/*"],
    caFile: "ca.crt",
    user: "robot",
    passwordEnv: "HARBOR_PASSWORD",
    harbor: {
      data: "/srv/harbor",
      trivy: true,
      httpPort: 8080,
      certFile: "harbor.crt",
      keyFile: "harbor.key",
      adminPasswordEnv: "ADMIN",
      projects: [{ name: "apps", public: true, quota: "50GiB" }],
      users: [{ name: "robot", email: "robot@site", passwordEnv: "ROBOT", projects: { apps: "developer" } }],
    },
  },
  repository: { host: "register", port: 9443 },
  endpoint: {
    address: "10.0.0.200",
    port: 8443,
    loadBalancers: ["lb1"],
    routerId: 60,
    interface: "bond0",
    ingress: { address: "10.0.0.201", nodePort: 30_080, port: 443, routerId: 61 },
    statusPage: { address: "0.0.0.0", port: 9998 },
  },
  etcd: {
    endpoints: ["https://10.0.0.30:2379"],
    caFile: "etcd/ca.crt",
    certFile: "etcd/client.crt",
    keyFile: "etcd/client.key",
    certificateDays: 365,
  },
  backup: { every: "24h", keep: 3 },
  addons: ["dashboard", { manifest: "apps/" }],
  time: { servers: ["10.0.0.1"] },
  ssh: {
    user: "ops",
    port: 2222,
    identityFile: "keys/id",
    passphraseEnv: "PHRASE",
    passwordEnv: "PASSWORD",
    sudo: true,
    sudoPasswordEnv: "SUDO",
  },
  hosts: [
    {
      name: "master1",
      address: "10.0.0.12",
      roles: ["control-plane"],
      hostKey: FINGERPRINT,
      connection: "local",
      labels: { a: "b" },
      taints: ["k=v:NoSchedule"],
      ssh: { user: "root", sudo: false },
    },
    { name: "lb1", address: "10.0.0.18", roles: ["load-balancer"] },
    { name: "register", address: "10.0.0.20", roles: ["registry"] },
    { name: "node1", address: "fd00::15", roles: ["worker"] },
  ],
  kubeadm: {
    ClusterConfiguration: { a: 1 },
    InitConfiguration: {},
    JoinConfiguration: {},
    KubeletConfiguration: {},
    KubeProxyConfiguration: {},
  },
};

const read = (value: object) => parseCluster(stringify(value), "/site/cluster.yaml");
const problems = (text: string): string => {
  try {
    parseCluster(text, "/site/cluster.yaml");
  } catch (error) {
    if (isAirgapError(error, "spec")) return error.message;
    throw error;
  }
  return "";
};

describe("the cluster file", () => {
  it("takes every key", () => {
    const cluster = read(FULL);
    expect(cluster).toMatchObject({
      name: "superops",
      baseDir: "/site",
      kubernetes: {
        version: "v1.28.2",
        podSubnet: "10.50.0.0/16",
        proxyMode: "ipvs",
        dnsHosts: { "*.shop.site": "10.0.0.51" },
      },
      runtime: "docker",
      network: { name: "flannel", backend: "host-gw", interface: "eth1" },
      registry: {
        host: "harbor.site.local",
        port: 5000,
        address: "10.0.0.21",
        mode: "harbor",
        layout: "path",
        prefix: "k8s",
        caFile: "/site/ca.crt",
        user: "robot",
        harbor: {
          data: "/srv/harbor",
          httpPort: 8080,
          certFile: "/site/harbor.crt",
          keyFile: "/site/harbor.key",
        },
      },
      repository: { host: "register", port: 9443 },
      endpoint: {
        address: "10.0.0.200",
        port: 8443,
        loadBalancers: ["lb1"],
        ingress: { address: "10.0.0.201", nodePort: 30_080 },
      },
      etcd: {
        mode: "given",
        endpoints: ["https://10.0.0.30:2379"],
        caFile: "/site/etcd/ca.crt",
        certFile: "/site/etcd/client.crt",
        keyFile: "/site/etcd/client.key",
      },
      backup: { every: "24h", keep: 3 },
      addons: [{ name: "dashboard" }, { manifest: "/site/apps" }],
      time: { servers: ["10.0.0.1"] },
      kubeadm: { ClusterConfiguration: { a: 1 } },
    });
    expect(cluster.hosts[0]).toEqual({
      name: "master1",
      address: "10.0.0.12",
      roles: ["control-plane"],
      hostKey: FINGERPRINT,
      connection: "local",
      labels: { a: "b" },
      taints: ["k=v:NoSchedule"],
      ssh: {
        user: "root",
        port: 2222,
        identityFile: "/site/keys/id",
        passphraseEnv: "PHRASE",
        passwordEnv: "PASSWORD",
        sudo: false,
        sudoPasswordEnv: "SUDO",
      },
    });
    expect(cluster.hosts[1]?.ssh).toMatchObject({ user: "ops", sudo: true });
  });

  it("fills in what is not said", () => {
    expect(clusterOf({ network: null })).toEqual(
      expect.objectContaining({
        runtime: "containerd",
        etcd: { mode: "stacked" },
        addons: [],
        time: { servers: [] },
        kubeadm: {},
        repository: { host: "master1", port: 443 },
        registry: {
          host: "register.site.local",
          port: 443,
          address: "10.0.0.12",
          scheme: "https",
          mode: "serve",
          layout: "host",
          prefix: "",
          map: [],
        },
        kubernetes: {
          version: "v1.28.2",
          podSubnet: "10.244.0.0/16",
          serviceSubnet: "10.96.0.0/12",
          dnsDomain: "cluster.local",
          extraSans: [],
          dnsHosts: {},
        },
      }),
    );
    const cluster = clusterOf({ network: null });
    for (const key of ["network", "endpoint"]) expect(Object.hasOwn(cluster, key)).toBe(false);
    expect(cluster.hosts[1]).toMatchObject({
      connection: "ssh",
      labels: {},
      taints: [],
      ssh: { sudo: false },
    });
    expect(clusterOf({ registry: { scheme: "http" } }).registry.port).toBe(80);
    expect(clusterOf({ network: "none" }).network).toBeUndefined();
    expect(clusterOf({ network: { name: "calico" } }).network).toEqual({ name: "calico", backend: "vxlan" });
    expect(clusterOf({ registry: { mode: "external" }, repository: { host: "master1" } }).repository).toEqual(
      { host: "master1", port: 8443 },
    );
  });

  it("takes a key with nothing behind it for one that is not there", () => {
    const text = clusterText().replace("registry:\n", "registry:\n  port:\n  user:\n  caFile:\n");
    expect(parseCluster(text, "c.yaml")).toEqual(parseCluster(clusterText(), "c.yaml"));
  });

  it("finds ~ in the user's home", () => {
    expect(clusterOf({ ssh: { identityFile: "~/.ssh/site" } }).hosts[0]?.ssh.identityFile).toBe(
      `${process.env["HOME"]}/.ssh/site`,
    );
  });

  test.each([
    [
      "an unknown key, with the one that was meant",
      "kuberntes: { version: v1.28.2 }",
      "1: unknown key 'kuberntes'; did you mean 'kubernetes'?",
    ],
    [
      "an unknown key deep inside",
      "registry: { host: r.site, scheme: https, usr: x }",
      "unknown key 'usr'; did you mean 'user'?",
    ],
    [
      "a word that is none of those",
      "runtime: contanerd",
      "runtime: must be one of containerd, docker (did you mean 'containerd'?), not",
    ],
    [
      "a role that there is not",
      "hosts: [{ name: a, address: 10.0.0.1, roles: [master] }]",
      "hosts[0].roles[0]: must be one of control-plane, worker",
    ],
    [
      "no roles",
      "hosts: [{ name: a, address: 10.0.0.1, roles: [] }]",
      "hosts[0].roles: needs at least 1 entry",
    ],
    [
      "a name that no node may have",
      "hosts: [{ name: Node_1, address: 10.0.0.1, roles: [worker] }]",
      "'Node_1' is not a host name of lower-case letters",
    ],
    [
      "what is no address",
      "hosts: [{ name: a, address: 10.0.0.256, roles: [worker] }]",
      "hosts[0].address: '10.0.0.256' is not an IP address",
    ],
    [
      "a fingerprint of another kind",
      'hosts: [{ name: a, address: 10.0.0.1, roles: [worker], hostKey: "MD5:aa" }]',
      "hosts[0].hostKey: must be a fingerprint SHA256:…",
    ],
    [
      "what is no range",
      "kubernetes: { version: v1.28.2, podSubnet: 10.244.0.0 }",
      "kubernetes.podSubnet: '10.244.0.0' is not a range like",
    ],
    [
      "a range that is too long",
      "kubernetes: { version: v1.28.2, podSubnet: 10.244.0.0/33 }",
      "is not a range like",
    ],
    [
      "a version without a patch",
      "kubernetes: { version: v1.28 }",
      "kubernetes.version: must be a patch release like v1.28.2",
    ],
    ["a version that YAML takes for a number", "kubernetes: { version: 1.28 }", "put it in quotes"],
    [
      "a port that there is not",
      "registry: { host: r.site, port: 65536 }",
      "registry.port: must be a whole number from 1 to 65535",
    ],
    [
      "a port in the name",
      "registry: { host: r.site:5000 }",
      "'r.site:5000' is not a host name without a port",
    ],
    [
      "a password instead of its variable",
      'registry: { host: r.site, user: a, passwordEnv: "geheim!" }',
      "registry.passwordEnv: must be the name of an environment variable",
    ],
    [
      "a taint without an effect",
      "hosts: [{ name: a, address: 10.0.0.1, roles: [worker], taints: [gpu] }]",
      "must be a taint like key=value:NoSchedule",
    ],
    ["a rule that is none", "registry: { host: r.site, map: [nonsense] }", "registry.map[0]:"],
    ["a list in the place of a mapping", "registry: []", "registry: must be a mapping, not a list"],
    ["a key twice", "runtime: docker\nruntime: docker", "Map keys must be unique"],
  ])("refuses %s, with its line", (_, line, message) => {
    const said = problems(`${line}\napiVersion: airgap/v1\nkind: Cluster\nname: a\n`);
    expect(said).toContain(message);
    expect(said).toMatch(/^\/site\/cluster\.yaml:\d+:\d+: /);
  });

  it("names everything at once, in the order of the file, and what is missing", () => {
    expect(problems("kind: Clutser\nruntime: x\n").split("\n")).toEqual([
      expect.stringContaining(":1:1: 'apiVersion' is missing"),
      expect.stringContaining(":1:1: 'name' is missing"),
      expect.stringContaining(":1:1: 'kubernetes' is missing"),
      expect.stringContaining(":1:1: 'registry' is missing"),
      expect.stringContaining(":1:1: 'hosts' is missing"),
      expect.stringContaining(":1:7: kind: must be one of Cluster (did you mean 'Cluster'?)"),
      expect.stringContaining(":2:10: runtime: must be one of containerd, docker"),
    ]);
    expect(problems("")).toContain("is empty");
    expect(problems("a: 1\n---\nb: 2\n")).toContain("only one document");
    expect(problems("a: [")).toMatch(/cluster\.yaml:\d+:\d+: /);
  });

  test.each<[string, Record<string, unknown>, string]>([
    [
      "two hosts of one name",
      { hosts: [host("a", 1, "control-plane", "registry"), host("a", 2)] },
      "hosts: two have the name a",
    ],
    [
      "two hosts at one address",
      { hosts: [host("a", 1, "control-plane", "registry"), host("b", 1)] },
      "hosts: two have the address 10.0.0.1",
    ],
    [
      "two hosts at one address, written differently",
      {
        hosts: [
          { ...host("a", 1, "control-plane", "registry"), address: "fd00::1" },
          { ...host("b", 2), address: "fd00:0::0:1" },
        ],
      },
      "hosts: two have the address",
    ],
    ["no control plane", { hosts: [host("a", 1, "registry")] }, "hosts: none has the role control-plane"],
    [
      "two local hosts",
      {
        hosts: [
          { ...host("a", 1, "control-plane", "registry"), connection: "local" },
          { ...host("b", 2), connection: "local" },
        ],
      },
      "hosts: only one can be the host that airgap runs on",
    ],
    [
      "several control planes without an address that they share",
      { hosts: [host("a", 1, "control-plane", "registry"), host("b", 2, "control-plane")] },
      "endpoint: several control planes need a shared address",
    ],
    [
      "two registries that airgap does not serve itself",
      {
        registry: { mode: "harbor" },
        hosts: [host("a", 1, "control-plane", "registry"), host("b", 2, "registry")],
      },
      "hosts: only with registry.mode serve can several have the role registry; the mode is harbor",
    ],
    [
      "nobody who serves",
      { hosts: [host("a", 1, "control-plane")] },
      "repository: no host has the role registry",
    ],
    [
      "a server that is not among the hosts",
      { repository: { host: "x" } },
      "repository.host: x is not among the hosts",
    ],
    [
      "a server beside the registry",
      { repository: { host: "node1" } },
      "with registry.mode serve it is the registry host itself, master1",
    ],
    [
      "a load balancer that there is not",
      { endpoint: { address: "10.0.0.9", loadBalancers: ["x"] } },
      "endpoint.loadBalancers[0]: x is not among the hosts",
    ],
    [
      "a load balancer without the role",
      { endpoint: { address: "10.0.0.9", loadBalancers: ["node1"] } },
      "node1 does not have the role load-balancer",
    ],
    [
      "another layout for our own registry",
      { registry: { layout: "flat", prefix: "x" } },
      "remove layout, prefix",
    ],
    [
      "subnets that overlap",
      { kubernetes: { version: "v1.28.2", podSubnet: "10.96.0.0/16" } },
      "podSubnet 10.96.0.0/16 and serviceSubnet 10.96.0.0/12 overlap",
    ],
    [
      "a user without a password",
      { registry: { user: "x" } },
      "registry: user and passwordEnv belong together, passwordEnv is missing",
    ],
    [
      "nftables where there is none",
      { kubernetes: { version: "v1.28.2", proxyMode: "nftables" } },
      "kubernetes.proxyMode: nftables needs v1.31",
    ],
    [
      "an even number of members",
      {
        etcd: "external",
        hosts: [host("m", 1, "control-plane", "registry"), host("e1", 2, "etcd"), host("e2", 3, "etcd")],
      },
      "hosts: 2 have the role etcd (e1, e2): an odd number is needed",
    ],
    [
      "members of an etcd that is on the control planes",
      { hosts: [host("m", 1, "control-plane", "registry"), host("e1", 2, "etcd")] },
      "hosts: e1 have the role etcd, but `etcd:` does not say external",
    ],
    [
      "an external etcd without members",
      { etcd: "external" },
      "etcd: external needs hosts with the role etcd",
    ],
    [
      "half of an etcd that exists",
      { etcd: { endpoints: ["https://10.0.0.30:2379"], caFile: "ca.crt" } },
      "etcd: an etcd that exists already needs certFile, keyFile too",
    ],
    [
      "an endpoint without TLS",
      { etcd: { endpoints: ["http://10.0.0.30:2379"] } },
      "is not an address like https://",
    ],
  ])("refuses %s", (_, over, message) => {
    expect(problems(clusterText(over))).toContain(message);
  });

  it.each([
    ["IPv6 pods", { kubernetes: { podSubnet: "fd00:1::/56" } }],
    ["IPv6 services", { kubernetes: { serviceSubnet: "fd00:1::/112" } }],
    [
      "nodes with IPv6 addresses",
      { hosts: [{ ...host("a", 1, "control-plane", "registry"), address: "fd00::1" }] },
    ],
  ])("with %s is refused by line, column and name, before anything is connected to", async (name, over) => {
    using scratch = new Scratch();
    const file = scratch.write("cluster.yaml", clusterText(over));
    await expect(readCluster(file)).rejects.toMatchObject({
      code: "spec",
      exit: 2,
      message: expect.stringMatching(
        new RegExp(`cluster\\.yaml:\\d+:\\d+: .*this version of airgap cannot install ${name}`),
      ),
    });
  });

  it.each<[string, string, Record<string, unknown>]>([
    [
      "dual stack",
      "ClusterConfiguration.networking.podSubnet",
      { ClusterConfiguration: { networking: { podSubnet: "10.244.0.0/16,fd00:10::/56" } } },
    ],
    [
      "IPv6 networks",
      "ClusterConfiguration.networking.serviceSubnet",
      { ClusterConfiguration: { networking: { serviceSubnet: "fd00:96::/112" } } },
    ],
    [
      "IPv6 networks",
      "KubeProxyConfiguration.clusterCIDR",
      { KubeProxyConfiguration: { clusterCIDR: "fd00::/56" } },
    ],
  ])("with %s by kubeadm's %s is refused too", async (name, path, kubeadm) => {
    using scratch = new Scratch();
    const file = scratch.write("cluster.yaml", clusterText({ kubeadm }));
    await expect(readCluster(file)).rejects.toMatchObject({
      code: "spec",
      message: expect.stringMatching(
        new RegExp(`cluster\\.yaml:\\d+:\\d+: kubeadm\\.${path}: .* cannot install ${name}`),
      ),
    });
  });

  it("with one IPv4 range by kubeadm's configuration is taken", async () => {
    using scratch = new Scratch();
    const networking = { podSubnet: "10.245.0.0/16", dnsDomain: "a.b" };
    const over = { kubeadm: { ClusterConfiguration: { networking } } };
    await readCluster(scratch.write("cluster.yaml", clusterText(over)));
  });

  it("with two ranges is refused by line and column", () => {
    expect(problems(clusterText({ kubernetes: { podSubnet: "10.244.0.0/16,fd00::/56" } }))).toMatch(
      /cluster\.yaml:\d+:\d+: kubernetes\.podSubnet: .* cannot install dual stack/,
    );
  });

  it("has rules between its parts that speak with line and column", () => {
    const text = clusterText({ hosts: [host("a", 1, "control-plane", "registry"), host("b", 1)] });
    const line = text.split("\n").findIndex((each) => each.startsWith("  - name: a")) + 1;
    expect(problems(text)).toBe(`/site/cluster.yaml:${line}:3: hosts: two have the address 10.0.0.1`);
    expect(problems(clusterText({ endpoint: { address: "10.0.0.9", loadBalancers: ["x"] } }))).toMatch(
      /^\/site\/cluster\.yaml:\d+:\d+: endpoint\.loadBalancers\[0\]: x is not among the hosts$/,
    );
  });

  const BALANCED = {
    hosts: [
      host("a", 1, "control-plane", "registry", "load-balancer"),
      host("b", 2, "worker", "load-balancer"),
      host("lb", 3, "load-balancer"),
    ],
  };
  it.each<[string, Record<string, unknown>, string | undefined]>([
    ["a port of its own", { address: "10.0.0.9", port: 8443 }, undefined],
    ["the API server's port on a worker", { address: "10.0.0.9", loadBalancers: ["b"] }, "hosts[0].roles"],
    [
      "the API server's port on a control plane",
      { address: "10.0.0.9" },
      "endpoint.port: haproxy cannot listen at 6443 on a: the API server itself listens at 6443 there; choose another one, such as 8443",
    ],
    [
      "a status page where kubelet listens",
      { address: "10.0.0.9", port: 8443, statusPage: { port: 10_250 } },
      "endpoint.statusPage.port: haproxy cannot listen at 10250 on a, b",
    ],
    [
      "the address of a host",
      { address: "10.0.0.3", port: 8443 },
      "endpoint.address: 10.0.0.3 is the address of lb: load balancers share one that no host has",
    ],
    [
      "one id twice",
      { address: "10.0.0.9", port: 8443, ingress: { address: "10.0.0.8", nodePort: 30_080, routerId: 51 } },
      "endpoint.ingress.routerId: each of the two addresses needs its own",
    ],
    [
      "one socket twice",
      { address: "10.0.0.9", port: 8443, ingress: { address: "10.0.0.9", nodePort: 30_080, port: 8443 } },
      "endpoint.ingress.port: the API is asked at 10.0.0.9:8443 already",
    ],
  ])("of load balancers takes or refuses %s", (_, endpoint, message) => {
    const said = problems(clusterText({ ...BALANCED, endpoint }));
    if (message === undefined) expect(said).toBe("");
    else expect(said).toContain(message);
  });

  it("is not there: says where to look, and how to make one", async () => {
    await expect(readCluster("/nowhere/cluster.yaml")).rejects.toMatchObject({
      code: "spec",
      suggestions: ["ls /nowhere", "airgap init makes a cluster file"],
    });
  });
});

function host(name: string, last: number, ...roles: string[]): Record<string, unknown> {
  return { name, address: `10.0.0.${last}`, roles: roles.length > 0 ? roles : ["worker"] };
}

describe("what a cluster is asked", () => {
  const cluster = read({ ...FULL, endpoint: { address: "10.0.0.200", port: 8443 } });
  it("is answered", () => {
    expect(hostsOf(cluster, "registry", "load-balancer").map(({ name }) => name)).toEqual([
      "lb1",
      "register",
    ]);
    expect(nodesOf(cluster).map(({ name }) => name)).toEqual(["master1", "node1"]);
    expect(apiAddress(clusterOf())).toEqual({ address: "10.0.0.12", port: 6443 });
    // Nobody is named: every host with the role is one of them.
    expect(cluster.endpoint?.loadBalancers).toEqual(["lb1"]);
    expect(apiAddress(read(FULL))).toMatchObject({ address: "10.0.0.200", port: 8443 });
    expect(registryName(cluster.registry)).toBe("harbor.site.local:5000");
    expect(registryName(clusterOf().registry)).toBe("register.site.local");
    expect(registryName(clusterOf({ registry: { scheme: "http" } }).registry)).toBe("register.site.local:80");
    expect(namedHosts(cluster, undefined)).toBe(cluster.hosts);
    expect(namedHosts(cluster, ["node1", "lb1"]).map(({ name }) => name)).toEqual(["lb1", "node1"]);
    expect(() => namedHosts(cluster, ["nod1"])).toThrow(
      expect.objectContaining({ code: "usage", suggestions: ["did you mean node1?"] }),
    );
  });
});

describe("the schema of cluster files", () => {
  const ajv = new Ajv({ strict: false, allErrors: true });
  const validate = ajv.compile(clusterSchema.json());
  /** Only what the form of a file is; what its parts are to each other is asked beyond the schema. */
  const taken = (value: object): boolean => {
    try {
      readDocument(stringify(value), "cluster.yaml", clusterSchema);
      return true;
    } catch (error) {
      if (isAirgapError(error, "spec")) return false;
      throw error;
    }
  };

  it("is what `airgap schema cluster` prints, and what is kept for editors", async () => {
    const { stdout, code } = await cli(["schema", "cluster"]);
    expect(code).toBe(0);
    const printed = JSON.parse(stdout) as Record<string, unknown>;
    expect(printed).toEqual({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      title: "airgap cluster",
      ...clusterSchema.json(),
    });
    const kept = JSON.parse(
      readFileSync(join(import.meta.dirname, "../../docs/cluster.schema.json"), "utf8"),
    ) as unknown;
    expect(kept).toEqual(printed);
  });

  it("takes the file with every key, and names each of them", () => {
    expect(validate(FULL), ajv.errorsText(validate.errors)).toBe(true);
    const names = (schema: unknown): string[] => {
      const all = schema as { properties?: Record<string, unknown>; anyOf?: unknown[]; items?: unknown };
      return [
        ...Object.entries(all.properties ?? {}).flatMap(([key, inner]) => [key, ...names(inner)]),
        ...(all.anyOf ?? []).flatMap(names),
        ...(all.items ? names(all.items) : []),
      ];
    };
    const used = (value: unknown): string[] => {
      if (Array.isArray(value)) return value.flatMap(used);
      return typeof value === "object" && value !== null
        ? Object.entries(value).flatMap(([key, inner]) => [key, ...used(inner)])
        : [];
    };
    const free = new Set(["app.site", "*.shop.site", "a", "apps"]);
    expect([...new Set(used(FULL))].filter((key) => !free.has(key)).sort()).toEqual(
      [...new Set(names(clusterSchema.json()))].sort(),
    );
  });

  it("agrees with the parser about changed files", () => {
    const random = new Random(11);
    const values = [null, "", "x", 0, 70_000, true, [], {}, ["x"], { x: 1 }, "docker", "none", "10.0.0.1"];
    let refused = 0;
    for (let i = 0; i < 600; i++) {
      const file = structuredClone(FULL) as unknown as Record<string, unknown>;
      const path: string[] = [];
      let at: Record<string, unknown> = file;
      for (;;) {
        const key = random.pick(Object.keys(at));
        path.push(key);
        const inner = at[key];
        if (
          typeof inner !== "object" ||
          inner === null ||
          Object.keys(inner).length === 0 ||
          random.chance(0.3)
        ) {
          if (random.chance(0.3) && !Array.isArray(at)) delete at[key];
          else if (random.chance(0.2) && !Array.isArray(at)) at[`${key}x`] = inner;
          else at[key] = random.pick(values);
          break;
        }
        at = inner as Record<string, unknown>;
      }
      const bySchema = validate(file);
      const byParser = taken(file);
      if (!byParser) refused++;
      // What a text means is the parser's to say: the schema may take more, and never less.
      if (byParser) expect(bySchema, `${path.join(".")}: ${ajv.errorsText(validate.errors)}`).toBe(true);
      const about = (validate.errors ?? []).map(({ keyword }) => keyword);
      if (!bySchema) expect(byParser, `${path.join(".")}: ${about}`).toBe(false);
    }
    expect(refused).toBeGreaterThan(100);
    expect(parse(stringify(FULL))).toEqual(FULL);
  });
});

describe("what people write first", () => {
  it("a network by its name alone", () => {
    expect(clusterOf({ network: "calico" }).network).toEqual({ name: "calico", backend: "vxlan" });
    expect(clusterOf({ network: "none" }).network).toBeUndefined();
  });
  it("a spec where the cluster file is needed: one error that says what it is for", () => {
    const spec = "apiVersion: airgap/v1\nkind: Bundle\nname: site\nimages: []\n";
    expect(() => parseCluster(spec, "site.yaml")).toThrow(
      expect.objectContaining({
        message: "site.yaml is a bundle's spec; here a cluster file is needed",
        suggestions: ["airgap build site.yaml -o site.tar"],
      }),
    );
  });
  it("a colon of another width, from an input method", () => {
    expect(() => parseCluster("apiVersion：airgap/v1\nkind: Cluster\n", "c.yaml")).toThrow(/full-width '：'/);
  });
});
