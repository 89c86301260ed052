import { isIP } from "node:net";
import { dirname } from "node:path/posix";
import { contains, overlap, parseSubnet } from "../../address.ts";
import { type Cluster, type ClusterHost, serversOf } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import { balancerPorts } from "../balancers.ts";
import type { Context } from "../context.ts";
import { isExternal } from "../etcd/topology.ts";
import { ordinal } from "../ordinal.ts";
import { IPVS_MODULES } from "../stages/kernel.ts";
import { needsResolvConf } from "../stages/resolv-conf.ts";
import { balancer } from "./balancers.ts";
import type { Finding } from "./finding.ts";
import { harborPorts } from "./harbor.ts";
import { leftovers } from "./leftovers.ts";

type HostCheck = (host: ClusterHost, facts: Facts, context: Context) => Omit<Finding, "host">[];

const error = (check: Finding["check"], message: string, suggestion?: string): Omit<Finding, "host"> => ({
  check,
  severity: "error",
  message,
  ...(suggestion ? { suggestion } : {}),
});
const notice = (check: Finding["check"], message: string): Omit<Finding, "host"> => ({
  check,
  severity: "notice",
  message,
});
const warning = (check: Finding["check"], message: string): Omit<Finding, "host"> => ({
  check,
  severity: "warning",
  message,
});

const isNode = ({ roles }: ClusterHost): boolean =>
  roles.includes("control-plane") || roles.includes("worker");
const inThisCluster = (facts: Facts, cluster: Cluster): boolean => facts.owner === cluster.name;

const system: HostCheck = (_host, facts) => [
  ...(facts.init === "systemd" ? [] : [error("init", `its init is ${facts.init || "unknown"}, not systemd`)]),
  ...(["x86_64", "aarch64"].includes(facts.machine)
    ? []
    : [error("machine", `its architecture is ${facts.machine}; airgap supports x86_64 and aarch64`)]),
  ...(facts.packageManager ? [] : [error("package-manager", "it has neither apt-get nor dnf nor yum")]),
];

const kernel: HostCheck = (host, facts, { cluster, images }) => {
  const { oldest, tested } = images.rules.kernel;
  const own = ordinal(facts.kernel);
  if (!isNode(host) || own >= ordinal(tested)) return [];
  const version = `Kubernetes ${cluster.kubernetes.version}`;
  if (own >= ordinal(oldest))
    return [
      warning(
        "kernel",
        `kernel ${facts.kernel} is older than ${tested}, the oldest that ${version} is tested with`,
      ),
    ];
  const older = own >= ordinal("3.10") ? "use Kubernetes v1.31 here, or a newer kernel" : undefined;
  return [error("kernel", `kernel ${facts.kernel}: ${version} refuses kernels older than ${oldest}`, older)];
};

const nftables: HostCheck = (host, facts, { cluster, images }) => {
  const least = images.rules.nftables?.kernel;
  if (!isNode(host) || cluster.kubernetes.proxyMode !== "nftables" || least === undefined) return [];
  return ordinal(facts.kernel) < ordinal(least)
    ? [error("kernel", `kernel ${facts.kernel}: proxyMode nftables needs ${least}`, "proxyMode: iptables")]
    : [];
};

/** kubelet 1.35 refuses cgroup v1 unless failCgroupV1 is false: kubernetes/kubernetes#134298. */
const cgroup: HostCheck = (host, facts, { cluster, images }) => {
  const allowed = cluster.kubeadm.KubeletConfiguration?.["failCgroupV1"] === false;
  if (!isNode(host) || facts.cgroup === "v2" || images.rules.cgroupV1 !== "refused" || allowed) return [];
  return [
    error(
      "cgroup",
      `it has cgroup v1, which Kubernetes ${cluster.kubernetes.version} refuses`,
      "boot it with systemd.unified_cgroup_hierarchy=1, or set `kubeadm: { KubeletConfiguration: { failCgroupV1: false } }` and ignore SystemVerification",
    ),
  ];
};

const modules: HostCheck = (host, facts, { cluster }) => {
  if (!isNode(host)) return [];
  const wanted = [
    "overlay",
    "br_netfilter",
    ...(cluster.kubernetes.proxyMode === "ipvs" ? IPVS_MODULES : []),
  ];
  const missing = wanted.filter((name) => !facts.modules.includes(name));
  return missing.length === 0
    ? []
    : [
        error(
          "modules",
          `its kernel lacks the modules ${missing.join(", ")}`,
          "install the modules of exactly the running kernel (kernel-modules-extra on EL)",
        ),
      ];
};

