import type { ClusterHost } from "../../cluster/cluster.ts";
import { droppedKubeletFlags } from "../../kubernetes/upgrade.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { call } from "../../plan/shell.ts";
import type { Step } from "../../plan/step.ts";
import { setFor } from "../context.ts";
import { containerdSteps } from "../stages/containerd.ts";
import { dockerSteps } from "../stages/docker.ts";
import { holdStep } from "../stages/packages.ts";
import { repositoryIds, repositorySteps } from "../stages/repository.ts";
import { imageCalls } from "../stages/runtime.ts";
import { wantedOn } from "../stages/wanted.ts";
import type { Wanted } from "../systems/system.ts";
import type { StoneContext } from "./context.ts";

const KUBERNETES = new Set(["kubelet", "kubeadm", "kubectl", "cri-tools", "kubernetes-cni"]);

/**
 * Steps of an installation, without their undo: the installation has left its own on the host, and its order is the
 * right one for reset. Mirrors may be of registries that the installation did not know.
 */
export const again = (steps: Step[]): Step[] =>
  steps.map((step) => {
    const { undo, ...rest } = step;
    return undo !== undefined && step.id.startsWith("mirror-") ? step : rest;
  });

/** The packages of a host for this version. kubeadm, kubelet and kubectl must be exactly what the set has. */
function wanted(context: StoneContext, host: ClusterHost): { set: string[]; packages: Wanted[] } {
  const set = setFor(context.bundle, context.factsOf(host));
  if (set === undefined) return { set: [], packages: [] };
  return {
    set: repositoryIds(set, host),
    packages: wantedOn(set, host).map((each) =>
      KUBERNETES.has(each.name) ? { ...each, pinned: true } : each,
    ),
  };
}

function install(context: StoneContext, host: ClusterHost, id: string, chosen: Wanted[]): Step[] {
  if (chosen.length === 0) return [];
  const { packages } = context.systemOf(host);
  return [
    {
      id,
      title: `Packages: ${chosen.map(packages.label).join(", ")}`,
      check: packages.areInstalled(chosen),
      apply: packages.install({
        wanted: chosen,
        repositories: wanted(context, host).set,
        ignored: context.ignored.filter((check) => check === "package-removal" || check === "base-packages"),
      }),
      timeoutMs: 3_600_000,
    },
  ];
}

/** kubeadm alone moves first; everything else waits for the drain. */
export function kubeadmSteps(context: StoneContext, host: ClusterHost): Step[] {
  const { packages } = wanted(context, host);
  return [
    ...again(repositorySteps(context, host)),
    ...install(
      context,
      host,
      "kubeadm",
      packages.filter(({ name }) => name === "kubeadm"),
    ),
  ];
}

/** Packages that are not Kubernetes' own, for a new runtime. */
export function runtimePackages(context: StoneContext, host: ClusterHost): Step[] {
  const { packages } = wanted(context, host);
  return [
    ...again(repositorySteps(context, host)),
    ...install(
      context,
      host,
      "runtime-packages",
      packages.filter(({ name }) => !KUBERNETES.has(name)),
    ),
  ];
}

/** The container runtime as this version wants it: its sandbox image, and where images come from. */
export const runtimeSteps = (context: StoneContext, host: ClusterHost): Step[] =>
  again(context.cluster.runtime === "docker" ? dockerSteps(context, host) : containerdSteps(context, host));

/**
 * Between drain and uncordon: flags before packages, since a package may restart kubelet; packages before
 * the runtime's configuration, which depends on its version; then kubelet starts as this version.
 */
export function kubeletSteps(context: StoneContext, host: ClusterHost): Step[] {
  const { stone } = context;
  const { packages } = wanted(context, host);
  const { has, pull } = imageCalls(context.cluster);
  const flags = droppedKubeletFlags(context.images.rules.minor);
  const held = holdStep(context, host, packages);
  return [
    {
      id: "flags",
      title: `kubelet is started without flags that ${stone} does not know`,
      check: call("flags_fit", ...flags),
      apply: call("drop_flags", ...flags),
    },
    ...install(context, host, "packages", packages),
    ...again(held),
    ...runtimeSteps(context, host),
    {
      id: "sandbox",
      title: `The host has the sandbox image of ${stone}`,
      check: call(...has, context.images.sandbox),
      apply: call("wait_for", 30, ...pull, context.images.sandbox),
    },
    {
      id: "kubelet",
      title: `kubelet runs as ${stone}`,
      check: call("kubelet_was_restarted", stone),
      apply: call("restart_kubelet", stone),
      timeoutMs: 600_000,
    },
  ];
}

/** The node's pods move elsewhere. On a host that may ask the API as an administrator. */
export function drainStep({ stone, images, input, ignored }: StoneContext, { name }: ClusterHost): Step {
  const seconds = input.drainSeconds;
  const force = ignored.includes("unmanaged-pods") ? ["--force"] : [];
  return {
    id: `drain-${name}`,
    title: `${name} is drained`,
    check: call("is_drained", name, stone),
    apply: call("drain_node", name, stone, seconds, ...images.rules.drainFlags, ...force),
    timeoutMs: (seconds + 180) * 1000,
  };
}

/** The node is back, and takes pods again unless somebody else had cordoned it. */
export function returnSteps({ stone }: StoneContext, { name }: ClusterHost): Step[] {
  return [
    {
      id: `node-${name}`,
      title: `${name} is ready at ${stone}`,
      check: call("node_is_at", name, stone),
      apply: call("wait_for", 300, "node_is_at", name, stone),
    },
    {
      id: `uncordon-${name}`,
      title: `${name} takes pods`,
      check: call("takes_pods", name),
      apply: call("take_pods", name),
    },
  ];
}

/** Checks of kubeadm that the cluster file tells it to ignore, and those that the user ignores here. */
export function ignoredByKubeadm({ cluster, ignored }: StoneContext): string {
  const { InitConfiguration: init, JoinConfiguration: join } = cluster.kubeadm;
  const own = [init, join].flatMap((each) => {
    const registration = isRecord(each) ? each["nodeRegistration"] : undefined;
    const list = isRecord(registration) ? registration["ignorePreflightErrors"] : undefined;
    return Array.isArray(list) ? list.filter((name): name is string => typeof name === "string") : [];
  });
  const coredns = ignored.includes("coredns") ? ["CoreDNSUnsupportedPlugins", "CoreDNSMigration"] : [];
  return [...new Set([...own, ...coredns])].join(",");
}
