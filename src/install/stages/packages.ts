import type { ClusterHost } from "../../cluster/cluster.ts";
import { sh } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import type { Step } from "../../plan/step.ts";
import type { PackageSet } from "../bundle.ts";
import { type Context, familyOf, setFor, wave } from "../context.ts";
import { debSteps } from "./packages-deb.ts";
import { rpmSteps } from "./packages-rpm.ts";
import { timeSteps } from "./time.ts";
import { type Wanted, wantedOn } from "./wanted.ts";

/** What must not be upgraded behind the cluster's back. */
const HELD =
  /^(?:kubelet|kubeadm|kubectl|cri-tools|kubernetes-cni|containerd(?:\.io)?|runc|docker(?:-ce|\.io|-ce-cli|-engine)?|cri-dockerd)$/;

/** Packages are installed from the site's repository alone, after a look at what that would do. */
export function packagesStage(context: Context): Wave[] {
  return [
    wave(context.cluster.hosts, (host) => {
      const facts = context.factsOf(host);
      const set = setFor(context.bundle, facts);
      const wanted = set ? wantedOn(set, host) : [];
      const held = wanted.map(({ name }) => name).filter((name) => HELD.test(name));
      const install =
        set === undefined || wanted.length === 0 ? [] : installSteps(context, host, set, wanted, held);
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

function installSteps(
  context: Context,
  host: ClusterHost,
  set: PackageSet,
  wanted: Wanted[],
  held: string[],
): Step[] {
  const allowed = {
    removal: context.ignored.includes("package-removal"),
    base: context.ignored.includes("base-packages"),
  };
  const family = familyOf(context.factsOf(host));
  return family === "deb"
    ? debSteps(wanted, held, allowed)
    : rpmSteps(context, host, set, { wanted, held, allowed });
}

/** It restarts every few seconds until kubeadm has told it what to do; that is as it should be. */
function kubeletStep(context: Context, host: ClusterHost): Step[] {
  if (!context.nodes.includes(host)) return [];
  return [
    {
      id: "kubelet-enabled",
      title: "kubelet starts at boot",
      check: sh`systemctl is-enabled --quiet kubelet`,
      apply: sh`
        systemctl daemon-reload
        systemctl enable kubelet`,
      undo: sh`systemctl disable --now kubelet 2>/dev/null || :`,
    },
  ];
}
