import type { ClusterHost } from "../../cluster/cluster.ts";
import { isAtLeast } from "../../kubernetes/upgrade.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { call } from "../../plan/shell.ts";
import type { Plan, Stage, Wave } from "../../plan/stage.ts";
import { makePlan } from "../../plan/stage.ts";
import type { Step } from "../../plan/step.ts";
import { type Context, makeContext, wave } from "../context.ts";
import { addonsStage } from "../stages/addons.ts";
import { userSteps } from "../stages/kubeconfig.ts";
import { networkStage } from "../stages/network.ts";
import { registryStage } from "../stages/registry.ts";
import { imageCalls } from "../stages/runtime.ts";
import { serveStage } from "../stages/serve.ts";
import { trustStage } from "../stages/trust.ts";
import { verifyStage } from "../stages/verify.ts";
import {
  contextAt,
  inputAt,
  leavesDockershim,
  pathOf,
  type StoneContext,
  type UpgradeInput,
} from "./context.ts";
import {
  again,
  drainStep,
  ignoredByKubeadm,
  kubeadmSteps,
  kubeletSteps,
  returnSteps,
  runtimePackages,
  runtimeSteps,
} from "./node.ts";

/** Before the first minor: the new bundle is served, beside the one from which pods still run. */
const BEFORE: readonly Stage<Context>[] = [
  { name: "trust", title: "Every host trusts the site's authority", needs: [], waves: trustStage },
  { name: "serve", title: "One host serves the new bundle beside the old one", needs: [], waves: serveStage },
  {
    name: "registry",
    title: "The registry has every image that the cluster will pull",
    needs: ["serve"],
    waves: registryStage,
  },
];

/** Of every minor. Names follow the version: `v1.29.9-workers`. */
const MINOR: readonly Omit<Stage<StoneContext>, "needs">[] = [
  {
    name: "keep",
    title: "What etcd and /etc/kubernetes hold is kept, to go back to",
    waves: keepStage,
  },
  {
    name: "runtime",
    title: "Nodes leave Docker's shim in kubelet, one by one",
    waves: runtimeStage,
  },
  {
    name: "control-plane",
    title: "kubeadm upgrade apply on the first control plane; the others follow one by one",
    waves: planesStage,
  },
  { name: "workers", title: "Workers follow, some at a time", waves: workersStage },
];

/** After the last minor: what the bundle has newer than the cluster. */
const AFTER: readonly Stage<Context>[] = [
  { name: "network", title: "The pod network", needs: [], waves: networkStage },
  {
    name: "addons",
    title: "Add-ons, in the order of the cluster file",
    needs: ["network"],
    waves: addonsStage,
  },
  {
    name: "verify",
    title: "Nodes, system pods, DNS and pod traffic work",
    needs: ["addons"],
    wholeCluster: true,
    waves: verifyStage,
  },
];

/** A part of an upgrade: a stretch of the plan, with the version before which the hosts have kept what to go back to. */
export interface UpgradePart {
  /** Absent after the last minor. */
  keeps?: string;
  plan: Plan;
}

/** The stages of one minor, each after the one before it on every host. */
function stagesOf(context: StoneContext): { name: string; keeps: boolean; stage: Stage<Context> }[] {
  return MINOR.map(({ name, title, waves }, i) => ({
    name,
    keeps: name === "keep",
    stage: {
      name: `${context.stone}-${name}`,
      title,
      needs: i === 0 ? ["serve"] : [`${context.stone}-${MINOR[i - 1]?.name}`],
      waves: () => waves(context),
    },
  }));
}

/**
 * The plan of an upgrade. Pure: the same input gives the same plan. It is cut behind each stage that keeps
 * something, so that what is kept can be brought home before anything changes. Holds secrets.
 * @throws AirgapError `spec`, `unsupported`, `not-closed`
 */
export function planUpgrade(input: UpgradeInput): UpgradePart[] {
  const { stones } = pathOf(input);
  const target = makeContext(inputAt(input, input.cluster.kubernetes.version));
  const parts: UpgradePart[] = [];
  let pending: Stage<Context>[] = [...BEFORE];
  for (const stone of stones) {
    for (const { keeps, stage } of stagesOf(contextAt(input, stone))) {
      pending.push(stage);
      if (!keeps) continue;
      parts.push({ keeps: stone, plan: makePlan(pending, target) });
      pending = [];
    }
  }
  const rest = input.complete ? [...pending, ...AFTER] : pending;
  return [...parts, { plan: makePlan(rest, target) }];
}

