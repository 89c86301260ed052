import type { ClusterHost } from "../../cluster/cluster.ts";
import { sh } from "../../plan/shell.ts";
import type { Step } from "../../plan/step.ts";
import type { Context } from "../context.ts";

const ADMIN = "/etc/kubernetes/admin.conf";

/** What somebody who logs in on a control plane finds: kubectl works, and completes. */
export function userSteps(_context: Context, host: ClusterHost): Step[] {
  const user = host.ssh.user;
  const users = [...new Set(["root", ...(host.ssh.sudo ? [user] : [])])];
  return [...users.map(kubeconfigStep), completionStep()];
}

/** The administrator's kubeconfig where kubectl looks for it. */
function kubeconfigStep(user: string): Step {
  return {
    id: `kubeconfig-${user}`,
    title: `kubectl works for ${user}`,
    check: sh`
      home=$(getent passwd ${user} | cut -d: -f6)
      cmp -s ${ADMIN} "$home/.kube/config"`,
    apply: sh`
      home=$(getent passwd ${user} | cut -d: -f6)
      [ -n "$home" ] || fail ${`there is no user ${user}`}
      install -d -m 700 -o ${user} "$home/.kube"
      keep "$home/.kube/config"
      install -m 600 -o ${user} ${ADMIN} "$home/.kube/config"`,
    undo: sh`
      home=$(getent passwd ${user} | cut -d: -f6)
      [ -z "$home" ] || give_back "$home/.kube/config"`,
  };
}

function completionStep(): Step {
  const dir = "/etc/bash_completion.d";
  return {
    id: "completion",
    title: "bash completes kubectl and kubeadm",
    check: sh`for name in kubectl kubeadm; do [ -s ${dir}/"$name" ] || fail "$name is not completed"; done`,
    apply: sh`
      mkdir -p ${dir}
      for name in kubectl kubeadm; do "$name" completion bash >${dir}/"$name"; done`,
    undo: sh`rm -f ${dir}/kubectl ${dir}/kubeadm`,
  };
}
