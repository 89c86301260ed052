import { describe, expect, it, test } from "vitest";
import type { AirgapError } from "../../src/errors.ts";
import { makeContext } from "../../src/install/context.ts";
import { CHECKS, type Finding, UPGRADE_CHECKS } from "../../src/install/preflight/finding.ts";
import {
  byCause,
  formatCause,
  formatFinding,
  parseIgnored,
  preflight,
  preflightHosts,
  refuse,
} from "../../src/install/preflight/preflight.ts";
import { siteOf, type Wishes } from "../support/install/site.ts";
import { factsOf, systems } from "../support/install/systems.ts";

const found = (wishes: Wishes): Finding[] => preflight(makeContext(siteOf(wishes)));
const lines = (wishes: Wishes): string[] =>
  found(wishes).map((finding) => `${finding.severity}: ${formatFinding(finding)}`);
const node = (facts: Wishes["facts"]): Wishes => ({ hostFacts: { node1: facts ?? {} } });
const rocky = factsOf("rocky-9.4");
const with_ = (more: Partial<Wishes>, facts: Wishes["facts"]): Wishes => ({ ...more, ...node(facts) });

/** Of a control plane that kubeadm has made. */
const STANDING = ["/etc/kubernetes/admin.conf", "/etc/kubernetes/kubelet.conf", "/var/lib/etcd/member"];