/** kubeadm's minimum: two cores and 1700 MB for a control plane. */
const size: HostCheck = (host, facts) => {
  const plane = host.roles.includes("control-plane");
  const cores =
    plane && facts.cores < 2 ? [error("cores", `it has ${facts.cores} core; a control plane needs 2`)] : [];
  const least = plane ? 1700 : 900;
  const megabytes = Math.floor(facts.memoryKiB / 1024);
  return isNode(host) && megabytes < least
    ? [...cores, error("memory", `it has ${megabytes} MB of memory; it needs ${least} MB`)]
    : cores;
};

/** Room that an installation takes on a host. */
export interface DiskNeed {
  folder: string;
  bytes: number;
  /** `the bundle`, `images` */
  what: string;
}

/** Bytes that an installation adds to a host, by folder. */
export function diskNeeds(host: ClusterHost, { cluster, bundle }: Context): DiskNeed[] {
  const serves = serversOf(cluster).includes(host);
  const images = bundle.lock.blobs.reduce((sum, blob) => sum + blob.size, 0);
  const packages = bundle.packageSets.reduce(
    (most, { facts }) =>
      Math.max(
        most,
        facts.packages.reduce((sum, each) => sum + each.size, 0),
      ),
    0,
  );
  return [
    ...(serves
      ? [
          { folder: "/var/lib/airgap", bytes: bundle.size, what: "the bundle" },
          { folder: "/opt", bytes: 300 << 20, what: "airgap itself" },
        ]
      : []),
    ...(host.roles.includes("etcd")
      ? [{ folder: "/var/lib/etcd", bytes: 2 ** 30, what: "etcd's objects" }]
      : []),
    // Images are unpacked next to their layers; not every host pulls all of them.
    ...(isNode(host)
      ? [
          {
            folder: `/var/lib/${cluster.runtime}`,
            bytes: Math.min(images * 3, 20 * 2 ** 30),
            what: "images",
          },
          { folder: "/usr", bytes: packages * 4, what: "packages" },
        ]
      : []),
  ];
}

/** Free space where a folder is, or will be. */
function freeAt(facts: Facts, folder: string): Facts["free"][string] {
  const known = facts.free[folder];
  if (known) return known;
  return folder === "/" ? { mount: "/", kib: Number.POSITIVE_INFINITY } : freeAt(facts, dirname(folder));
}

const disk: HostCheck = (host, facts, context) => {
  // On a host that airgap prepared before, most of it is already there.
  if (inThisCluster(facts, context.cluster)) return [];
  const byMount = new Map<string, { bytes: number; free: number; what: string[] }>();
  for (const { folder, bytes, what } of diskNeeds(host, context)) {
    const { mount, kib } = freeAt(facts, folder);
    const entry = byMount.get(mount) ?? { bytes: 0, free: kib * 1024, what: [] };
    byMount.set(mount, { bytes: entry.bytes + bytes, free: entry.free, what: [...entry.what, what] });
  }
  return [...byMount].flatMap(([mount, { bytes, free, what }]) =>
    bytes <= free
      ? []
      : [
          error(
            "disk",
            `${mount} has ${roomOf(free)} left; ${what.join(" and ")} ${what.length > 1 || what[0]?.endsWith("s") ? "need" : "needs"} ${roomOf(bytes)}`,
          ),
        ],
  );
};

const roomOf = (bytes: number): string =>
  bytes < 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;

function portsOf(host: ClusterHost, { cluster }: Context): number[] {
  const plane = host.roles.includes("control-plane");
  return [
    ...(plane ? [6443, 10_257, 10_259] : []),
    ...((plane && !isExternal(cluster)) || host.roles.includes("etcd") ? [2379, 2380] : []),
    ...(isNode(host) ? [10_250] : []),
    ...(serversOf(cluster).includes(host) ? [cluster.repository.port] : []),
    ...balancerPorts(host, cluster),
  ];
}

const ports: HostCheck = (host, facts, context) => {
  const own = inThisCluster(facts, context.cluster);
  const harbor = facts.harbor === undefined ? harborPorts(host, context.cluster) : [];
  const wanted = own ? [] : [...portsOf(host, context), ...harbor];
  const taken = wanted.filter((port) => facts.listening.includes(port));
  return taken.length === 0
    ? []
    : [
        error(
          "ports",
          `another program already listens on ${taken.join(", ")}`,
          "ss -ltnp shows which one; stop it, or use another host",
        ),
      ];
};

const address: HostCheck = (host, facts) =>
  facts.addresses.some(({ cidr }) => cidr.split("/")[0] === host.address)
    ? []
    : [
        error(
          "address",
          `it does not have the address ${host.address}; it has ${facts.addresses.map(({ cidr }) => cidr).join(", ") || "none"}`,
        ),
      ];

