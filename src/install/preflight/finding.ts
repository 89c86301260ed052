/** Names of the checks of an upgrade alone. */
export const UPGRADE_CHECKS = {
  "upgrade-steps": "the bundle has every version between the one that runs and the wanted one",
  "upgrade-from": "the cluster can be asked, and can go to this version",
  "node-versions": "no node gets older than the control plane accepts",
  "nodes-ready": "every node is ready before an upgrade",
  "kubelet-flags": "kubelet is started with flags that its next version knows",
  "cgroup-driver": "kubelet and the runtime use the same cgroup driver",
  "component-flags": "the control plane is started with flags that its next version knows",
  "kubeadm-config": "kubeadm's configuration in the cluster has the arguments and names of the cluster file",
  coredns: "kubeadm can carry CoreDNS' configuration over to the next version",
  "removed-apis": "no manifest is of an API version that the next Kubernetes does not serve",
  "disruption-budgets": "every node can be drained",
  "unmanaged-pods": "no drain deletes a pod that nothing makes again",
  "etcd-members": "every member of etcd answers",
  certificates: "the control plane's certificates are valid",
} as const;

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
  "router-id": "no other VRRP routers have the ids of the load balancers",
  runtime: "no other container runtime is in the way",
  leftovers: "nothing of another cluster is in the way",
  unreachable: "every host answers",
  member: "the cluster that stands is the one that hosts join, and has forgotten those that were lost",
  cluster: "the host is not in another cluster",
  etcd: "the external etcd is there, healthy, and new enough for this Kubernetes",
  "etcd-data": "the external etcd holds nothing of another cluster",
  "etcd-disk": "the disks of etcd's members are fast enough",
  kubernetes: "the installed version fits the requested one",
  "containerd-version": "containerd is new enough for this Kubernetes",
  "registry-scheme": "images come over a connection that nobody can tamper with",
  "registry-glibc": "airgap's own Node runs on the serving host",
  "registry-certificate": "each server of the bundle has the site's certificate, or gets it from here",
  harbor: "Harbor can be installed on the registry host, or upgraded there",
  "bundle-harbor": "the bundle has Harbor's installer, and the cluster file fits it",
  "registry-name": "the bundle's own images have the name of the cluster's registry",
  "bundle-images": "the bundle has every image",
  "bundle-platform": "the bundle's images are for these hosts' architectures",
  "bundle-packages": "the bundle has packages for these hosts' systems",
  "bundle-manifests": "the bundle has the manifests that the cluster file names",
  "bundle-older": "the bundle is not older than the one that the site has",
  "package-removal": "installing removes and downgrades no package (checked while installing)",
  "base-packages": "installing replaces no package that the system depends on (checked while installing)",
  ...UPGRADE_CHECKS,
} as const;

export type CheckName = keyof typeof CHECKS;

/** Who ignores one of these gets no working cluster: no message advises it, though `--ignore-check` takes them too. */
export const NEVER_ADVISED: ReadonlySet<CheckName> = new Set([
  "machine",
  "init",
  "package-manager",
  "unreachable",
  "host-unique",
  "etcd-data",
  "registry-glibc",
  "bundle-harbor",
  "bundle-images",
  "bundle-platform",
  "bundle-packages",
  "bundle-manifests",
]);

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
