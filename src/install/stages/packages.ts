import type { ClusterHost } from "../../cluster/cluster.ts";
import { call } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import type { Step } from "../../plan/step.ts";
import type { PackageSet } from "../bundle.ts";
import { type Context, setFor, wave } from "../context.ts";
import type { Wanted } from "../systems/system.ts";
import { repositoryIds } from "./repository.ts";
import { timeSteps } from "./time.ts";
import { wantedOn } from "./wanted.ts";

/** Packages that only an upgrade of the cluster may upgrade. */
const HELD =
  /^(?:kubelet|kubeadm|kubectl|cri-tools|kubernetes-cni|containerd(?:\.io)?|runc|docker(?:-ce|\.io|-ce-cli|-engine)?|cri-dockerd)$/;

/** Packages are installed only from the site's repository; a transaction that would remove packages is refused. */
export function packagesStage(context: Context): Wave[] {
  return [
    wave(context.reached, (host) => {
      const facts = context.factsOf(host);
      const set = setFor(context.bundle, facts);
      const wanted = set ? wantedOn(set, host) : [];
      const install =
        set === undefined || wanted.length === 0 ? [] : installSteps(context, host, set, wanted);
      return [
        ...install,
        ...timeSteps(
          context,
          host,
          wanted.some(({ name }) => name === "chrony"),
        ),
        ...kubeletStep(context, host),
      ];
    }),
  ];
}

function installSteps(context: Context, host: ClusterHost, set: PackageSet, wanted: Wanted[]): Step[] {
  const { packages } = context.systemOf(host);
  const install: Step = {
    id: "install",
    title: `Packages: ${wanted.map(packages.label).join(", ")}`,
    check: packages.areInstalled(wanted),
    apply: packages.install({
      wanted,
      repositories: repositoryIds(set, host),
      ignored: context.ignored.filter((check) => check === "package-removal" || check === "base-packages"),
    }),
    timeoutMs: 3_600_000,
  };
  return [install, ...holdStep(context, host, wanted)];
}

/** Keeps the cluster's own packages at their version. */
export function holdStep(context: Context, host: ClusterHost, wanted: Wanted[]): Step[] {
  const { packages } = context.systemOf(host);
  const held = wanted.map(({ name }) => name).filter((name) => HELD.test(name));
  if (held.length === 0) return [];
  return [
    {
      id: "hold",
      title: `Held at their version: ${held.join(", ")}`,
      check: packages.areHeld(held),
      apply: packages.hold(held),
      undo: packages.unhold(held),
    },
  ];
}

/** kubelet restarts every few seconds until kubeadm has configured it, which is expected. */
function kubeletStep(context: Context, host: ClusterHost): Step[] {
  if (!context.nodes.includes(host)) return [];
  return [
    {
      id: "kubelet-enabled",
      title: "kubelet starts at boot",
      check: call("systemctl", "is-enabled", "--quiet", "kubelet"),
      apply: call("enable_service", "kubelet"),
      undo: call("disable_services", "kubelet"),
    },
  ];
}