const NEVER_ROUTED = new Set(["default", "0.0.0.0/0"]);

/** Routes that overlap the ranges of pods and services; routes of a running cluster do not count. */
const subnets: HostCheck = (host, facts, { cluster }) => {
  if (!isNode(host)) return [];
  const ranges = { pods: cluster.kubernetes.podSubnet, services: cluster.kubernetes.serviceSubnet };
  const ours = /^(?:cni|flannel|cali|tunl|vxlan\.calico|kube-|docker|veth)/;
  return Object.entries(ranges).flatMap(([what, text]) => {
    const range = parseSubnet(text);
    if (range === undefined) return [];
    const clash = facts.routes.find(({ to, interface: out }) => {
      const route = NEVER_ROUTED.has(to) || ours.test(out) || to === text ? undefined : parseSubnet(to);
      return route !== undefined && overlap(route, range);
    });
    const own = isIP(host.address) !== 0 && contains(range, host.address);
    if (own)
      return [
        error(
          "subnets",
          `its address ${host.address} is in the ${what}' range ${text}`,
          "choose another podSubnet or serviceSubnet",
        ),
      ];
    return clash
      ? [
          error(
            "subnets",
            `its route to ${clash.to} by ${clash.interface} overlaps the ${what}' range ${text}`,
            "choose another podSubnet or serviceSubnet",
          ),
        ]
      : [];
  });
};

const route: HostCheck = (host, facts, { cluster }) =>
  isNode(host) && !facts.routes.some(({ to }) => to === "default")
    ? [
        notice(
          "route",
          `it has no default route: airgap will add a route for services (${cluster.kubernetes.serviceSubnet}) and set the network's interface`,
        ),
      ]
    : [];

const resolvConf: HostCheck = (host, facts) =>
  isNode(host) && needsResolvConf(facts)
    ? [
        notice(
          "resolv-conf",
          facts.nameservers.length === 0
            ? "it has no name server: airgap gives pods the host's own address, which refuses at once"
            : `its name server is ${facts.nameservers.join(", ")}, which a pod would take for itself: airgap gives pods another list`,
        ),
      ]
    : [];

const runtime: HostCheck = (host, facts, { cluster }) => {
  if (!isNode(host)) return [];
  const docker = cluster.runtime === "docker";
  const podman = facts.versions.podman
    ? [
        warning(
          "runtime",
          `podman ${facts.versions.podman} is installed; the packages containerd.io and runc may conflict with it`,
        ),
      ]
    : [];
  const running = facts.active.includes("docker") && !docker && !inThisCluster(facts, cluster);
  return running
    ? [
        ...podman,
        warning(
          "runtime",
          "Docker runs here; airgap reconfigures and restarts its containerd. Containers keep running, but users of containerd notice",
        ),
      ]
    : podman;
};

/** Checks which cluster a host belongs to. */
const membership: HostCheck = (host, facts, { cluster, first }) => {
  if (!isNode(host)) return [];
  if (facts.owner !== undefined && facts.owner !== cluster.name) {
    return [
      error(
        "cluster",
        `it belongs to the cluster ${facts.owner}`,
        `run airgap reset with that cluster's file, or use another host`,
      ),
    ];
  }
  const traces = facts.exists.filter((path) => !path.startsWith("/etc/cni/"));
  if (facts.owner === cluster.name || traces.length === 0) return [];
  const server = facts.kubeletServer ?? "";
  const api = cluster.endpoint?.address ?? first.address;
  if (server.includes(api)) return [];
  return [
    error(
      "cluster",
      `it was a node${server ? ` of ${server}` : ""}, which airgap did not set up: ${traces.join(", ")}`,
      `if that node is no longer needed: ssh ${host.address} kubeadm reset`,
    ),
  ];
};

const versions: HostCheck = (host, facts, { cluster }) => {
  const { kubelet } = facts.versions;
  const joined = facts.exists.includes("/etc/kubernetes/kubelet.conf");
  if (!isNode(host) || kubelet === undefined || !joined || `v${kubelet}` === cluster.kubernetes.version)
    return [];
  return [
    error(
      "kubernetes",
      `it is a node at v${kubelet}, but the cluster file says ${cluster.kubernetes.version}`,
      `set kubernetes.version: v${kubelet}, or move it: airgap upgrade`,
    ),
  ];
};

export const HOST_CHECKS: HostCheck[] = [
  system,
  kernel,
  nftables,
  cgroup,
  modules,
  size,
  disk,
  ports,
  address,
  subnets,
  route,
  resolvConf,
  runtime,
  membership,
  leftovers,
  balancer,
  versions,
];
