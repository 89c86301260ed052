import type { ClusterHost } from "../../cluster/cluster.ts";
import { localName, type PackageSet } from "../bundle.ts";
import type { Context } from "../context.ts";
import { ordinal } from "../ordinal.ts";
import { wantedOn } from "../stages/wanted.ts";
import { knownSystem } from "../systems/known.ts";
import type { Finding } from "./finding.ts";
import { isPatchOf, withoutEpoch } from "./versions.ts";

/** Why a host with these roles cannot be made from a set; empty when it can. */
type Reason = Omit<Finding, "severity" | "host">;
type Rule = (names: Map<string, string>, host: ClusterHost, context: Context, set: PackageSet) => Reason[];

const isNode = ({ roles }: ClusterHost): boolean =>
  roles.includes("control-plane") || roles.includes("worker");

const lacks = (message: string, suggestion: string): Reason => ({
  check: "bundle-packages",
  message,
  suggestion,
});

const kubernetes: Rule = (names, host, { cluster: { kubernetes: asked } }) => {
  if (!isNode(host)) return [];
  const missing = ["kubelet", "kubeadm"].filter((name) => !names.has(name));
  const version = names.get("kubeadm");
  return [
    ...(missing.length > 0
      ? [
          lacks(
            `has no ${missing.join(" and no ")}`,
            `add them to \`install:\` of the set, for ${host.roles.join(", ")}`,
          ),
        ]
      : []),
    ...(version === undefined || isPatchOf(version, asked.version)
      ? []
      : [
          {
            check: "kubernetes" as const,
            message: `has kubeadm ${version}, but the cluster file says ${asked.version}`,
            suggestion: `name the version in the spec: kubeadm-${asked.version.slice(1)}`,
          },
        ]),
  ];
};

const runtime: Rule = (names, host, { cluster, images, bundle }) => {
  if (!isNode(host)) return [];
  if (cluster.runtime === "docker") {
    const engine = [...names.keys()].some((name) => /^docker(?:-ce|\.io|-engine)?$/.test(name));
    const shim =
      images.rules.dockershim || names.has("cri-dockerd") || bundle.files["cri-dockerd.tgz"] !== undefined;
    return [
      ...(engine ? [] : [lacks("has no Docker", "add docker-ce or docker.io to `install:` of the set")]),
      ...(shim
        ? []
        : [
            lacks(
              "has no cri-dockerd, which Docker needs from Kubernetes 1.24 on",
              "add the package cri-dockerd, or `files: [{ url: …, as: cri-dockerd.tgz }]`",
            ),
          ]),
    ];
  }
  const version = withoutEpoch(names.get("containerd") ?? names.get("containerd.io"));
  const least = images.rules.containerd;
  if (version === undefined)
    return [
      {
        check: "containerd-version",
        message: "has no containerd",
        suggestion: "add containerd or containerd.io to `install:` of the set",
      },
    ];
  if (least === undefined || ordinal(version) >= ordinal(least)) return [];
  return [
    {
      check: "containerd-version",
      message: `has containerd ${version}: Kubernetes ${cluster.kubernetes.version} needs ${least}`,
    },
  ];
};

const balancer: Rule = (names, host) => {
  if (!host.roles.includes("load-balancer")) return [];
  const missing = ["keepalived", "haproxy"].filter((name) => !names.has(name));
  return missing.length === 0
    ? []
    : [
        lacks(
          `has no ${missing.join(" and no ")}`,
          `add \`load-balancer: [${missing.join(", ")}]\` to \`install:\` of the set`,
        ),
      ];
};

/** What every system of the set is known to be too old for. */
const system: Rule = (_names, host, { cluster, images: { rules } }, set) => {
  if (!isNode(host)) return [];
  const systems = [...new Set(set.facts.for)].map((name) => ({ name, known: knownSystem(name) }));
  const { version } = cluster.kubernetes;
  const all = (bad: (known: NonNullable<ReturnType<typeof knownSystem>>) => boolean): boolean =>
    systems.length > 0 && systems.every(({ known }) => known !== undefined && bad(known));
  const names = systems.map(({ name }) => name).join(", ");
  return [
    ...(all(({ kernel }) => ordinal(kernel) < ordinal(rules.kernel.oldest))
      ? [
          {
            check: "kernel" as const,
            message: `is for ${names}, whose kernel ${systems[0]?.known?.kernel} Kubernetes ${version} refuses (oldest: ${rules.kernel.oldest})`,
            suggestion: "use Kubernetes v1.31 here, or a newer system",
          },
        ]
      : []),
    ...(rules.cgroupV1 === "refused" &&
    cluster.kubeadm.KubeletConfiguration?.["failCgroupV1"] !== false &&
    all(({ cgroup }) => cgroup === "v1")
      ? [
          {
            check: "cgroup" as const,
            message: `is for ${names}, which boots with cgroup v1: Kubernetes ${version} refuses it`,
            suggestion:
              "boot the hosts with systemd.unified_cgroup_hierarchy=1, or use Kubernetes v1.34, and ignore this check",
          },
        ]
      : []),
  ];
};

const RULES: Rule[] = [kubernetes, runtime, balancer, system];

function reasonsFor(set: PackageSet, host: ClusterHost, context: Context): Reason[] {
  const names = new Map(wantedOn(set, host).map(({ name, version }) => [name, version]));
  return RULES.flatMap((rule) => rule(names, host, context, set));
}

/** Hosts that need packages of the bundle. */
const needsPackages = (host: ClusterHost): boolean => isNode(host) || host.roles.includes("load-balancer");

/**
 * Which system a host has is not known here, so one set that can make it is enough; where none can, what
 * each lacks is an error, and where some can, what the others lack is a warning.
 */
export function checkSets(context: Context, hosts: ClusterHost[]): Finding[] {
  const { bundle } = context;
  const byRoles = Map.groupBy(hosts.filter(needsPackages), ({ roles }) => roles.join(", "));
  if (byRoles.size > 0 && bundle.packageSets.length === 0)
    return [
      {
        check: "bundle-packages",
        severity: "error",
        message: `${localName(bundle)} has no package sets: the hosts would need kubelet, kubeadm and ${context.cluster.runtime} already`,
        suggestion: "add a set for their system under `packages:` of the spec: docs/packages.md",
      },
    ];
  return [...byRoles].flatMap(([roles, [host, ...more]]) => {
    if (host === undefined) return [];
    const names = [host, ...more].map(({ name }) => name).join(", ");
    const perSet = bundle.packageSets.map((set) => ({ set, reasons: reasonsFor(set, host, context) }));
    const severity = perSet.some(({ reasons }) => reasons.length === 0) ? "warning" : "error";
    return perSet.flatMap(({ set, reasons }) =>
      reasons.map((reason) => ({
        ...reason,
        severity: severity as Finding["severity"],
        message: `for ${names} (${roles}) the set ${set.name} ${reason.message}`,
      })),
    );
  });
}
