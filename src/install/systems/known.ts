/** What is known of a system before anybody has looked at a host of it: its first kernel, its cgroup version, its glibc. */
export interface KnownSystem {
  kernel: string;
  cgroup: "v1" | "v2";
  glibc: string;
}

/** By the `for:` of a package set, ID and major version of os-release. From the facts of fresh hosts, test/host/facts. */
const KNOWN: Record<string, KnownSystem> = {
  "centos-7": { kernel: "3.10", cgroup: "v1", glibc: "2.17" },
  "rhel-7": { kernel: "3.10", cgroup: "v1", glibc: "2.17" },
  "rocky-8": { kernel: "4.18", cgroup: "v1", glibc: "2.28" },
  "almalinux-8": { kernel: "4.18", cgroup: "v1", glibc: "2.28" },
  "rhel-8": { kernel: "4.18", cgroup: "v1", glibc: "2.28" },
  "rocky-9": { kernel: "5.14", cgroup: "v2", glibc: "2.34" },
  "almalinux-9": { kernel: "5.14", cgroup: "v2", glibc: "2.34" },
  "rhel-9": { kernel: "5.14", cgroup: "v2", glibc: "2.34" },
  "rocky-10": { kernel: "6.12", cgroup: "v2", glibc: "2.39" },
  "almalinux-10": { kernel: "6.12", cgroup: "v2", glibc: "2.39" },
  "rhel-10": { kernel: "6.12", cgroup: "v2", glibc: "2.39" },
  "openeuler-22.03": { kernel: "5.10", cgroup: "v1", glibc: "2.34" },
  "openeuler-24.03": { kernel: "6.6", cgroup: "v1", glibc: "2.38" },
  "kylin-v10": { kernel: "4.19", cgroup: "v1", glibc: "2.28" },
  "debian-11": { kernel: "5.10", cgroup: "v2", glibc: "2.31" },
  "debian-12": { kernel: "6.1", cgroup: "v2", glibc: "2.36" },
  "debian-13": { kernel: "6.12", cgroup: "v2", glibc: "2.41" },
  "ubuntu-20.04": { kernel: "5.4", cgroup: "v1", glibc: "2.31" },
  "ubuntu-22.04": { kernel: "5.15", cgroup: "v2", glibc: "2.35" },
  "ubuntu-24.04": { kernel: "6.8", cgroup: "v2", glibc: "2.39" },
};

/** @param name from `for:` of a package set: `rocky-9`, `rocky-9.4` */
export function knownSystem(name: string): KnownSystem | undefined {
  const lower = name.toLowerCase();
  return KNOWN[lower] ?? KNOWN[lower.replace(/\.[^.]*$/, "")];
}
