import type { Cluster } from "../../cluster/cluster.ts";
import { call } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import type { Step } from "../../plan/step.ts";
import { type Context, wave } from "../context.ts";
import { CERTS, containerdSteps } from "./containerd.ts";
import { DOCKER_LOGIN, dockerSteps } from "./docker.ts";

/** The container runtime of every node, configured to pull images from the site. */
export function runtimeStage(context: Context): Wave[] {
  const steps = context.cluster.runtime === "docker" ? dockerSteps : containerdSteps;
  return [wave(context.nodes, (host) => [...steps(context, host), sandboxStep(context)])];
}

/** Calls that check a runtime for images, and that pull them: images follow as arguments. */
export function imageCalls({ runtime }: Cluster): { has: [string]; pull: [string, string] } {
  return runtime === "docker"
    ? { has: ["docker_has_images"], pull: ["docker_pull", DOCKER_LOGIN] }
    : { has: ["containerd_has_images"], pull: ["containerd_pull", CERTS] };
}

/** The pull proves name, authority, login and mirror before kubeadm needs them. */
function sandboxStep({ images, cluster }: Context): Step {
  const { has, pull } = imageCalls(cluster);
  return {
    id: "pull",
    title: `An image comes from the site's registry: ${images.sandbox}`,
    check: call(...has, images.sandbox),
    apply: call("wait_for", 30, ...pull, images.sandbox),
  };
}
