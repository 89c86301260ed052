import type { Wave } from "../../plan/stage.ts";
import { type Context, wave } from "../context.ts";
import { containerdSteps } from "./containerd.ts";
import { dockerSteps } from "./docker.ts";

/** The container runtime of every node, told where images come from. */
export function runtimeStage(context: Context): Wave[] {
  const steps = context.cluster.runtime === "docker" ? dockerSteps : containerdSteps;
  return [wave(context.nodes, (host) => steps(context, host))];
}
