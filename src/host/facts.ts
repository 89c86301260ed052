import { AirgapError } from "../errors.ts";
import type { Host, RunOptions } from "./host.ts";
import { shipped } from "./shipped.ts";

/** Facts of a host, read once before planning. Steps check for themselves what changes during an installation. */
export interface Facts {
  /** From os-release: `rocky`, `9.4`; `like` is its ID_LIKE: `rhel centos fedora`. */
  os: { id: string; version: string; name: string; like: string[] };
  kernel: string;
  /** As uname prints it: `x86_64`. */
  machine: string;
  hostname: string;
  cgroup: "v1" | "v2";
  /** `2.34`; absent with another C library. */
  glibc?: string;
  /** Name of the program with PID 1. */
  init: string;
  /** Its major version. */
  systemd?: number;
  packageManager?: "apt-get" | "dnf" | "yum";
  cores: number;
  memoryKiB: number;
  /** By folder: its free space and its mount point. */
  free: Record<string, { kib: number; mount: string }>;
  /** Seconds since 1970, by the host's clock and by ours when it answered. */
  time: { host: number; ours: number };
  /** Whether it may set its clock; a container uses the clock of its machine. */
  setsClock: boolean;
  machineId: string;
  productUuid: string;
  macs: string[];
  addresses: { interface: string; cidr: string }[];
  /** IPv4 destinations with the interface of each; includes `default`. */
  routes: { to: string; interface: string }[];
  defaultRoute: boolean;
  /** Absent without SELinux. */
  selinux?: "Enforcing" | "Permissive" | "Disabled";
  swap: string[];
  fstabSwap: string[];
  zram: boolean;
  /** Running systemd services without `.service`. */
  active: string[];
  /** Those of chrony, chronyd and zramswap that start at boot. */
  enabled: string[];
  /** The active firewall. */
  firewall?: "firewalld" | "ufw";
  modules: string[];
  /** Name servers of resolv.conf, and of systemd-resolved's own. */
  nameservers: string[];
  resolvedNameservers: string[];
  /** Versions of installed programs. */
  versions: Partial<Record<"containerd" | "docker" | "cri-dockerd" | "kubelet" | "podman" | "etcd", string>>;
  tools: string[];
  /** Contents of configuration files that airgap merges its settings into. */
  containerdConfig?: string;
  dockerConfig?: string;
  /** Traces of a cluster. */
  exists: string[];
  kubernetesCa?: string;
  /** The API server that this host's kubelet belongs to: `https://10.0.0.12:6443`. */
  kubeletServer?: string;
  /** The cluster that airgap prepared this host for. */
  owner?: string;
  /** The certificate with which it serves packages and images. PEM. */
  siteCa?: string;
  siteCertificate?: string;
  /** The version of the Harbor that airgap installed here: `v2.13.2`. */
  harbor?: string;
  /** The bundles that this host served last, by their name: their number, and the digest of their lock. */
  bundles?: Record<string, { sequence: number; lockDigest: string }>;
  /** The image with which its pod network was tested. */
  verified?: string;
  /** kubeadm's version: `v1.28.2`. */
  kubeadm?: string;
  /** Lines with kubelet's flags, each with its file. */
  kubeletFlags?: { file: string; line: string }[];
  /** `systemd` or `cgroupfs`, as kubelet's configuration says. */
  kubeletCgroupDriver?: string;
  /** Images of the control plane's static pods, by component: `kube-apiserver`, `etcd`. */
  components?: Record<string, string>;
  /** Size of etcd's data. */
  etcdKiB?: number;
  /** PEM. */
  apiserverCertificate?: string;
  /** Paths of the bundles that airgap's server serves on this host. */
  serves?: string[];
  listening: number[];
  proxies: string[];
  /** Programs that kubeadm needs and that are missing. */
  lacks: string[];
}

/** The script that gathers facts. It changes nothing. */
export function factsScript(): string {
  return shipped("host/facts.sh");
}

type Lines = Map<string, string[]>;

const first = (lines: Lines, name: string): string => lines.get(name)?.[0]?.trim() ?? "";
const all = (lines: Lines, name: string): string[] => lines.get(name) ?? [];
const text = (lines: Lines, name: string): string | undefined =>
  lines
    .get(name)
    ?.map((line) => `${line}\n`)
    .join("");
const units = (lines: Lines, name: string): string[] =>
  [...new Set(all(lines, name).map((unit) => unit.trim().replace(/\.service$/, "")))].sort();

function split(output: string): Lines {
  const lines: Lines = new Map();
  for (const line of output.split("\n")) {
    const bar = line.indexOf("|");
    if (bar <= 0) continue;
    const name = line.slice(0, bar);
    const values = lines.get(name) ?? [];
    if (values.length === 0) lines.set(name, values);
    values.push(line.slice(bar + 1));
  }
  return lines;
}