/** The whole plan in one piece, for a dry run and for scripts. */
export const wholePlan = (parts: readonly UpgradePart[]): Plan => ({
  stages: parts.flatMap(({ plan }) => plan.stages),
});

const inGroups = <T>(all: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.slice(i * size, (i + 1) * size));

/** One member's snapshot is enough: all hold the same. With etcd on hosts of its own, the first of them has it. */
function keepStage({ behindPlanes, first, stone, cluster, hosts }: StoneContext): Wave[] {
  const { mode } = cluster.etcd;
  const member = mode === "stacked" ? first : mode === "external" ? hosts("etcd")[0] : undefined;
  const planes = behindPlanes.map(({ name }) => name);
  const keepers = behindPlanes.length > 0 && member ? [...behindPlanes, member] : behindPlanes;
  return [
    [...new Set(keepers.map(({ name }) => name))].map((host) => {
      const files = [
        ...(host === member?.name ? ["etcd.db"] : []),
        ...(planes.includes(host) ? ["kubernetes.tar.gz"] : []),
      ];
      const step: Step = {
        id: "keep",
        title: `What is there before ${stone} is kept${files.includes("etcd.db") ? ", etcd's data too" : ""}`,
        check: call("kept_before", stone, ...files),
        apply: call("keep_before", stone, host, ...files),
        timeoutMs: 1_800_000,
      };
      return { host, steps: [step], for: planes.includes(host) ? [] : planes };
    }),
  ];
}

/** The last step's undo takes the node from the runtime that it has by then; it is the first that reset runs. */
function switchSteps(context: StoneContext, host: ClusterHost): Step[] {
  const socket = context.images.rules.sockets[context.cluster.runtime];
  return [
    ...runtimeSteps(context, host),
    {
      id: "switch",
      title: `kubelet uses ${context.cluster.runtime === "docker" ? "Docker through cri-dockerd" : "containerd"}`,
      check: call("runtime_is", socket),
      apply: call("switch_runtime", socket),
      undo: call("kubeadm_undo", socket),
      timeoutMs: 900_000,
    },
  ];
}

const socketStep = (context: StoneContext, { name }: ClusterHost): Step => {
  const socket = context.images.rules.sockets[context.cluster.runtime];
  return {
    id: `socket-${name}`,
    title: `The cluster knows the runtime of ${name}: ${socket}`,
    check: call("uses_socket", name, socket),
    apply: call("use_socket", name, socket),
  };
};

/** Still at the version before, so that each of the two changes can be gone back on alone. */
function runtimeStage(context: StoneContext): Wave[] {
  if (!leavesDockershim(context)) return [];
  const { input, first, behindPlanes, behindWorkers } = context;
  const from = input.state.version;
  const before: StoneContext = { ...context, stone: `${from}+${context.cluster.runtime}` };
  const docker = new Set(input.state.nodes.flatMap(({ name, docker }) => (docker ? [name] : [])));
  const moving = (host: ClusterHost): boolean => docker.has(host.name);
  const planes = behindPlanes
    .filter(moving)
    .map((host) =>
      wave([host], () => [
        ...runtimePackages(context, host),
        drainStep(before, host),
        ...switchSteps(context, host),
        apiStep(),
        socketStep(context, host),
        ...switchedSteps(host),
      ]),
    );
  const workers = inGroups(behindWorkers.filter(moving), input.workers).flatMap((group) => [
    wave(group, (host) => runtimePackages(context, host)),
    onFirst(first, group, (host) => [drainStep(before, host)]),
    wave(group, (host) => switchSteps(context, host)),
    onFirst(first, group, (host) => [socketStep(context, host), ...switchedSteps(host)]),
  ]);
  return [...planes, ...workers];
}

const apiStep = (): Step => ({
  id: "api",
  title: "The API server of this host is back",
  check: call("api_is_ready"),
  apply: call("wait_for", 300, "api_is_ready"),
});

const switchedSteps = ({ name }: ClusterHost): Step[] => [
  {
    id: `ready-${name}`,
    title: `${name} is ready again`,
    check: call("nodes_are_ready", name),
    apply: call("wait_for", 300, "nodes_are_ready", name),
  },
  {
    id: `back-${name}`,
    title: `${name} takes pods`,
    check: call("takes_pods", name),
    apply: call("take_pods", name),
  },
];

