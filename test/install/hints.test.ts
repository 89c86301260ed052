import { describe, expect, it, test } from "vitest";
import { HINTS, hintsFor } from "../../src/install/hints.ts";

/** What programs really print, and a word of the cause that it stands for. */
const CASES: [string, string][] = [
  [
    'container runtime is not running: output: time="2026-11-20T10:00:00Z" level=fatal msg="validate service connection: CRI v1 runtime API is not implemented for endpoint: rpc error: code = Unimplemented desc = unknown service runtime.v1.RuntimeService"',
    "CRI plugin is off",
  ],
  [
    "rpc error: code = Unimplemented desc = unknown service runtime.v1alpha2.ImageService",
    "CRI plugin is off",
  ],
  [
    'failed to run Kubelet: misconfiguration: kubelet cgroup driver: "systemd" is different from docker cgroup driver: "cgroupfs"',
    "different cgroup drivers",
  ],
  [
    "found multiple CRI endpoints on the host. Please define which one do you wish to use by setting the 'criSocket' field",
    "several container runtimes",
  ],
  [
    "nothing comes back from 10.0.0.15 through the tunnel flannel.1: is UDP 8472 blocked between the hosts?",
    "drops the pod network's tunnel",
  ],
  ["failed to connect to database: failed SASL auth (FATAL)", "another password"],
  ["Dirty database version 160. Fix and force version.", "broke off"],
  [
    "Error response from daemon: failed to initialize logging driver: dial tcp 127.0.0.1:1514: connect: connection refused",
    "before its log",
  ],
  ["x509: certificate signed by unknown authority", "does not trust"],
  ["curl: (60) SSL certificate problem: unable to get local issuer certificate", "does not trust"],
  ["Certificate verification failed: The certificate is NOT trusted.", "does not trust"],
  ["x509: certificate is valid for harbor.site, not register.site", "for another name"],
  [
    "x509: certificate has expired or is not yet valid: current time 2020-01-01T00:00:00Z is before",
    "expired",
  ],
  [
    "pulling from host register.site failed with status code [manifests 3.9]: 401 Unauthorized",
    "requires a login",
  ],
  [
    'Error response from daemon: Head "https://r/v2/x/manifests/1": no basic auth credentials',
    "requires a login",
  ],
  [
    'failed to resolve reference "registry.k8s.io/pause:3.9": registry.k8s.io/pause:3.9: not found',
    "does not have this image",
  ],
  [
    'Error response from daemon: manifest for r.site/pause:3.9 not found: manifest unknown: manifest tagged by "3.9" is not found',
    "does not have this image",
  ],
  ["http: server gave HTTP response to HTTPS client", "speaks http"],
  ["failed to create fsnotify watcher: inotify_init: too many open files", "inotify"],
  ["tar: write error: No space left on device", "disk is full"],
  ["mkdir /etc/kubernetes: Read-only file system", "read-only"],
  [
    "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1234 (unattended-upgr)",
    "another package manager",
  ],
  ["Another app is currently holding the yum lock; waiting for it to exit...", "another package manager"],
  ["The following signatures were invalid: EXPKEYSIG 234654DA9A296436", "not signed by a key"],
  ["Public key for kubelet-1.28.2.rpm is not installed\nError: GPG check FAILED", "not signed by a key"],
  [
    "No available modular metadata for modular package 'perl-1.module_el8', it cannot be installed on the system",
    "module stream",
  ],
  ['plugin/loop: Loop (127.0.0.1:49153 -> :53) detected for zone "."', "forwards to itself"],
  ["plugin/forward: no nameservers found", "names no server"],
  ["dial tcp 10.96.0.1:443: connect: network is unreachable", "no route"],
  ["curl: (7) Failed to connect to register.site port 443: Connection refused", ""],
  ['a Node with name "node1" and status "Ready" already exists in the cluster', "a node with this name"],
  [
    'error execution phase preflight: couldn\'t validate the identity of the API Server: could not find a JWS signature in the cluster-info ConfigMap for token ID "abcdef"',
    "token has expired",
  ],
  ["[ERROR Swap]: running with swap on is not supported. Please disable swap", "swap is on"],
  ["[ERROR SystemVerification]: unsupported kernel release: 3.10.0", "kernel or cgroup"],
  ["[ERROR Port-10250]: Port 10250 is in use", "port"],
  ["[ERROR NumCPU]: the number of available CPUs 1 is less than the required 2", "too small"],
  ["[ERROR Mem]: the system RAM (978 MB) is less than the minimum 1700 MB", "too small"],
  [
    "[kubelet-check] The HTTP call equal to 'curl -sSL http://localhost:10248/healthz' failed with error: Get \"http://localhost:10248/healthz\": dial tcp 127.0.0.1:10248: connect: connection refused.",
    "kubelet did not start",
  ],
  ["[kubelet-check] It seems like the kubelet isn't running or healthy.", "kubelet did not start"],
  ["[kubelet-check] The kubelet is not healthy after 4m0.000861s", "kubelet did not start"],
  [
    'Get "https://10.0.0.12:6443/healthz": dial tcp 10.0.0.12:6443: connect: connection refused',
    "the cluster's API server does not answer",
  ],
  [
    "[control-plane-check] kube-apiserver is not healthy after 4m0.001s",
    "a component of the control plane did not become healthy",
  ],
  [
    "daemonset/kube-flannel-ds in kube-flannel waits for pods on node2, which is not ready",
    "a node of the cluster is down",
  ],
  ["failed to create shim task: OCI runtime create failed: runc create failed", "cannot start containers"],
  [
    'E1120 run.go:74] "command failed" err="failed to parse kubelet flag: unknown flag: --network-plugin"',
    "no longer has",
  ],
  ["failed to parse kubelet flag: unknown flag: --container-runtime", "no longer has"],
  [
    "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is in maintenance mode",
    "refuses cgroup v1",
  ],
  [
    "this version of kubeadm only supports deploying clusters with the control plane version >= 1.33.0. Current version: v1.28.2",
    "newer than the version",
  ],
  ["runc: symbol lookup error: runc: undefined symbol: seccomp_api_set", "libseccomp is older"],
  [
    "Error: package containerd.io-1.7.27-3.1.el9.x86_64 conflicts with runc provided by runc-4:1.1.12",
    "another runtime's packages",
  ],
  [
    "dpkg-deb: error: archive 'x.deb' uses unknown compression for member 'control.tar.zst', giving up",
    "dpkg is too old",
  ],
  [
    "Warning: Extension addrtype revision 0 not supported, missing kernel module?",
    "no module that iptables needs",
  ],
];

