import { minorOf } from "../../kubernetes/rules.ts";
import {
  droppedAdmission,
  droppedArguments,
  KNOWN_COREDNS_PLUGINS,
  removalsBetween,
} from "../../kubernetes/upgrade.ts";
import { at } from "../ask.ts";
import type { Finding } from "../preflight/finding.ts";
import { lastMinor, type UpgradeCheck } from "./check.ts";
import { argumentsOf, textsOf } from "./cluster-state.ts";

const SHOWN = 8;
const some = (names: readonly string[]): string =>
  names.length <= SHOWN
    ? names.join(", ")
    : `${names.slice(0, SHOWN).join(", ")} and ${names.length - SHOWN} more`;

/** Objects stay when their API version goes, but nobody can apply their manifest again. */
const outdated: UpgradeCheck = ({ state }, stones) => {
  const removals = removalsBetween(minorOf(state.version), lastMinor(stones));
  return removals.flatMap((removal): Finding[] => {
    const names = state.outdated
      .filter(({ api, kind }) => api === removal.api && Object.hasOwn(removal.kinds, kind))
      .map(({ kind, name }) => `${kind} ${name}`);
    if (names.length === 0) return [];
    const { minor, api, instead } = removal;
    return [
      {
        check: "removed-apis",
        severity: "warning",
        message: instead
          ? `Kubernetes 1.${minor} does not serve ${api} any more: ${some(names)} were applied as that. The objects stay; apply their manifests as ${instead} from now on`
          : `Kubernetes 1.${minor} does not have ${Object.keys(removal.kinds).join(", ")} any more: ${some(names)} will have no effect`,
      },
    ];
  });
};

const componentFlags: UpgradeCheck = ({ state }, stones) => {
  const minor = lastMinor(stones);
  const flags = Object.entries(state.arguments).flatMap(([component, values]) =>
    droppedArguments(minor, component)
      .filter((flag) => Object.hasOwn(values, flag))
      .map((flag) => `${component}.extraArgs.${flag}`),
  );
  const plugins = (state.arguments["apiServer"]?.["enable-admission-plugins"] ?? "").split(",");
  const admission = droppedAdmission(minor)
    .filter((name) => plugins.includes(name))
    .map((name) => `${name} in apiServer.extraArgs.enable-admission-plugins`);
  const found = [...flags, ...admission];
  if (found.length === 0) return [];
  return [
    {
      check: "component-flags",
      severity: "error",
      message: `kubeadm's configuration has ${found.join(", ")}, which ${stones.at(-1)} does not know: the control plane would not start`,
      suggestion:
        "remove it: kubectl -n kube-system edit configmap kubeadm-config, and from `kubeadm:` of the cluster file",
    },
  ];
};

/**
 * kubeadm upgrades with what its ConfigMap says, so what was changed in the cluster file since would have no effect. An
 * argument that only the ConfigMap has may be somebody's who changed it there.
 */
const configuration: UpgradeCheck = ({ state, cluster }, stones) => {
  if (stones.length === 0) return [];
  const wanted = cluster.kubeadm.ClusterConfiguration;
  const suggestion = `put it there first, and the upgrade takes it over: kubectl -n kube-system edit configmap kubeadm-config; or write in the cluster file what the cluster has`;
  const flags = ["apiServer", "controllerManager", "scheduler"].flatMap((component) =>
    Object.entries(argumentsOf(at(wanted, component, "extraArgs")))
      .filter(([name, value]) => state.arguments[component]?.[name] !== value)
      .map(([name, value]) => `${component}.extraArgs.${name}: ${value}`),
  );
  const given = textsOf(at(wanted, "apiServer", "certSANs"));
  const names = given.length > 0 ? given : cluster.kubernetes.extraSans;
  const missing = names.filter((name) => !state.certSANs.includes(name));
  const finding = (message: string, more: string): Finding => ({
    check: "kubeadm-config",
    severity: "error",
    message,
    suggestion: more,
  });
  return [
    ...(flags.length === 0
      ? []
      : [
          finding(
            `the cluster file has ${some(flags)}, and kubeadm's configuration in the cluster does not: an upgrade would not start the control plane with it`,
            suggestion,
          ),
        ]),
    ...(missing.length === 0
      ? []
      : [
          finding(
            `the cluster file has ${some(missing)} for the API server's certificate, and the certificate is renewed without it`,
            "docs/upgrade.md, Other names of the API server; or take it out of the cluster file until after the upgrade",
          ),
        ]),
  ];
};

