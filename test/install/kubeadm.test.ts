import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { makeContext } from "../../src/install/context.ts";
import { initConfiguration, joinConfiguration, merge } from "../../src/install/kubeadm.ts";
import { rulesOf } from "../../src/kubernetes/rules.ts";
import { publicKeyHash } from "../../src/pki/certificate.ts";
import { expectGolden } from "../support/install/golden.ts";
import { HOME, siteOf, type Wishes } from "../support/install/site.ts";

const GOLDEN = join(HOME, "kubeadm");
const contextOf = (wishes: Wishes) => makeContext(siteOf(wishes));
type Json = Record<string, unknown>;
const documents = (text: string): Json[] =>
  parseAllDocuments(text).map((document) => document.toJS() as Json);
const init = (wishes: Wishes): Json[] => documents(initConfiguration(contextOf(wishes)));
function join_(wishes: Wishes, name = "node1"): Json {
  const context = contextOf(wishes);
  const host = context.cluster.hosts.find((each) => each.name === name);
  if (host === undefined) throw new Error(`no ${name}`);
  return documents(joinConfiguration(context, host))[0] as Json;
}
const at = (value: unknown, ...path: string[]): unknown =>
  path.reduce<unknown>((inner, key) => (inner as Json | undefined)?.[key], value);

/** Something of everything, in each API that kubeadm has had. */
const APIS: Record<string, Wishes> = {
  "v1beta2-1.20": { os: "centos-7.9", cluster: { runtime: "docker", kubernetes: { version: "v1.20.15" } } },
  "v1beta3-1.28": {},
  "v1beta4-1.34": {
    os: "debian-13",
    cluster: {
      kubernetes: {
        version: "v1.34.2",
        proxyMode: "nftables",
        extraSans: ["api.site.local"],
        dnsDomain: "site.local",
      },
    },
  },
};
const COMMON = {
  hosts: [
    {
      name: "master1",
      address: "10.0.0.12",
      roles: ["control-plane", "registry"],
      taints: ["dedicated=infra:PreferNoSchedule"],
    },
    { name: "node1", address: "10.0.0.15", roles: ["worker"], taints: ["gpu:NoSchedule"] },
  ],
  kubeadm: {
    ClusterConfiguration: {
      apiServer: { extraArgs: { "audit-log-maxage": "30", v: "2" } },
      scheduler: { extraArgs: { v: 4 } },
    },
    InitConfiguration: { nodeRegistration: { kubeletExtraArgs: { "max-pods": "200" } } },
    JoinConfiguration: { nodeRegistration: { imagePullPolicy: "Never" } },
    KubeletConfiguration: { maxPods: 200, evictionHard: { "memory.available": "200Mi" } },
    KubeProxyConfiguration: { conntrack: { maxPerCore: 0 } },
  },
};

describe.each(Object.entries(APIS))("kubeadm's configuration, %s", (name, wishes) => {
  const all = { ...wishes, cluster: { ...wishes.cluster, ...COMMON } };

  it("is what it is", () => {
    const context = contextOf(all);
    expectGolden(initConfiguration(context), join(GOLDEN, `${name}-init.yaml`));
    const host = context.cluster.hosts[1];
    if (host) expectGolden(joinConfiguration(context, host), join(GOLDEN, `${name}-join.yaml`));
  });

  it("has the API that the version reads, and arguments in that API's form", () => {
    const [, minor = ""] = /-1\.(\d+)$/.exec(name) ?? [];
    const api = `kubeadm.k8s.io/${name.split("-")[0]}`;
    expect(`kubeadm.k8s.io/${rulesOf(`v1.${minor}.0`).configApi.newest}`).toBe(api);
    const kinds = init(all).map(({ apiVersion, kind }) => `${apiVersion} ${kind}`);
    expect(kinds).toEqual([
      `${api} InitConfiguration`,
      `${api} ClusterConfiguration`,
      "kubelet.config.k8s.io/v1beta1 KubeletConfiguration",
      "kubeproxy.config.k8s.io/v1alpha1 KubeProxyConfiguration",
    ]);
    const args = at(init(all)[1], "apiServer", "extraArgs");
    const list = [
      { name: "audit-log-maxage", value: "30" },
      { name: "v", value: "2" },
    ];
    expect(args).toEqual(api.endsWith("v1beta4") ? list : { "audit-log-maxage": "30", v: "2" });
  });
});

