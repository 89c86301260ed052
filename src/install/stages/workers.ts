import type { ClusterHost } from "../../cluster/cluster.ts";
import { sh } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import type { Step } from "../../plan/step.ts";
import { type Context, wave } from "../context.ts";
import { joinStep } from "./control-plane.ts";

/** Workers join side by side; then the administrator gives nodes the labels and taints of the cluster file. */
export function workersStage(context: Context): Wave[] {
  const workers = context.hosts("worker").filter(({ roles }) => !roles.includes("control-plane"));
  return [
    wave(workers, (host) => [joinStep(context, host)]),
    [{ host: context.first.name, steps: context.nodes.flatMap(nodeStep) }],
  ];
}

function nodeStep(host: ClusterHost): Step[] {
  const labels = Object.entries(host.labels).map(([key, value]) => `${key}=${value}`);
  if (labels.length === 0 && host.taints.length === 0) return [];
  const taints = host.taints.map((taint) => taint.replace(/^([^=:]+):/, "$1=:"));
  return [
    {
      id: `node-${host.name}`,
      title: `${host.name} has its ${labels.length > 0 ? "labels" : "taints"}`,
      check: sh`
        found=$(kubectl get nodes -o name -l ${["kubernetes.io/hostname", ...labels].join(",")} --field-selector ${`metadata.name=${host.name}`})
        [ -n "$found" ] || fail "labels are missing"
        taints=$(kubectl get node ${host.name} -o 'jsonpath={range .spec.taints[*]}{.key}={.value}:{.effect}{"\n"}{end}')
        for taint in ${taints}; do printf '%s\n' "$taints" | grep -qxF "$taint" || fail "the taint $taint is missing"; done`,
      apply: [
        sh`wait_for 120 kubectl get node ${host.name}`,
        ...(labels.length > 0 ? [sh`kubectl label --overwrite node ${host.name} ${labels}`] : []),
        ...(taints.length > 0 ? [sh`kubectl taint --overwrite node ${host.name} ${taints}`] : []),
      ].join("\n"),
    },
  ];
}