const coredns: UpgradeCheck = ({ state }, stones) => {
  if (stones.length === 0) return [];
  const unknown = state.coredns.plugins.filter((name) => !KNOWN_COREDNS_PLUGINS.has(name));
  const tag = /:([^:/@]+)(?:@|$)/.exec(state.coredns.image)?.[1];
  const strange = tag !== undefined && !/^v?\d+\.\d+\.\d+$/.test(tag);
  const suggestion = "to leave CoreDNS to kubeadm all the same: --ignore-check coredns";
  return [
    ...(unknown.length === 0
      ? []
      : [
          {
            check: "coredns" as const,
            severity: "error" as const,
            message: `kubeadm cannot carry these plugins of CoreDNS over: ${unknown.join(", ")} (kubectl -n kube-system get configmap coredns)`,
            suggestion,
          },
        ]),
    ...(strange
      ? [
          {
            check: "coredns" as const,
            severity: "error" as const,
            message: `CoreDNS runs as ${state.coredns.image}, and kubeadm cannot tell its version from that tag`,
            suggestion,
          },
        ]
      : []),
  ];
};

const budgets: UpgradeCheck = ({ state }, stones) =>
  stones.length === 0
    ? []
    : state.blocking.map((name) => ({
        check: "disruption-budgets",
        severity: "error",
        message: `the disruption budget ${name} allows no pod to be evicted: a drain would wait in vain`,
        suggestion: `run one replica more, or lower minAvailable of ${name}; kubectl -n ${name.split("/")[0]} describe pdb ${name.split("/")[1]} tells why`,
      }));

/** kubectl drain refuses pods that nothing would make again; with --force it deletes them for good. */
const unmanaged: UpgradeCheck = ({ state, asked }, stones) => {
  const moving = state.unmanaged.filter(({ node }) => asked === undefined || asked.includes(node));
  if (stones.length === 0 || moving.length === 0) return [];
  return [
    {
      check: "unmanaged-pods",
      severity: "error",
      message: `nothing makes these pods again when their node is drained: ${some(moving.map(({ name, node }) => `${name} on ${node}`))}`,
      suggestion:
        "make them part of a Deployment, or delete them; to lose them: --ignore-check unmanaged-pods",
    },
  ];
};

const members: UpgradeCheck = ({ state, cluster }) =>
  state.deadMembers.map((address) => {
    const host = cluster.hosts.find(
      (each) => address.includes(`//${each.address}:`) || address.includes(`//[${each.address}]:`),
    );
    return {
      check: "etcd-members",
      severity: "error",
      message: `the member of etcd at ${address}${host ? ` (${host.name})` : ""} does not answer; kubeadm waits for every member`,
      suggestion: host
        ? `bring ${host.name} up; or, when it is lost: airgap reset CLUSTER --hosts ${host.name} --gone`
        : "remove it: etcdctl member list, then etcdctl member remove ID",
    };
  });

const ready: UpgradeCheck = ({ state, asked }) =>
  state.nodes
    .filter((node) => !node.ready && (node.plane || asked === undefined || asked.includes(node.name)))
    .map(({ name, marked, plane }) => ({
      check: "nodes-ready",
      // An upgrade that was stopped goes on with the node that it was at.
      severity: marked ? "warning" : "error",
      host: name,
      message: marked ? "it is not ready: an upgrade stopped here, and goes on" : "it is not ready",
      suggestion: plane
        ? `on ${name}: journalctl -u kubelet -n 50; or, when it is lost: airgap reset CLUSTER --hosts ${name} --gone`
        : `on ${name}: systemctl status kubelet; or leave it out with --hosts`,
    }));

/** What the cluster tells of itself. */
export const STATE_CHECKS: UpgradeCheck[] = [
  outdated,
  componentFlags,
  configuration,
  coredns,
  budgets,
  unmanaged,
  members,
  ready,
];
