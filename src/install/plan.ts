import { AirgapError } from "../errors.ts";
import type { Cluster } from "./cluster.ts";
import { type Context, makeContext, type PlanInput } from "./context.ts";
import { type Plan, STAGES, type StageName, tidy, type Wave } from "./stage.ts";
import { addonsStage } from "./stages/addons.ts";
import { controlPlaneStage } from "./stages/control-plane.ts";
import { hostsStage } from "./stages/hosts.ts";
import { networkStage } from "./stages/network.ts";
import { packagesStage } from "./stages/packages.ts";
import { registryStage } from "./stages/registry.ts";
import { repositoryStage } from "./stages/repository.ts";
import { runtimeStage } from "./stages/runtime.ts";
import { serveStage } from "./stages/serve.ts";
import { trustStage } from "./stages/trust.ts";
import { verifyStage } from "./stages/verify.ts";
import { workersStage } from "./stages/workers.ts";

/** What each stage wants to be so. The order of the stages is that of STAGES. */
const MAKERS: Partial<Record<StageName, (context: Context) => Wave[]>> = {
  hosts: hostsStage,
  trust: trustStage,
  serve: serveStage,
  repository: repositoryStage,
  packages: packagesStage,
  runtime: runtimeStage,
  registry: registryStage,
  "control-plane": controlPlaneStage,
  network: networkStage,
  workers: workersStage,
  addons: addonsStage,
  verify: verifyStage,
};

/** What a cluster file may say and this version can't do yet: refused by name, never passed over. */
const NOT_YET: [string, (cluster: Cluster) => boolean][] = [
  ["registry.mode: harbor", ({ registry }) => registry.mode === "harbor"],
  ["etcd: external", ({ etcd }) => etcd === "external"],
  ["hosts with the role etcd", ({ hosts }) => hosts.some(({ roles }) => roles.includes("etcd"))],
  [
    "hosts with the role load-balancer",
    ({ hosts, endpoint }) =>
      (endpoint?.loadBalancers.length ?? 0) > 0 || hosts.some(({ roles }) => roles.includes("load-balancer")),
  ],
];

/**
 * What is to be so on every host, in which order. Pure: it asks nobody, and the same input gives
 * the same plan. Holds secrets.
 * @throws AirgapError `unsupported`, `spec`, `not-closed`
 */
export function makePlan(input: PlanInput): Plan {
  const refused = NOT_YET.filter(([, wanted]) => wanted(input.cluster)).map(([key]) => key);
  if (refused.length > 0)
    throw new AirgapError("unsupported", `This version of airgap can't install ${refused.join(", ")}`);
  const context = makeContext(input);
  return tidy(STAGES.map((name) => ({ name, waves: MAKERS[name]?.(context) ?? [] })));
}