describe("the configuration", () => {
  test.each([
    ["v1.19.0", ["master"]],
    ["v1.23.17", ["master"]],
    ["v1.24.9", ["master", "control-plane"]],
    ["v1.25.5", ["control-plane"]],
    ["v1.34.2", ["control-plane"]],
  ])("gives a control plane of %s the taints that kubeadm itself would", (version, names) => {
    const taints = at(init({ cluster: { kubernetes: { version } } })[0], "nodeRegistration", "taints");
    expect(taints).toEqual(
      names.map((name) => ({ key: `node-role.kubernetes.io/${name}`, effect: "NoSchedule" })),
    );
  });

  it("gives none to a control plane that works too, and says so: kubeadm would give its own", () => {
    const hosts = [{ name: "master1", address: "10.0.0.12", roles: ["control-plane", "worker", "registry"] }];
    expect(at(init({ cluster: { hosts } })[0], "nodeRegistration", "taints")).toEqual([]);
    expect(at(join_({}), "nodeRegistration", "taints")).toBeUndefined();
  });

  it.each([
    ["gpu:NoSchedule", { key: "gpu", effect: "NoSchedule" }],
    ["gpu=:NoSchedule", { key: "gpu", effect: "NoSchedule" }],
    ["example.com/gpu=a.b:NoExecute", { key: "example.com/gpu", value: "a.b", effect: "NoExecute" }],
  ])("reads the taint %s", (taint, read) => {
    const hosts = [
      ...COMMON.hosts.slice(0, 1),
      { name: "node1", address: "10.0.0.15", roles: ["worker"], taints: [taint] },
    ];
    expect(at(join_({ cluster: { hosts } }), "nodeRegistration", "taints")).toEqual([read]);
  });

  it.each([
    ["containerd", "v1.23.17", "/run/containerd/containerd.sock"],
    ["containerd", "v1.24.9", "unix:///run/containerd/containerd.sock"],
    ["docker", "v1.23.17", "/var/run/dockershim.sock"],
    ["docker", "v1.24.9", "unix:///var/run/cri-dockerd.sock"],
  ])("names the socket of %s at %s", (runtime, version, socket) => {
    expect(
      at(join_({ cluster: { runtime, kubernetes: { version } } }), "nodeRegistration", "criSocket"),
    ).toBe(socket);
  });

  it("lets a node trust the API by the hash of its authority, with the token, at the endpoint", () => {
    const wishes = { cluster: { endpoint: { address: "10.0.0.200", port: 8443 } } };
    expect(at(join_(wishes), "discovery", "bootstrapToken")).toEqual({
      apiServerEndpoint: "10.0.0.200:8443",
      token: "abcdef.0123456789abcdef",
      caCertHashes: [publicKeyHash(siteOf(wishes).secrets.ca)],
    });
    expect(init(wishes)[1]).toMatchObject({
      controlPlaneEndpoint: "10.0.0.200:8443",
      apiServer: { certSANs: expect.arrayContaining(["10.0.0.200", "10.0.0.12"]) },
    });
  });

  it("writes addresses of IPv6 as kubeadm reads them", () => {
    const hosts = [{ name: "master1", address: "fd00::12", roles: ["control-plane", "registry"] }];
    expect(
      init({
        cluster: {
          hosts,
          kubernetes: { version: "v1.28.2", podSubnet: "fd01::/48", serviceSubnet: "fd02::/112" },
        },
      })[1],
    ).toMatchObject({
      controlPlaneEndpoint: "[fd00::12]:6443",
      networking: { podSubnet: "fd01::/48" },
    });
  });

  it("of another control plane says where it is", () => {
    const hosts = [...COMMON.hosts, { name: "master2", address: "10.0.0.13", roles: ["control-plane"] }];
    expect(
      at(join_({ cluster: { hosts, endpoint: { address: "10.0.0.200" } } }, "master2"), "controlPlane"),
    ).toEqual({
      localAPIEndpoint: { advertiseAddress: "10.0.0.13", bindPort: 6443 },
    });
  });

  it("tells kubelet another resolv.conf where the host's own is a loop", () => {
    const args = (facts: Wishes["facts"]) =>
      at(join_({ hostFacts: { node1: facts ?? {} } }), "nodeRegistration", "kubeletExtraArgs");
    expect(args({})).toEqual({ "node-ip": "10.0.0.15" });
    expect(args({ nameservers: ["127.0.0.1"] })).toEqual({
      "node-ip": "10.0.0.15",
      "resolv-conf": "/etc/airgap/resolv.conf",
    });
  });

  it("asks for images by the names of the site where a runtime knows no mirrors", () => {
    expect(init({})[1]).not.toHaveProperty("imageRepository");
    expect(init({ cluster: { runtime: "docker" } })[1]).toMatchObject({
      imageRepository: "register.site.local/registry.k8s.io",
      dns: { imageRepository: "register.site.local/registry.k8s.io/coredns" },
      etcd: { local: { imageRepository: "register.site.local/registry.k8s.io" } },
    });
    const flat = { mode: "external", layout: "flat", prefix: "google_containers" };
    expect(init({ cluster: { registry: flat, repository: { host: "master1" } } })[1]).toMatchObject({
      imageRepository: "register.site.local/google_containers",
      dns: { imageRepository: "register.site.local/google_containers" },
    });
  });

  it("lets the user's part win, key by key", () => {
    const kubeadm = {
      ClusterConfiguration: {
        apiServer: { certSANs: ["only.this"] },
        networking: { dnsDomain: "other.local" },
      },
      KubeletConfiguration: { cgroupDriver: "cgroupfs" },
    };
    const [, cluster, kubelet] = init({ cluster: { kubeadm } });
    expect(cluster).toMatchObject({
      apiServer: { certSANs: ["only.this"] },
      networking: { dnsDomain: "other.local", podSubnet: "10.244.0.0/16" },
    });
    expect(kubelet).toMatchObject({ cgroupDriver: "cgroupfs" });
  });
});

describe("merge", () => {
  it.each([
    [{ a: 1, b: { c: 1, d: 2 } }, { b: { c: 3 } }, { a: 1, b: { c: 3, d: 2 } }],
    [{ a: [1, 2] }, { a: [3] }, { a: [3] }],
    [{ a: { b: 1 } }, { a: null }, { a: null }],
    [
      { extraArgs: { a: "1", b: "2" } },
      { extraArgs: [{ name: "b", value: "3" }] },
      { extraArgs: { a: "1", b: "3" } },
    ],
    [
      { kubeletExtraArgs: { a: "1" } },
      { kubeletExtraArgs: { c: "x" } },
      { kubeletExtraArgs: { a: "1", c: "x" } },
    ],
    [{}, { a: { b: 1 } }, { a: { b: 1 } }],
  ])("of %j and %j", (base, over, result) => {
    const before = structuredClone([base, over]);
    expect(merge(base as Json, over as Json)).toEqual(result);
    expect([base, over]).toEqual(before);
  });
});
