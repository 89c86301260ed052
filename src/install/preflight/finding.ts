/** Names of checks, as `--ignore-check` takes them. */
export const CHECKS = {
  machine: "the machine is one that Kubernetes and the bundle are for",
  init: "systemd is the host's init",
  "package-manager": "packages can be installed",
  kernel: "the kernel is new enough for this Kubernetes",
  cgroup: "this Kubernetes takes the host's cgroup version",
  modules: "the kernel has the modules that are needed",
  cores: "enough cores",
  memory: "enough memory",
  disk: "room for what the bundle brings",
  ports: "ports that are needed are free",
  address: "the host has the address of the cluster file",
  "host-unique": "hostname, machine-id, product_uuid and MAC addresses are each host's own",
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
  kubernetes: "what is installed fits the version that is wanted",
  "containerd-version": "containerd is new enough for this Kubernetes",
  "registry-scheme": "images come over a connection that nobody can change",
  "registry-glibc": "airgap's own Node runs on the host that serves",
  "bundle-images": "the bundle has every image",
  "bundle-platform": "the bundle's images are for these hosts' machines",
  "bundle-packages": "the bundle has packages for these hosts' systems",
  "bundle-manifests": "the bundle has the manifests that the cluster file names",
  "package-removal": "installing removes and downgrades no package (checked while installing)",
  "base-packages": "installing replaces no package that the system depends on (checked while installing)",
} as const;

export type CheckName = keyof typeof CHECKS;

/** Something that a check has found before anything was changed. */
export interface Finding {
  check: CheckName;
  /** Errors stop an installation unless they are ignored by name; notices say what will be done about it. */
  severity: "error" | "warning" | "notice";
  /** Absent when it is about no host in particular. */
  host?: string;
  message: string;
  suggestion?: string;
}
