import type { ClusterHost } from "../../cluster/cluster.ts";
import { call } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import type { Step } from "../../plan/step.ts";
import { type Context, wave } from "../context.ts";
import { forgetWaves, joinSteps, tokenWaves, unfinishedStep } from "./control-plane.ts";

/** Workers join in parallel; then airgap sets the labels and taints of the cluster file on the nodes. */
export function workersStage(context: Context): Wave[] {
  const workers = context.hosts("worker").filter(({ roles }) => !roles.includes("control-plane"));
  return [
    ...forgetWaves(context, workers),
    ...tokenWaves(context, workers),
    wave(workers, (host) => [...unfinishedStep(context, host), ...joinSteps(context, host)]),
    ...context.nodes.map(
      (host): Wave => [{ host: context.first.name, steps: nodeStep(host), for: [host.name] }],
    ),
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
      check: call("node_is_marked", host.name, labels, taints),
      apply: call("mark_node", host.name, labels, taints),
    },
  ];
}
