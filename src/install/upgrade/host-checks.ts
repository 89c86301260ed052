import { X509Certificate } from "node:crypto";
import { dirname } from "node:path";
import { type Cluster, type ClusterHost, hostsOf, nodesOf, serversOf } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import { droppedKubeletFlags } from "../../kubernetes/upgrade.ts";
import { makeContext } from "../context.ts";
import type { Finding } from "../preflight/finding.ts";
import { cgroupDriver } from "../stages/containerd.ts";
import { lastMinor, type UpgradeCheck } from "./check.ts";
import type { UpgradeInput } from "./context.ts";

const nodeHosts = ({ cluster, facts }: UpgradeInput): { host: ClusterHost; own: Facts }[] =>
  nodesOf(cluster).flatMap((host) => {
    const own = facts[host.name];
    return own ? [{ host, own }] : [];
  });

/** Names of flags on a line that gives kubelet flags. */
const flagsOn = (line: string): string[] =>
  [...line.matchAll(/(?:^|[\s"'=])--([a-z][a-z0-9-]*)/g)].flatMap(([, name]) => name ?? []);

/** airgap changes the files that kubeadm and people write for it; drop-ins of systemd it leaves to their owners. */
const kubeletFlags: UpgradeCheck = (input, stones) => {
  const dropped = new Set(droppedKubeletFlags(lastMinor(stones)));
  return nodeHosts(input).flatMap(({ host, own }) => {
    const byFile = new Map<string, Set<string>>();
    for (const { file, line } of own.kubeletFlags ?? [])
      for (const flag of flagsOn(line).filter((name) => dropped.has(name)))
        byFile.set(file, (byFile.get(file) ?? new Set()).add(flag));
    return [...byFile].map(([file, flags]): Finding => {
      const names = [...flags].map((flag) => `--${flag}`).join(", ");
      const theirs = file.startsWith("/etc/systemd/");
      return {
        check: "kubelet-flags",
        severity: theirs ? "error" : "notice",
        host: host.name,
        message: theirs
          ? `${file} starts kubelet with ${names}, which a newer kubelet does not know`
          : `${names} will be taken out of ${file}: a newer kubelet does not know it`,
        ...(theirs ? { suggestion: `remove ${names} from ${file}` } : {}),
      };
    });
  });
};

const drivers: UpgradeCheck = (input, stones) => {
  if (stones.length === 0) return [];
  const wanted = cgroupDriver(makeContext(input));
  return nodeHosts(input).flatMap(({ host, own }): Finding[] =>
    own.kubeletCgroupDriver === undefined || own.kubeletCgroupDriver === wanted
      ? []
      : [
          {
            check: "cgroup-driver",
            severity: "error",
            host: host.name,
            message: `its kubelet uses ${own.kubeletCgroupDriver}, but the cluster file sets ${wanted} for the runtime`,
            suggestion: `set \`kubeadm: { KubeletConfiguration: { cgroupDriver: ${own.kubeletCgroupDriver} } }\` in the cluster file`,
          },
        ],
  );
};

/** When the API server's certificate ended; undefined while it is valid. By the host's clock, which kubelet goes by. */
function expired({ apiserverCertificate, time }: Facts): Date | undefined {
  const until = apiserverCertificate === undefined ? undefined : validUntil(apiserverCertificate);
  const now = time.host > 0 ? time.host * 1000 : Date.now();
  return until !== undefined && until <= now ? new Date(until) : undefined;
}

const renewal = (name: string, ended: Date): [message: string, suggestion: string] => [
  `the certificate of its API server ended on ${ended.toISOString().slice(0, 10)}`,
  `on ${name}: kubeadm certs renew all, then move the files of /etc/kubernetes/manifests away and back after 20 seconds`,
];

/** An API server whose certificate is over does not answer; kubeadm upgrade renews it only while it does. */
const certificates: UpgradeCheck = (input) =>
  nodeHosts(input).flatMap(({ host, own }): Finding[] => {
    const ended = expired(own);
    if (ended === undefined) return [];
    const [message, suggestion] = renewal(host.name, ended);
    return [{ check: "certificates", severity: "error", host: host.name, message, suggestion }];
  });

function validUntil(pem: string): number | undefined {
  try {
    return Date.parse(new X509Certificate(pem).validTo);
  } catch {
    return undefined;
  }
}

/** Free space at the mount point of a folder. */
function freeAt({ free }: Facts, folder: string): { kib: number; mount: string } | undefined {
  return free[folder] ?? (folder === "/" ? undefined : freeAt({ free } as Facts, dirname(folder)));
}

/**
 * Bytes that an upgrade adds. kubeadm copies etcd's whole data to /etc/kubernetes/tmp, and airgap keeps a snapshot
 * before every minor. Images of two versions lie beside each other.
 */
const room: UpgradeCheck = (input, stones) => {
  if (stones.length === 0) return [];
  const { bundle, cluster } = input;
  const images = bundle.lock.blobs.reduce((sum, { size }) => sum + size, 0);
  return cluster.hosts.flatMap((host) => {
    const own = input.facts[host.name];
    if (own === undefined) return [];
    const etcd = (own.etcdKiB ?? 0) * 1024;
    const isNode = host.roles.some((role) => role === "control-plane" || role === "worker");
    const serves = serversOf(cluster).includes(host);
    const wants = [
      ...(etcd > 0 ? [{ folder: "/etc", bytes: etcd, what: "kubeadm's copy of etcd's data" }] : []),
      ...(etcd > 0 ? [{ folder: "/var/lib/etcd", bytes: etcd, what: "a snapshot of etcd" }] : []),
      ...(etcd > 0
        ? [
            {
              folder: "/var/lib/airgap",
              bytes: etcd * stones.length,
              what: "what is kept of before each version",
            },
          ]
        : []),
      ...(isNode
        ? [{ folder: `/var/lib/${cluster.runtime}`, bytes: Math.min(images, 4 * 2 ** 30), what: "images" }]
        : []),
      ...(serves ? [{ folder: "/var/lib/airgap", bytes: bundle.size, what: "the bundle" }] : []),
    ];
    return tooLarge(host, own, wants);
  });
};

function tooLarge(
  { name }: ClusterHost,
  facts: Facts,
  wants: { folder: string; bytes: number; what: string }[],
): Finding[] {
  const byMount = Map.groupBy(wants, ({ folder }) => freeAt(facts, folder)?.mount ?? "");
  return [...byMount].flatMap(([mount, list]): Finding[] => {
    const free = (freeAt(facts, list[0]?.folder ?? "/")?.kib ?? Number.POSITIVE_INFINITY) * 1024;
    const bytes = list.reduce((sum, each) => sum + each.bytes, 0);
    if (bytes <= free) return [];
    const mib = (value: number): string => `${Math.ceil(value / 2 ** 20)} MiB`;
    return [
      {
        check: "disk",
        severity: "error",
        host: name,
        message: `${mount} has ${mib(free)} left; ${list.map(({ what }) => what).join(", ")} need ${mib(bytes)}`,
        suggestion: `make room on ${name}: old images (crictl rmi --prune), /etc/kubernetes/tmp, /var/lib/airgap/upgrade, old bundles in /var/lib/airgap/bundles`,
      },
    ];
  });
}

/** What hosts tell of themselves. */
export const HOST_CHECKS: UpgradeCheck[] = [kubeletFlags, drivers, certificates, room];

/** Why the API server of a control plane does not answer, as far as its facts tell. */
export interface Silence {
  finding: Finding;
  /** It may only be starting. */
  passing: boolean;
}

/** What stands in the way of each control plane that does not answer. @param said kubectl's words, of some of them */
export function silentPlanes(
  cluster: Cluster,
  facts: Record<string, Facts>,
  said: string | undefined,
): Silence[] {
  return hostsOf(cluster, "control-plane").map(({ name }) => {
    const [message, suggestion] = silenceOf(name, facts[name]) ?? [
      said ?? "its API server does not answer",
      `on ${name}: crictl ps -a | grep -E 'kube-apiserver|etcd', and crictl logs of the one that ended; df -h /var/lib/etcd`,
    ];
    return {
      finding: { check: "upgrade-from", severity: "error", host: name, message, suggestion },
      passing: silenceOf(name, facts[name]) === undefined,
    };
  });
}

/** A cause that does not pass by itself, and what to do about it. */
function silenceOf(name: string, own: Facts | undefined): [message: string, suggestion: string] | undefined {
  if (own === undefined) return ["it cannot be reached", `bring ${name} up`];
  if (!own.exists.includes("/etc/kubernetes/admin.conf"))
    return [
      "it is not a control plane yet",
      "set kubernetes.version to the version that is to run, then: airgap install CLUSTER --bundle BUNDLE",
    ];
  const ended = expired(own);
  if (ended !== undefined) return renewal(name, ended);
  if (own.components?.["kube-apiserver"] === undefined)
    return [
      "the manifest of its API server is gone",
      `on ${name}: copy the newest of /etc/kubernetes/tmp/kubeadm-backup-manifests-*/kube-apiserver.yaml to /etc/kubernetes/manifests`,
    ];
  if (!own.active.includes("kubelet"))
    return [
      "kubelet does not run",
      `on ${name}: journalctl -u kubelet -n 50, then systemctl restart kubelet`,
    ];
  return undefined;
}
