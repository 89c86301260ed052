/** Known failures: the text that commands print, its cause, and how to continue. */
export const HINTS: readonly { seen: RegExp; cause: string; way: string[] }[] = [
  {
    seen: /unknown service runtime\.v1(?:alpha2)?\.(?:Runtime|Image)Service/,
    cause: "containerd's CRI plugin is off or did not load",
    way: [
      "on the host: journalctl -u containerd | grep -i cri",
      "look for disabled_plugins in /etc/containerd/config.toml",
    ],
  },
  {
    seen: /misconfiguration: kubelet cgroup driver/,
    cause: "kubelet and the runtime have different cgroup drivers",
    way: [
      "let airgap set both: remove cgroupDriver from `kubeadm: { KubeletConfiguration }`, or set it to the runtime's driver",
    ],
  },
  {
    seen: /found multiple CRI endpoints/,
    cause: "several container runtimes run on the host",
    way: ["stop the runtime that you do not need, or set `runtime:` in the cluster file"],
  },
  {
    seen: /x509: certificate signed by unknown authority|certificate verif(?:y|ication) failed|unable to get (?:local )?issuer certificate|SSL certificate problem|DEPTH_ZERO_SELF_SIGNED_CERT|self-signed certificate/i,
    cause: "the server's certificate is signed by an authority that the host does not trust",
    way: [
      "for your own registry: name its authority, `registry: { caFile: … }`",
      "for airgap's own server: run install without --only, which corrects its certificate",
    ],
  },
  {
    seen: /x509: certificate is valid for|not match certificate's altnames|SSL: no alternative certificate subject name matches|does not match hostname/i,
    cause: "the registry's certificate is for another name",
    way: ["set registry.host to a name in the certificate"],
  },
  {
    seen: /x509: certificate has expired or is not yet valid/,
    cause: "a certificate has expired, or the host's clock is wrong",
    way: ["on the host: date"],
  },
  {
    seen: /(?:401 Unauthorized|no basic auth credentials|authorization failed)/i,
    cause: "the registry requires a login, or refuses the one that it gets",
    way: ["set registry.user and registry.passwordEnv in the cluster file"],
  },
  {
    seen: /(?:manifest unknown|not found).*(?:manifest|tag|image)|failed to resolve reference "[^"]+": .*not found/i,
    cause: "the registry does not have this image under this name",
    way: [
      "airgap push BUNDLE REGISTRY --dry-run  # with the layout of the cluster file: lists what is missing",
    ],
  },
  {
    seen: /server gave HTTP response to HTTPS client/,
    cause: "the registry speaks http",
    way: ["registry: { scheme: http }"],
  },
  {
    seen: /inotify_init: too many open files|too many open files.*inotify|fsnotify watcher: too many open files/i,
    cause: "the kernel's limit of inotify instances is reached",
    way: [
      "on the host: sysctl -w fs.inotify.max_user_instances=8192, and the same in a file of /etc/sysctl.d",
    ],
  },
  { seen: /No space left on device|ENOSPC/i, cause: "the host's disk is full", way: ["on the host: df -h"] },
  {
    seen: /Read-only file system/i,
    cause: "a file system of the host is read-only",
    way: ["on the host: dmesg | tail, and mount | grep ro,"],
  },
  {
    seen: /Could not get lock|is another process using it|lock was locked by another process|another app is currently holding the yum lock/i,
    cause: "another package manager is running",
    way: ["wait for it to end: ps -ef | grep -E 'apt|dnf|yum'"],
  },
  {
    seen: /EXPKEYSIG|signatures were invalid|GPG check FAILED|public key is not installed/i,
    cause: "a package or repository is not signed by a key that is trusted",
    way: ["airgap verify BUNDLE", "build the bundle again, with the repository's current key"],
  },
  {
    seen: /No available modular metadata for modular package/,
    cause: "the packages belong to a module stream, but its metadata are missing",
    way: ["set moduleHotfixes: true for that repository in the spec and build again"],
  },
  {
    seen: /Loop \(127\.[^)]*\) detected/,
    cause: "CoreDNS forwards to itself: the host's resolv.conf names 127.x",
    way: ["airgap hosts check CLUSTER"],
  },
  {
    seen: /through the tunnel \S+: is UDP \d+ blocked/,
    cause: "a firewall between the hosts drops the pod network's tunnel (VXLAN)",
    way: [
      "let UDP 8472 (flannel) or 4789 (calico) through between all nodes, in a cloud's security groups too",
      "on both hosts, to see where it ends: tcpdump -ni any udp port 8472",
    ],
  },
  {
    seen: /no nameservers found/,
    cause: "the host's resolv.conf names no server, and CoreDNS needs one",
    way: ["airgap hosts check CLUSTER"],
  },
  {
    seen: /network is unreachable/i,
    cause: "the host has no route to that address, perhaps no default route",
    way: ["airgap install CLUSTER --bundle BUNDLE --only hosts  # sets a route for services"],
  },
  {
    seen: /Could ?n[o']t connect to (?:server|\S+:\d+)|Failed to connect to \S+ port \d+|(?<!:6443: |(?:127\.0\.0\.1|\[::1\]):\d{1,5}: )connect: connection refused|connect E(?:CONNREFUSED|HOSTUNREACH|TIMEDOUT)|Connection timed out after/i,
    cause: "a server of the site is unreachable: it is down, or a firewall blocks it",
    way: [
      "on the host that serves: systemctl status airgap-serve, and journalctl -u airgap-serve -n 30",
      "airgap install CLUSTER --bundle BUNDLE --only serve  # starts it again",
    ],
  },
  {
    seen: /:6443\b.*(?:connection refused|i\/o timeout|no route to host)/,
    cause: "the cluster's API server does not answer",
    way: ["on a control plane: crictl ps -a | grep kube-apiserver, and journalctl -u kubelet -n 50"],
  },
  {
    seen: /a Node with name "[^"]+" and status "Ready" already exists/,
    cause: "the cluster still has a node with this name",
    way: ["airgap reset CLUSTER --hosts NAME  # then install again", "or: kubectl delete node NAME"],
  },
  {
    seen: /could not find a JWS signature|token id .* is invalid|failed to find a cluster-info|couldn't validate the identity of the API Server/,
    cause: "the token has expired, or the API server belongs to another cluster",
    way: ["run the same command again: it makes a new token"],
  },
  {
    seen: /\[ERROR Swap\]|running with swap on is not supported/i,
    cause: "swap is on",
    way: ["airgap install CLUSTER --bundle BUNDLE --only hosts"],
  },
  {
    seen: /\[ERROR SystemVerification\]/,
    cause: "kubeadm refuses the host's kernel or cgroup version",
    way: ["airgap hosts check CLUSTER"],
  },
  {
    seen: /\[ERROR Port-\d+\]/,
    cause: "another program uses a port that Kubernetes needs",
    way: ["on the host: ss -ltnp"],
  },
  {
    seen: /\[ERROR (?:Num)?CPU\]|\[ERROR Mem\]/,
    cause: "the host is too small for a control plane",
    way: ["give it two cores and 2 GB"],
  },
  {
    seen: /:10248\b.*(?:connection refused|deadline exceeded)|\[kubelet-check\].*(?:isn't running or healthy|is not healthy)/,
    cause: "kubelet did not start",
    way: ["on the host: journalctl -u kubelet -n 50"],
  },
  {
    seen: /\[control-plane-check\] \S+ is not healthy/,
    cause: "kubelet runs, but a component of the control plane did not become healthy",
    way: ["on the host: crictl ps -a, and crictl logs of the container that ended"],
  },
  {
    seen: /waits for .*, (?:which is|which are) not ready/,
    cause: "a node of the cluster is down, or its kubelet does not run",
    way: ["on that node: systemctl status kubelet", "airgap status CLUSTER"],
  },
  {
    seen: /failed to create shim task|unable to apply caps|can't get final child's PID/,
    cause: "runc cannot start containers on this host",
    way: ["on the host: journalctl -u containerd -n 50"],
  },
  {
    seen: /unknown flag: --(?:network-plugin|cni-|container-runtime\b|pod-infra-container-image|experimental-)/,
    cause: "kubelet is started with a flag that its version no longer has",
    way: [
      "on the host: remove it from /etc/sysconfig/kubelet, /etc/default/kubelet or /var/lib/kubelet/kubeadm-flags.env, and from kubeletExtraArgs",
    ],
  },
  {
    seen: /kubelet is configured to not run on a host using cgroup v1/,
    cause: "this kubelet refuses cgroup v1",
    way: [
      "boot the host with systemd.unified_cgroup_hierarchy=1, or set `kubeadm: { KubeletConfiguration: { failCgroupV1: false } }`",
    ],
  },
  {
    seen: /this version of kubeadm only supports deploying clusters with the control plane version/,
    cause: "the kubeadm on the host is newer than the version that the cluster file names",
    way: [
      "set kubernetes.version to the version of the bundle's packages, or build the bundle with kubeadm of that version",
    ],
  },
  {
    seen: /undefined symbol: seccomp_/,
    cause: "the host's libseccomp is older than what this containerd or runc was built for",
    way: ["add the containerd.io package for this system to the bundle, instead of the generic archive"],
  },
  {
    seen: /conflicts with runc|obsoletes runc|conflicts with containerd/i,
    cause: "another runtime's packages are on the host: podman, buildah or the distribution's runc",
    way: [
      "remove them from the host if nobody needs them, or add the distribution's own containerd to the bundle",
    ],
  },
  {
    seen: /failed SASL auth|password authentication failed for user "postgres"/,
    cause: "Harbor's database has another password than the one in its configuration",
    way: ["on the registry host: put the right one into airgap/database-password below Harbor's data folder"],
  },
  {
    seen: /Dirty database version \d+/,
    cause: "an upgrade of Harbor's database broke off",
    way: ["go back to the copy from before the upgrade: docs/harbor.md, Upgrades"],
  },
  {
    seen: /failed to initialize logging driver: dial tcp 127\.0\.0\.1:1514/,
    cause: "Harbor's containers started before its log",
    way: ["on the registry host: systemctl restart airgap-harbor"],
  },
  {
    seen: /unknown compression for member '[^']+\.zst'/,
    cause: "the host's dpkg is too old for packages that are compressed with zstd",
    way: ["build the bundle from repositories that are for this host's release"],
  },
  {
    seen: /Extension addrtype revision \d+ not supported|missing kernel module\?/,
    cause: "the running kernel has no module that iptables needs",
    way: [
      "install kernel-modules-extra of exactly the running kernel, or set kubernetes.proxyMode: nftables",
    ],
  },
];

const [LINES, LENGTH] = [500, 2000];

/** The known causes of which the end of an output shows signs. */
export function hintsFor(output: string): { cause: string; way: string[] }[] {
  const lines = output.split("\n").slice(-LINES);
  const text = lines.map((line) => line.slice(0, LENGTH)).join("\n");
  return HINTS.filter(({ seen }) => seen.test(text)).slice(0, 3);
}
