import type { Facts } from "../../../src/host/facts.ts";
import { imagesFor } from "../../../src/install/node-images.ts";
import type { ClusterState } from "../../../src/install/upgrade/cluster-state.ts";
import type { UpgradeInput } from "../../../src/install/upgrade/context.ts";
import { listKubeadmImages } from "../../../src/kubernetes/list.ts";
import { minorOf } from "../../../src/kubernetes/rules.ts";
import { bundleOf, clusterOf, packageSet, siteOf, type Wishes } from "./site.ts";
import type { System } from "./systems.ts";

/** A cluster that stands, and a bundle to upgrade it with. */
export interface UpgradeWishes extends Wishes {
  /** The version that runs. */
  from: string;
  /** Versions in the bundle; the last is the cluster file's. */
  carried: string[];
  /** Nodes run Docker. */
  docker?: boolean;
  state?: Partial<ClusterState>;
  /** Versions of nodes that are not at `from`. */
  nodes?: Record<string, string>;
  workers?: number;
  asked?: string[];
  /** Of kubelet's flags, beside kubeadm's own. */
  extraFlags?: Record<string, string>;
}

const flagsOf = (minor: number, docker: boolean): string =>
  [
    'KUBELET_KUBEADM_ARGS="',
    docker
      ? "--network-plugin=cni "
      : "--container-runtime=remote --container-runtime-endpoint=unix:///run/containerd/containerd.sock ",
    minor < 35 ? "--pod-infra-container-image=registry.k8s.io/pause:3.6" : "",
    '"',
  ].join("");

/** Everything that an upgrade is planned from, made up. */
export function upgradeOf(wishes: UpgradeWishes): UpgradeInput {
  const { from, carried, docker = false, nodes: at = {}, extraFlags = {} } = wishes;
  const version = carried.at(-1) ?? from;
  const given = (wishes.cluster?.["kubernetes"] ?? {}) as Record<string, unknown>;
  const cluster = clusterOf({ ...wishes.cluster, kubernetes: { version, ...given } });
  const systemOf = (name: string): System => wishes.on?.[name] ?? wishes.os ?? "rocky-9.4";
  const used = [...new Set(cluster.hosts.map(({ name }) => systemOf(name)))];
  const input = siteOf({ ...wishes, cluster: { ...wishes.cluster, kubernetes: { version, ...given } } });
  const each = carried.map((one) => {
    const own = clusterOf({ ...wishes.cluster, kubernetes: { ...given, version: one } });
    return { own, bundle: bundleOf(own, used, wishes.bundle), one };
  });
  const items = new Map(
    each.flatMap(({ bundle }) => bundle.lock.items.map((item) => [item.name, item] as const)),
  );
  const bundle = {
    ...input.bundle,
    lock: {
      ...input.bundle.lock,
      kubernetes: carried,
      kubeadm: Object.fromEntries(carried.map((one) => [one, listKubeadmImages({ version: one }).images])),
      items: [...items.values()],
    },
    packageSets: each.flatMap(({ own, one }) =>
      used.map((system) => {
        const set = packageSet(system, own, wishes.bundle);
        return { name: `${set.name}-${one}`, facts: { ...set.facts, kubernetes: one } };
      }),
    ),
  };
  const facts = Object.fromEntries(
    cluster.hosts.map(({ name, roles }): [string, Facts] => {
      const plane = roles.includes("control-plane");
      const kubelet = (at[name] ?? from).slice(1);
      const own = input.facts[name] as Facts;
      const flags = flagsOf(minorOf(from), docker);
      return [
        name,
        {
          ...own,
          owner: "site",
          active: [...own.active, "kubelet", docker ? "docker" : "containerd"],
          exists: [
            "/etc/kubernetes/kubelet.conf",
            ...(plane ? ["/etc/kubernetes/admin.conf", "/var/lib/etcd/member"] : []),
          ],
          versions: {
            ...own.versions,
            kubelet,
            ...(docker ? { docker: "20.10.24" } : { containerd: "1.7.27" }),
          },
          kubeletCgroupDriver: "systemd",
          kubeletFlags: [
            { file: "/var/lib/kubelet/kubeadm-flags.env", line: flags },
            ...Object.entries(extraFlags).map(([file, line]) => ({ file, line })),
          ],
          ...(plane
            ? { components: { "kube-apiserver": `registry.k8s.io/kube-apiserver:${from}` }, etcdKiB: 40_000 }
            : {}),
          ...wishes.hostFacts?.[name],
        },
      ];
    }),
  );
  return {
    ...input,
    facts,
    bundle,
    images: imagesFor(cluster, bundle.lock),
    state: {
      by: "master1",
      nodes: cluster.hosts
        .filter(({ roles }) => roles.some((role) => role === "control-plane" || role === "worker"))
        .map(({ name, roles }) => ({
          name,
          version: at[name] ?? from,
          ready: true,
          plane: roles.includes("control-plane"),
          docker,
          marked: false,
        })),
      version: from,
      arguments: {},
      certSANs: [],
      cgroupDriver: "systemd",
      coredns: {
        plugins: ["errors", "health", "kubernetes", "forward"],
        image: "registry.k8s.io/coredns/coredns:v1.8.6",
      },
      unmanaged: [],
      blocking: [],
      deadMembers: [],
      outdated: [],
      ...wishes.state,
    },
    workers: wishes.workers ?? 1,
    drainSeconds: 600,
    complete: true,
    ...(wishes.asked ? { asked: wishes.asked } : {}),
  };
}