describe("hints", () => {
  test.each(CASES)("%s", (output, cause) => {
    const hints = hintsFor(`some words before\n${output}\nand after`);
    expect(hints.map((hint) => hint.cause)).toEqual(expect.arrayContaining([expect.stringContaining(cause)]));
    for (const { way } of hints) expect(way.join()).not.toBe("");
  });

  it("have a case each", () => {
    const seen = new Set(CASES.flatMap(([output]) => hintsFor(output).map(({ cause }) => cause)));
    expect(HINTS.map(({ cause }) => cause).filter((cause) => !seen.has(cause))).toEqual([]);
  });

  it.each([
    "",
    "done",
    "Created symlink /etc/systemd/system/multi-user.target.wants/kubelet.service",
    "Setting up containerd (1.6.20) ...",
    "node/node1 condition met",
    // What waited says nothing of why: kubeadm, and kubectl for whatever it waits for.
    "Unfortunately, an error has occurred:\n\ttimed out waiting for the condition\n\nThis error is likely caused by:\n\t- The kubelet is not running",
    "error: timed out waiting for the condition",
    "error: timed out waiting for the condition on nodes/master1",
    "error execution phase kubelet-start: timed out waiting for the condition",
  ])("say nothing of what is well, or without evidence: %j", (output) =>
    expect(hintsFor(output)).toEqual([]),
  );

  it("do not take kubelet's own port for a server of the site", () => {
    const said =
      'Get "http://localhost:10248/healthz": dial tcp 127.0.0.1:10248: connect: connection refused';
    expect(hintsFor(said).map(({ cause }) => cause)).toEqual(["kubelet did not start"]);
    expect(hintsFor("dial tcp 10.0.0.12:443: connect: connection refused").map(({ cause }) => cause)).toEqual(
      ["a server of the site is unreachable: it is down, or a firewall blocks it"],
    );
  });

  it("are three at most, and quick on long output", () => {
    const started = performance.now();
    expect(hintsFor(CASES.map(([output]) => output).join("\n"))).toHaveLength(3);
    hintsFor(`${"x509: certificate not found ".repeat(20_000)}`);
    hintsFor(`Loop (127.${"0".repeat(300_000)}`);
    expect(performance.now() - started).toBeLessThan(3000);
  });
});