/** For each check, hosts or bundles that it finds something wrong with: all that is found. */
type Case = [check: string, wishes: Wishes, found: string[]];
const twoServers = (...more: string[]) => [
  { name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry"] },
  { name: "register2", address: "10.0.0.21", roles: ["registry", ...more] },
  { name: "node1", address: "10.0.0.15", roles: ["worker"] },
];

const CASES: Case[] = [
  [
    "machine",
    node({ machine: "riscv64" }),
    [
      "error: node1: machine: its architecture is riscv64; airgap supports x86_64 and aarch64",
      "error: node1: bundle-platform: it is linux/riscv64, but site.tar is for linux/amd64",
      "error: node1: bundle-packages: site.tar has no packages for rocky-9.4 or rocky-9 on riscv64, only el9 (rocky-9, rocky-9.4; x86_64)",
      "error: node1: containerd-version: neither the host nor the bundle's packages for it have containerd",
    ],
  ],
  ["init", node({ init: "openrc" }), ["error: node1: init: its init is openrc, not systemd"]],
  [
    "package-manager",
    { hostFacts: { node1: without("packageManager") } },
    ["error: node1: package-manager: it has neither apt-get nor dnf nor yum"],
  ],
  [
    "kernel",
    node({ kernel: "2.6.32-754.el6.x86_64" }),
    [
      "error: node1: kernel: kernel 2.6.32-754.el6.x86_64: Kubernetes v1.28.2 refuses kernels older than 3.10",
    ],
  ],
  [
    "kernel",
    with_({ cluster: { kubernetes: { version: "v1.32.1" } } }, { kernel: "4.18.0-553.el8_10.x86_64" }),
    [
      "error: node1: kernel: kernel 4.18.0-553.el8_10.x86_64: Kubernetes v1.32.1 refuses kernels older than 4.19",
    ],
  ],
  [
    "kernel",
    with_({ cluster: { kubernetes: { version: "v1.34.2" } } }, { kernel: "4.18.0-553.el8_10.x86_64" }),
    [
      "warning: node1: kernel: kernel 4.18.0-553.el8_10.x86_64 is older than 4.19, the oldest that Kubernetes v1.34.2 is tested with",
    ],
  ],
  [
    "kernel",
    with_(
      { cluster: { kubernetes: { version: "v1.34.2", proxyMode: "nftables" } } },
      { kernel: "5.10.0-32-amd64" },
    ),
    ["error: node1: kernel: kernel 5.10.0-32-amd64: proxyMode nftables needs 5.13"],
  ],
  [
    "cgroup",
    with_({ cluster: { kubernetes: { version: "v1.35.1" } } }, { cgroup: "v1" }),
    ["error: node1: cgroup: it has cgroup v1, which Kubernetes v1.35.1 refuses"],
  ],
  [
    "cgroup",
    with_(
      {
        cluster: {
          kubernetes: { version: "v1.35.1" },
          kubeadm: { KubeletConfiguration: { failCgroupV1: false } },
        },
      },
      { cgroup: "v1" },
    ),
    [],
  ],
  ["cgroup", with_({ cluster: { kubernetes: { version: "v1.34.2" } } }, { cgroup: "v1" }), []],
  [
    "modules",
    node({ modules: ["overlay"] }),
    ["error: node1: modules: its kernel lacks the modules br_netfilter"],
  ],
  [
    "modules",
    with_(
      { cluster: { kubernetes: { version: "v1.28.2", proxyMode: "ipvs" } } },
      { modules: ["overlay", "br_netfilter"] },
    ),
    [
      "error: node1: modules: its kernel lacks the modules ip_vs, ip_vs_rr, ip_vs_wrr, ip_vs_sh",
      ...["master1", "node1"].map(
        (name) =>
          `warning: ${name}: bundle-packages: neither the host nor the bundle has ipvsadm, which shows and clears what kube-proxy sets in ipvs mode`,
      ),
    ],
  ],
  [
    "cores",
    { hostFacts: { master1: { cores: 1 }, node1: { cores: 1 } } },
    ["error: master1: cores: it has 1 core; a control plane needs 2"],
  ],
  [
    "memory",
    { hostFacts: { master1: { memoryKiB: 1_700_000 }, node1: { memoryKiB: 900_000 } } },
    [
      "error: master1: memory: it has 1660 MB of memory; it needs 1700 MB",
      "error: node1: memory: it has 878 MB of memory; it needs 900 MB",
    ],
  ],
  [
    "disk",
    node({ free: { "/": { kib: 1_000_000, mount: "/" } } }),
    ["error: node1: disk: / has 977 MiB left; images and packages need 1.8 GiB"],
  ],
  [
    "disk",
    node({ free: { "/": { kib: 1_000_000, mount: "/" }, "/var/lib": { kib: 90_000_000, mount: "/var" } } }),
    [],
  ],
  ["disk", with_({}, { free: { "/": { kib: 1, mount: "/" } }, owner: "site" }), []],
  [
    "ports",
    { hostFacts: { master1: { listening: [22, 443, 2379, 6443] }, node1: { listening: [10_250, 6443] } } },
    [
      "error: master1: ports: another program already listens on 6443, 2379, 443",
      "error: node1: ports: another program already listens on 10250",
    ],
  ],
  [
    "address",
    node({ addresses: [{ interface: "eth0", cidr: "10.0.0.99/24" }] }),
    ["error: node1: address: it does not have the address 10.0.0.15; it has 10.0.0.99/24"],
  ],
  [
    "host-unique",
    { facts: { productUuid: "564d-x" } },
    [
      "error: host-unique: master1, node1 have the same product_uuid: Kubernetes would take them for one node",
    ],
  ],
  [
    "host-unique",
    { facts: { machineId: "0123" } },
    [
      "notice: host-unique: master1, node1 have the same machine-id, as clones do: every host but the first gets a new one",
    ],
  ],
  [
    "host-unique",
    { facts: { macs: ["02:00:00:00:00:01", "02:00:00:00:00:01"] } },
    ["error: host-unique: master1, node1 have the same MAC address 02:00:00:00:00:01"],
  ],
  ["host-unique", { facts: { productUuid: "", machineId: "", macs: [] } }, []],
  [
    "time",
    node({ time: { host: 1_764_000_100, ours: 1_764_000_000 } }),
    ["error: time: the clocks differ by 100 s: master1 is behind, node1 ahead"],
  ],
  ["time", node({ time: { host: 1_764_000_020, ours: 1_764_000_000 } }), []],
  [
    "subnets",
    node({ routes: [...rocky.routes, { to: "10.244.3.0/24", interface: "tun0" }] }),
    ["error: node1: subnets: its route to 10.244.3.0/24 by tun0 overlaps the pods' range 10.244.0.0/16"],
  ],
  [
    "subnets",
    node({ routes: [...rocky.routes, { to: "10.96.0.1", interface: "tun0" }] }),
    ["error: node1: subnets: its route to 10.96.0.1 by tun0 overlaps the services' range 10.96.0.0/12"],
  ],
  [
    "subnets",
    node({
      routes: [
        ...rocky.routes,
        { to: "10.244.0.0/24", interface: "cni0" },
        { to: "10.244.1.0/24", interface: "flannel.1" },
        { to: "10.96.0.0/12", interface: "ens192" },
      ],
    }),
    [],
  ],
  [
    "subnets",
    { cluster: { kubernetes: { version: "v1.28.2", podSubnet: "10.0.0.0/20" } } },
    [
      "error: master1: subnets: its address 10.0.0.12 is in the pods' range 10.0.0.0/20",
      "error: node1: subnets: its address 10.0.0.15 is in the pods' range 10.0.0.0/20",
    ],
  ],
  [
    "route",
    node({ routes: [{ to: "10.0.0.0/24", interface: "ens192" }], defaultRoute: false }),
    [
      "notice: node1: route: it has no default route: airgap will add a route for services (10.96.0.0/12) and set the network's interface",
    ],
  ],
  [
    "resolv-conf",
    node({ nameservers: ["127.0.0.1"] }),
    [
      "notice: node1: resolv-conf: its name server is 127.0.0.1, which a pod would take for itself: airgap gives pods another list",
    ],
  ],
  [
    "resolv-conf",
    node({ nameservers: [] }),
    [
      "notice: node1: resolv-conf: it has no name server: airgap gives pods the host's own address, which refuses at once",
    ],
  ],
  [
    "vip",
    { cluster: { endpoint: { address: "10.0.0.12" } } },
    ["notice: vip: 10.0.0.12 belongs to master1: the API server is reachable only there"],
  ],
  [
    "runtime",
    node({ versions: { podman: "5.2.0" } }),
    [
      "warning: node1: runtime: podman 5.2.0 is installed; the packages containerd.io and runc may conflict with it",
    ],
  ],
  [
    "runtime",
    node({ active: ["docker"] }),
    [
      "warning: node1: runtime: Docker runs here; airgap reconfigures and restarts its containerd. Containers keep running, but users of containerd notice",
    ],
  ],
  [
    "leftovers",
    node({ active: ["k3s-agent", "containerd"] }),
    [
      "error: node1: leftovers: k3s-agent runs here: another Kubernetes, with a kubelet and a runtime of its own",
      "warning: node1: leftovers: containerd runs here for somebody; airgap reconfigures and restarts it",
    ],
  ],
  [
    "leftovers",
    node({ active: ["kubelet"] }),
    ["error: node1: leftovers: a kubelet runs here that no kubeadm has made"],
  ],
  [
    "leftovers",
    node({
      addresses: [
        { interface: "ens192", cidr: "10.0.0.15/24" },
        { interface: "cni0", cidr: "10.42.0.1/24" },
        { interface: "flannel.1", cidr: "10.244.3.0/32" },
      ],
    }),
    [
      "error: node1: leftovers: cni0 has 10.42.0.1/24, left from another pod network (pods here get 10.244.0.0/16): pods would get no network",
      "error: node1: leftovers: flannel.1 has 10.244.3.0/32, left from another pod network: pods would get no network",
    ],
  ],
  [
    "leftovers",
    node({
      exists: ["05-old.conflist", "10-calico.conflist", "01.txt", "87-podman.conflist"].map(
        (name) => `/etc/cni/net.d/${name}`,
      ),
    }),
    [
      "error: node1: leftovers: /etc/cni/net.d/05-old.conflist would be used instead of 10-flannel.conflist: the runtime takes the first by name",
      "error: node1: leftovers: /etc/cni/net.d/10-calico.conflist would be used instead of 10-flannel.conflist: the runtime takes the first by name",
    ],
  ],
  [
    "leftovers",
    {
      hostFacts: {
        master1: { owner: "site", exists: STANDING },
        node1: {
          owner: "site",
          active: ["kubelet", "containerd"],
          exists: ["/etc/cni/net.d/00-multus.conf"],
        },
      },
    },
    [],
  ],
  ["cluster", node({ owner: "another" }), ["error: node1: cluster: it belongs to the cluster another"]],
  [
    "cluster",
    node({
      exists: ["/etc/kubernetes/kubelet.conf", "/etc/cni/net.d/10-x.conflist"],
      kubeletServer: "https://10.9.9.9:6443",
    }),
    [
      "error: node1: cluster: it was a node of https://10.9.9.9:6443, which airgap did not set up: /etc/kubernetes/kubelet.conf",
    ],
  ],
  [
    "cluster",
    {
      hostFacts: {
        master1: { owner: "site", exists: STANDING },
        node1: { exists: ["/etc/kubernetes/kubelet.conf"], kubeletServer: "https://10.0.0.12:6443" },
      },
    },
    [],
  ],
  ["cluster", node({ exists: ["/etc/cni/net.d/87-podman.conflist"] }), []],
  [
    "kubernetes",
    {
      hostFacts: {
        master1: { owner: "site", exists: STANDING },
        node1: { owner: "site", versions: { kubelet: "1.27.1" }, exists: ["/etc/kubernetes/kubelet.conf"] },
      },
    },
    ["error: node1: kubernetes: it is a node at v1.27.1, but the cluster file says v1.28.2"],
  ],
  [
    "kubernetes",
    { bundle: { packages: { all: ["containerd.io 1.7.27", "=kubelet 1.27.1-1", "=kubeadm 1.27.1-1"] } } },
    [
      "error: master1: kubernetes: the set el9 has kubeadm 1.27.1-1, but the cluster file says v1.28.2",
      "error: node1: kubernetes: the set el9 has kubeadm 1.27.1-1, but the cluster file says v1.28.2",
    ],
  ],
  [
    "containerd-version",
    {
      os: "debian-11",
      bundle: {
        packages: { all: ["containerd 1.4.13~ds1-1", "=kubelet 1.28.2-1.1", "=kubeadm 1.28.2-1.1"] },
      },
    },
    [
      "error: master1: containerd-version: containerd 1.4.13~ds1-1 is too old: Kubernetes v1.28.2 needs 1.6",
      "error: node1: containerd-version: containerd 1.4.13~ds1-1 is too old: Kubernetes v1.28.2 needs 1.6",
    ],
  ],
  [
    "containerd-version",
    with_(
      {
        bundle: { packages: { all: ["=kubelet 1.28.2-1", "=kubeadm 1.28.2-1"] } },
        facts: { versions: { containerd: "1.7.27" } },
      },
      { versions: {} },
    ),
    ["error: node1: containerd-version: neither the host nor the bundle's packages for it have containerd"],
  ],
  [
    "registry-glibc",
    { hostFacts: { master1: { glibc: "2.17" } } },
    [
      "error: master1: registry-glibc: it serves the bundle, and airgap's own Node needs glibc 2.28; it has glibc 2.17",
    ],
  ],
  [
    "machine",
    { cluster: { hosts: twoServers() }, hostFacts: { register2: { machine: "aarch64" } } },
    [
      "error: register2: machine: it serves the bundle beside master1, and has another architecture: aarch64, not x86_64",
    ],
  ],
  [
    "registry-certificate",
    {
      cluster: { hosts: twoServers("worker") },
      hostFacts: { master1: { siteCertificate: "CERT\n" } },
      secrets: { tls: { ca: "CA", server: { cert: "CERT" } } },
    },
    [
      "error: register2: registry-certificate: it does not have the site's certificate, and its key is on the other servers and on the machine that made it",
    ],
  ],
  [
    "bundle-images",
    { bundle: { without: ["registry.k8s.io/pause", "registry.k8s.io/etcd"] } },
    [
      "error: bundle-images: site.tar does not have registry.k8s.io/pause:3.9, registry.k8s.io/etcd:3.5.9-0, which Kubernetes v1.28.2 needs",
    ],
  ],
  [
    "bundle-platform",
    { bundle: { platforms: ["linux/arm64"] } },
    [
      "error: master1: bundle-platform: it is linux/amd64, but site.tar is for linux/arm64",
      "error: node1: bundle-platform: it is linux/amd64, but site.tar is for linux/arm64",
    ],
  ],
  ["bundle-platform", { bundle: { platforms: ["all"] } }, []],
  [
    "bundle-packages",
    { bundle: { packages: { all: ["containerd.io 1.7.27", "=kubelet 1.28.2-1"] } } },
    [
      "error: master1: bundle-packages: the set el9 installs no kubeadm on it",
      "error: node1: bundle-packages: the set el9 installs no kubeadm on it",
    ],
  ],
  [
    "bundle-packages",
    with_({}, { os: { ...rocky.os, version: "8.10" }, versions: { containerd: "1.7.27" } }),
    [
      "error: node1: bundle-packages: site.tar has no packages for rocky-8.10 or rocky-8 on x86_64, only el9 (rocky-9, rocky-9.4; x86_64)",
    ],
  ],
  [
    "bundle-packages",
    with_(
      {},
      {
        os: { ...rocky.os, version: "8.10" },
        versions: { containerd: "1.7.27", kubelet: "1.28.2" },
        tools: ["kubeadm"],
      },
    ),
    [
      "notice: node1: bundle-packages: site.tar has no packages for rocky-8.10 or rocky-8 on x86_64, only el9 (rocky-9, rocky-9.4; x86_64)",
    ],
  ],
  [
    "bundle-packages",
    { cluster: { runtime: "docker" } },
    [
      "error: master1: bundle-packages: Docker needs cri-dockerd from Kubernetes 1.24 on, and neither the bundle nor the host has it",
      "error: node1: bundle-packages: Docker needs cri-dockerd from Kubernetes 1.24 on, and neither the bundle nor the host has it",
    ],
  ],
  [
    "bundle-packages",
    {
      cluster: { runtime: "docker", kubernetes: { version: "v1.23.17" } },
      bundle: { packages: { all: ["=kubelet 1.23.17-0", "=kubeadm 1.23.17-0"] } },
    },
    [
      "error: master1: bundle-packages: neither the host nor the bundle's packages for it have Docker",
      "error: node1: bundle-packages: neither the host nor the bundle's packages for it have Docker",
    ],
  ],
  ...(["serve", "external"] as const).flatMap((mode): Case[] =>
    [undefined, "robot"].map((user) => [
      "registry-scheme",
      {
        cluster: {
          registry: { mode, scheme: "http", ...(user ? { user, passwordEnv: "SITE_PASSWORD" } : {}) },
          repository: { host: "master1" },
        },
      },
      [
        `warning: registry-scheme: images come over plain http: anyone on the site's network can replace every image that is not named by its digest${user ? ", and read the password of robot" : ""}`,
      ],
    ]),
  ),
  [
    "bundle-manifests",
    { cluster: { network: { name: "flanel" } } },
    ["error: bundle-manifests: network: site.tar has no manifests named flanel"],
  ],
  [
    "bundle-manifests",
    { cluster: { addons: ["metrics-server"] } },
    ["error: bundle-manifests: addons: site.tar has no manifests named metrics-server"],
  ],
  [
    "bundle-manifests",
    { bundle: { tools: [] } },
    [
      "error: bundle-manifests: master1 serves the bundle and needs airgap itself for linux/x64, which the bundle does not carry",
    ],
  ],
  [
    "bundle-older",
    {
      hostFacts: { master1: { bundles: { site: { sequence: 5, lockDigest: `sha256:${"0".repeat(64)}` } } } },
    },
    [
      "error: master1: bundle-older: site.tar is older than the bundle that the site has: its number is 0, the site's is 5",
    ],
  ],
  ["bundle-older", { hostFacts: { master1: { bundles: { other: { sequence: 5, lockDigest: "x" } } } } }, []],
];

function without(key: "packageManager" | "glibc"): NonNullable<Wishes["facts"]> {
  return { [key]: undefined } as unknown as NonNullable<Wishes["facts"]>;
}

describe("preflight", () => {
  test.each(systems)("finds nothing on %s but what the system really lacks", (os) => {
    const glibc =
      os === "centos-7.9"
        ? [
            "error: master1: registry-glibc: it serves the bundle, and airgap's own Node needs glibc 2.28; it has glibc 2.17",
          ]
        : [];
    expect(lines({ os })).toEqual(glibc);
  });

  test.each(CASES)("%s, case %#", (check, wishes, wanted) => {
    expect(lines(wishes)).toEqual(wanted);
    if (wanted.length > 0) expect(found(wishes)[0]?.check).toBe(check);
  });

  it("has a case for each name, but for those with a test of their own and those looked at later", () => {
    const shown = new Set(CASES.map(([check]) => check));
    const installing = Object.keys(CHECKS).filter((check) => !Object.hasOwn(UPGRADE_CHECKS, check));
    expect(installing.filter((check) => !shown.has(check))).toEqual([
      "router-id",
      "unreachable",
      "member",
      "etcd",
      "etcd-data",
      "etcd-disk",
      "harbor",
      "bundle-harbor",
      "registry-name",
      "package-removal",
      "base-packages",
    ]);
  });

  it("says when kubelet would be on a host that is no node", () => {
    const cluster = {
      hosts: [
        { name: "master1", address: "10.0.0.12", roles: ["control-plane"] },
        { name: "box", address: "10.0.0.14", roles: ["registry"] },
      ],
    };
    expect(lines({ cluster })).toEqual([
      "warning: box: bundle-packages: the set el9 puts kubelet on it, and it is no node (registry): kubelet starts over and over there",
    ]);
    const kubernetes = ["=kubelet 1.28.2-1", "=kubeadm 1.28.2-1"];
    const packages = { all: ["containerd.io 1.7.27"], "control-plane": kubernetes, worker: kubernetes };
    expect(lines({ cluster, bundle: { packages } })).toEqual([]);
  });

  it("names images that the user's own add-ons want", () => {
    const wishes = {
      cluster: { addons: [{ manifest: "manifests/shop.yaml" }] },
      bundle: { without: ["register.site.local/shop/web"] },
    };
    expect(lines(wishes)).toEqual([
      expect.stringMatching(
        /^error: bundle-images: .*shop\.yaml names register\.site\.local\/shop\/web:v1, which site\.tar does not have$/,
      ),
    ]);
  });

  it("asks less of a host that is no node", () => {
    const hosts = [
      { name: "master1", address: "10.0.0.12", roles: ["control-plane"] },
      { name: "register", address: "10.0.0.20", roles: ["registry"] },
    ];
    const small = {
      cores: 1,
      memoryKiB: 500_000,
      modules: [],
      kernel: "3.10.0",
      cgroup: "v1" as const,
      routes: [],
      nameservers: [],
      listening: [6443],
    };
    const kubernetes = ["=kubelet 1.28.2-1", "=kubeadm 1.28.2-1"];
    const packages = { all: ["containerd.io 1.7.27"], "control-plane": kubernetes, worker: kubernetes };
    expect(lines({ cluster: { hosts }, hostFacts: { register: small }, bundle: { packages } })).toEqual([]);
  });

  it("of hosts alone needs no bundle", () => {
    const findings = preflightHosts(
      makeContext(siteOf({ bundle: { noPackages: true, manifests: [], tools: [] }, facts: { cores: 1 } })),
    );
    expect(findings.map(({ check }) => check)).toEqual(["cores"]);
  });
});

describe("what is refused", () => {
  const errors: Finding[] = [
    { check: "cores", severity: "error", host: "a", message: "one core" },
    { check: "time", severity: "error", message: "skew", suggestion: "set the clocks" },
    { check: "runtime", severity: "warning", host: "a", message: "podman" },
  ];

  it("is told at once, with the way on", () => {
    expect(() => refuse(errors, [])).toThrow(
      expect.objectContaining({
        code: "check-failed",
        exit: 3,
        message: "Nothing was changed: 2 checks failed.\n  a: cores: one core\n  time: skew",
        suggestions: [
          "set the clocks",
          "if one of them does no harm here, accept it by its name: --ignore-check NAME (cores, time)",
        ],
      }),
    );
    expect(() => refuse(errors, ["cores"])).toThrow("Nothing was changed: a check failed.\n  time: skew");
    expect(() => refuse(errors, ["cores", "time"])).not.toThrow();
    expect(() => refuse(errors.slice(2), [])).not.toThrow();
  });

  it("without advice to ignore what is sure to fail", () => {
    const missing: Finding = { check: "bundle-images", severity: "error", message: "no pause" };
    const suggestionsOf = (findings: Finding[]): unknown => {
      try {
        refuse(findings, []);
      } catch (error) {
        return (error as AirgapError).suggestions;
      }
      return undefined;
    };
    expect(suggestionsOf([missing])).toEqual([]);
    expect(suggestionsOf([missing, ...errors.slice(0, 1)])).toEqual([
      "if it does no harm here: --ignore-check cores",
    ]);
    expect(() => refuse([missing], ["bundle-images"])).not.toThrow();
  });

  it("of hosts that cannot be reached is one line for each cause, whatever their addresses", () => {
    const lost = (host: string, message: string): Finding => ({
      ...{ check: "unreachable", severity: "error", host, message },
      suggestion: `try it by hand: ssh root@${host}`,
    });
    const refused = (address: string): string =>
      `no connection to ${address}: ssh: connect to host ${address} port 22: Connection refused`;
    expect(
      byCause([
        lost("w1", refused("10.0.0.1")),
        lost("w2", refused("fd00:10::2")),
        lost("w3", "no connection to 10.0.0.3: timed out"),
      ]).map(formatCause),
    ).toEqual([
      "w1, w2: unreachable: no connection to …: ssh: connect to host … port 22: Connection refused",
      "w3: unreachable: no connection to 10.0.0.3: timed out",
    ]);
  });

  it("may be ignored by a name that there is", () => {
    expect(parseIgnored(["cores", "package-removal"])).toEqual(["cores", "package-removal"]);
    for (const name of ["core", "toString", ""])
      expect(() => parseIgnored([name])).toThrow(expect.objectContaining({ code: "usage" }));
  });
});