const onFirst = (
  first: ClusterHost,
  group: readonly ClusterHost[],
  steps: (host: ClusterHost) => Step[],
): Wave => [{ host: first.name, steps: group.flatMap(steps), for: group.map(({ name }) => name) }];

const parentOf = (reference: string): string => reference.slice(0, reference.lastIndexOf("/"));

/** The image repositories that kubeadm's ConfigMap must name for this version. */
function repositories({ images, cluster }: StoneContext): [string, string, string] {
  const own = cluster.kubeadm.ClusterConfiguration;
  const given = (...path: string[]): string => {
    const found = path.reduce<unknown>((inner, key) => (isRecord(inner) ? inner[key] : undefined), own);
    return typeof found === "string" ? found : "-";
  };
  const server = images.kubeadm.find(({ upstream }) => upstream.includes("/kube-apiserver:"))?.asked ?? "";
  return [
    parentOf(server),
    images.dnsRepository ?? given("dns", "imageRepository"),
    images.etcdRepository ?? given("etcd", "local", "imageRepository"),
  ];
}

/** What kubelet was started with: its flags say so before 1.21, later its configuration; else cgroupfs. */
function driverOf(context: StoneContext, host: ClusterHost): string {
  const { kubeletFlags = [], kubeletCgroupDriver } = context.factsOf(host);
  const flag = kubeletFlags.flatMap(({ line }) => /--cgroup-driver=(\w+)/.exec(line)?.[1] ?? [])[0];
  return flag ?? kubeletCgroupDriver ?? "cgroupfs";
}

/** What kubeadm reads from the cluster, put right before it reads it. */
function configurationSteps(context: StoneContext, host: ClusterHost): Step[] {
  const from = repositories(context);
  return [
    {
      id: "image-repository",
      title: `kubeadm takes images from ${from[0]}`,
      check: call("before_plane", context.stone, "images_come_from", ...from),
      apply: call("take_images_from", ...from),
    },
    {
      id: "cgroup-driver",
      title: "The cluster's configuration names kubelet's cgroup driver",
      check: call("cgroup_driver_is_written"),
      apply: call("write_cgroup_driver", driverOf(context, host)),
    },
  ];
}

function imagesOf({ images, cluster, stone }: StoneContext): Step {
  const wanted = images.kubeadm.map(({ asked }) => asked);
  const { has, pull } = imageCalls(cluster);
  return {
    id: "images",
    title: `kubeadm's images of ${stone} are on the host: ${wanted.length}`,
    check: call("before_plane", stone, ...has, ...wanted),
    apply: call(...pull, ...wanted),
    timeoutMs: 1_800_000,
  };
}

/** The first of those that are behind applies, unless the cluster is at this version and only this host is not. */
function planesStage(context: StoneContext): Wave[] {
  const { behindPlanes, first, input, stone } = context;
  const applies = ({ name }: ClusterHost): boolean =>
    name === behindPlanes[0]?.name && (name === first.name || !isAtLeast(input.state.version, stone));
  const ignored = ignoredByKubeadm(context);
  return behindPlanes.map((host) =>
    wave([host], () => [
      ...(applies(host) ? configurationSteps(context, host) : []),
      imagesOf(context),
      ...kubeadmSteps(context, host),
      {
        id: "upgrade",
        title: `${host.name} is a control plane of ${stone}`,
        check: call(applies(host) ? "cluster_is_at" : "plane_is_at", stone),
        apply: call(applies(host) ? "apply_upgrade" : "upgrade_plane", stone, ignored),
        timeoutMs: 3_600_000,
      },
      drainStep(context, host),
      ...kubeletSteps(context, host),
      // kubeadm has renewed the administrator's certificate.
      ...again(userSteps(context, host)),
      ...returnSteps(context, host),
    ]),
  );
}

function workersStage(context: StoneContext): Wave[] {
  const { behindWorkers, first, input, stone } = context;
  const ignored = ignoredByKubeadm(context);
  return inGroups(behindWorkers, input.workers).flatMap((group) => [
    wave(group, (host) => [
      ...kubeadmSteps(context, host),
      {
        id: "configuration",
        title: `kubelet's configuration is of ${stone}`,
        check: call("worker_is_configured", stone),
        apply: call("configure_worker", stone, ignored),
      },
    ]),
    onFirst(first, group, (host) => [drainStep(context, host)]),
    wave(group, (host) => kubeletSteps(context, host)),
    onFirst(first, group, (host) => returnSteps(context, host)),
  ]);
}
