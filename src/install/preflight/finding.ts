/** Names of checks, as `--ignore-check` takes them. */
export const CHECKS = {
  machine: "Kubernetes and the bundle support the machine's architecture",
  init: "the host's init is systemd",
  "package-manager": "packages can be installed",
  kernel: "the kernel is new enough for this Kubernetes",
  cgroup: "this Kubernetes supports the host's cgroup version",
  modules: "the kernel has the required modules",
  cores: "the host has enough cores",
  memory: "the host has enough memory",
  disk: "the disks have enough space",
  ports: "the required ports are free",
  address: "the host has the address of the cluster file",
  "host-unique": "hostname, machine-id, product_uuid and MAC addresses are unique",
  time: "the hosts' clocks agree",
  subnets: "pods, services and hosts have networks of their own",
  route: "services can be reached without a default route",
  "resolv-conf": "pods get name servers that are not themselves",
  vip: "the address that is shared is nobody's own, and answers",
  runtime: "no other container runtime is in the way",
  leftovers: "nothing of another cluster is in the way",
  unreachable: "every host answers",
  member: "the cluster that stands is the one that hosts join, and has forgotten those that were lost",
  cluster: "the host is not in another cluster",
  kubernetes: "the installed version fits the requested one",
  "containerd-version": "containerd is new enough for this Kubernetes",
  "registry-scheme": "images come over a connection that nobody can tamper with",
  "registry-glibc": "airgap's own Node runs on the serving host",
  "bundle-images": "the bundle has every image",
  "bundle-platform": "the bundle's images are for these hosts' architectures",
  "bundle-packages": "the bundle has packages for these hosts' systems",
  "bundle-manifests": "the bundle has the manifests that the cluster file names",
  "package-removal": "installing removes and downgrades no package (checked while installing)",
  "base-packages": "installing replaces no package that the system depends on (checked while installing)",
} as const;

export type CheckName = keyof typeof CHECKS;

/** A problem or notice that a check found before anything was changed. */
export interface Finding {
  check: CheckName;
  /** Errors stop an installation unless the user ignores them by name; notices say what airgap will do about it. */
  severity: "error" | "warning" | "notice";
  /** Absent when the finding concerns no single host. */
  host?: string;
  message: string;
  suggestion?: string;
}