function osOf(lines: Lines): Facts["os"] {
  const values = new Map(
    all(lines, "os").flatMap((line) => {
      const [, key, value] = /^([A-Z_]+)=(.*)$/.exec(line) ?? [];
      return key === undefined || value === undefined
        ? []
        : [[key, value.replace(/^(["'])(.*)\1$/, "$2")] as const];
    }),
  );
  const like = (values.get("ID_LIKE") ?? "").split(/\s+/).filter(Boolean);
  const id = (values.get("ID") ?? "linux").toLowerCase();
  return {
    id,
    version: (values.get("VERSION_ID") ?? "").toLowerCase(),
    name: values.get("PRETTY_NAME") ?? values.get("NAME") ?? id,
    like,
  };
}

/** Numbers of capabilities(7) in the kernel. */
const CAP_SYS_TIME = 25n;

/** @param mask from /proc/PID/status; without one, every capability is there */
const hasCapability = (mask: string, bit: bigint): boolean =>
  !/^[0-9a-f]+$/.test(mask) || ((BigInt(`0x${mask}`) >> bit) & 1n) === 1n;

function routesOf(lines: Lines): Facts["routes"] {
  return all(lines, "route").flatMap((line) => {
    const [to = ""] = line.split(/\s+/);
    const out = /\bdev (\S+)/.exec(line)?.[1];
    // Skip `blackhole`, `unreachable` and the like: they lead nowhere.
    return out === undefined || !/^(?:default|\d)/.test(to) ? [] : [{ to, interface: out }];
  });
}

const nameservers = (lines: Lines, name: string): string[] =>
  all(lines, name).flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);

function firewallOf(active: string[], lines: Lines): Facts["firewall"] {
  if (active.includes("firewalld")) return "firewalld";
  return first(lines, "active-firewall") === "ufw" ? "ufw" : undefined;
}

function selinuxOf(lines: Lines): Facts["selinux"] {
  const mode = first(lines, "selinux");
  return mode === "Enforcing" || mode === "Permissive" || mode === "Disabled" ? mode : undefined;
}

/** What a node tells of its Kubernetes; nothing of a host that is no node. */
function kubernetesFacts(lines: Lines): Partial<Facts> {
  const flags = all(lines, "kubelet-flags").flatMap((text) => {
    const bar = text.indexOf("|");
    return bar > 0 ? [{ file: text.slice(0, bar), line: text.slice(bar + 1) }] : [];
  });
  const components = all(lines, "component").flatMap((text) => {
    const [name = "", image = ""] = text.split(" ");
    return /^[a-z-]+$/.test(name) && image !== "" ? [[name, image]] : [];
  });
  const size = Number(first(lines, "etcd-kib"));
  const serves = all(lines, "serves").filter(
    (path) => /^\/[\w./+-]+\.tar$/.test(path) && !path.includes(".."),
  );
  return {
    ...(/^v\d/.test(first(lines, "kubeadm")) ? { kubeadm: first(lines, "kubeadm") } : {}),
    ...(flags.length > 0 ? { kubeletFlags: flags } : {}),
    ...(/^[a-z]+$/.test(first(lines, "kubelet-cgroup"))
      ? { kubeletCgroupDriver: first(lines, "kubelet-cgroup") }
      : {}),
    ...(components.length > 0
      ? { components: Object.fromEntries(components) as Record<string, string> }
      : {}),
    ...(size > 0 ? { etcdKiB: size } : {}),
    ...(lines.has("apiserver-certificate")
      ? { apiserverCertificate: text(lines, "apiserver-certificate") ?? "" }
      : {}),
    ...(serves.length > 0 ? { serves } : {}),
  };
}

function bundlesOf(lines: Lines): Facts["bundles"] {
  const found = all(lines, "sequence").flatMap((line) => {
    const [, name, sequence, lockDigest] = /^(\S+) (\d{1,15}) (sha256:[0-9a-f]{64})$/.exec(line) ?? [];
    return name && lockDigest ? [[name, { sequence: Number(sequence), lockDigest }] as const] : [];
  });
  return found.length > 0 ? Object.fromEntries(found) : undefined;
}

/** Drops undefined values, as exactOptionalPropertyTypes requires. */
function present<T extends object>(values: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined && value !== ""),
  ) as { [K in keyof T]: Exclude<T[K], undefined> };
}

/**
 * Reads what the facts script printed.
 * @param ours our own clock when the answer came, in seconds
 * @throws AirgapError `protocol` when the script did not finish
 */
export function parseFacts(output: string, host: string, ours: number): Facts {
  const lines = split(output);
  if (!lines.has("end") || first(lines, "kernel") === "") {
    throw new AirgapError(
      "protocol",
      `${host}: cannot read its facts: ${output.trim().split(/\r*\n/).slice(-2).join("; ") || "no output"}`,
    );
  }
  const active = units(lines, "active");
  const version = (name: string): string | undefined => /\d\S*/.exec(first(lines, name))?.[0];
  const manager = first(lines, "package-manager");
  const systemd = /^systemd (\d+)/.exec(first(lines, "systemd"))?.[1];
  return {
    os: osOf(lines),
    kernel: first(lines, "kernel"),
    machine: first(lines, "machine"),
    hostname: first(lines, "hostname"),
    cgroup: first(lines, "cgroup") === "cgroup2fs" ? "v2" : "v1",
    init: first(lines, "init"),
    cores: Number(first(lines, "cores")) || 0,
    memoryKiB: Number(first(lines, "memory-kib")) || 0,
    free: Object.fromEntries(
      all(lines, "free-kib").flatMap((line) => {
        const [folder, kib, mount] = line.split(" ");
        return folder && mount ? [[folder, { kib: Number(kib) || 0, mount }]] : [];
      }),
    ),
    time: { host: Number(first(lines, "end")) || 0, ours },
    setsClock: hasCapability(first(lines, "capabilities"), CAP_SYS_TIME),
    machineId: first(lines, "machine-id"),
    productUuid: first(lines, "product-uuid").toLowerCase(),
    macs: all(lines, "mac").filter((mac) => /^[0-9a-f:]{17}$/.test(mac) && mac !== "00:00:00:00:00:00"),
    addresses: all(lines, "address").flatMap((line) => {
      const [name = "", cidr] = line.split(" ");
      return cidr ? [{ interface: name.replace(/@.*/, ""), cidr }] : [];
    }),
    routes: routesOf(lines),
    defaultRoute:
      all(lines, "route").some((line) => line.startsWith("default")) ||
      all(lines, "route6").some((line) => line.startsWith("default")),
    swap: all(lines, "swap").map((line) => line.split(/\s+/)[0] ?? ""),
    fstabSwap: all(lines, "fstab-swap"),
    zram: lines.has("zram"),
    active,
    enabled: units(lines, "enabled"),
    modules: [...new Set(all(lines, "module"))].sort(),
    nameservers: nameservers(lines, "resolv-conf"),
    resolvedNameservers: nameservers(lines, "resolv-conf-systemd"),
    versions: present({
      containerd: version("containerd"),
      docker: version("docker"),
      "cri-dockerd": version("cri-dockerd"),
      kubelet: version("kubelet"),
      podman: version("podman"),
      etcd: version("etcd"),
    }),
    tools: all(lines, "tool").sort(),
    exists: all(lines, "exists"),
    listening: all(lines, "listening").flatMap((port) => (/^\d{1,5}$/.test(port) ? [Number(port)] : [])),
    proxies: [...new Set(all(lines, "proxy"))],
    lacks: all(lines, "lacks"),
    ...present({
      glibc: /^glibc (\S+)/.exec(first(lines, "glibc"))?.[1],
      systemd: systemd === undefined ? undefined : Number(systemd),
      packageManager:
        manager === "apt-get" || manager === "dnf" || manager === "yum"
          ? (manager as "apt-get" | "dnf" | "yum")
          : undefined,
      selinux: selinuxOf(lines),
      firewall: firewallOf(active, lines),
      containerdConfig: text(lines, "containerd-config"),
      dockerConfig: text(lines, "docker-config"),
      kubernetesCa: text(lines, "kubernetes-ca"),
      kubeletServer: /server: *(\S+)/.exec(first(lines, "kubelet-server"))?.[1],
      owner: first(lines, "owner"),
      siteCa: text(lines, "site-ca"),
      siteCertificate: text(lines, "site-certificate"),
      harbor: first(lines, "harbor"),
      verified: first(lines, "verified"),
      ...kubernetesFacts(lines),
      bundles: bundlesOf(lines),
    }),
  };
}

/** Reads a host's facts in one round trip. */
export async function readFacts(host: Host, options: RunOptions = {}): Promise<Facts> {
  const { stdout } = await host.run(factsScript(), { timeoutMs: 60_000, ...options });
  return parseFacts(stdout, host.name, Date.now() / 1000);
}

/** The interface that has a host's address. */
export function interfaceOf(facts: Facts, address: string): string | undefined {
  return facts.addresses.find(({ cidr }) => cidr.split("/")[0] === address)?.interface;
}
