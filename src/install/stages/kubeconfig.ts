import type { ClusterHost } from "../../cluster/cluster.ts";
import { call } from "../../plan/shell.ts";
import type { Step } from "../../plan/step.ts";
import type { Context } from "../context.ts";

const COMPLETED = ["kubectl", "kubeadm"];

/** A user who logs in on a control plane can use kubectl, with completion. */
export function userSteps(_context: Context, host: ClusterHost): Step[] {
  const { sudo, user } = host.ssh;
  const users = [...new Set(["root", ...(sudo && user ? [user] : [])])];
  return [...users.map(kubeconfigStep), completionStep()];
}

/** The administrator's kubeconfig at the path where kubectl looks for it. */
function kubeconfigStep(user: string): Step {
  return {
    id: `kubeconfig-${user}`,
    title: `kubectl works for ${user}`,
    check: call("kubeconfig_is_current", user),
    apply: call("copy_kubeconfig", user),
    undo: call("give_back_kubeconfig", user),
  };
}

function completionStep(): Step {
  return {
    id: "completion",
    title: "bash completes kubectl and kubeadm",
    check: call("completes", ...COMPLETED),
    apply: call("make_completions", ...COMPLETED),
    undo: call("remove_completions", ...COMPLETED),
  };
}
