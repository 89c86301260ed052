import type { Step } from "./step.ts";

/** In the order in which they are run. */
export const STAGES = [
  "hosts",
  "trust",
  "serve",
  "repository",
  "packages",
  "runtime",
  "registry",
  "load-balancer",
  "etcd",
  "control-plane",
  "network",
  "workers",
  "addons",
  "verify",
] as const;

export type StageName = (typeof STAGES)[number];

/** What one host does in a wave. */
export interface Work {
  host: string;
  steps: Step[];
}

/** Hosts that work side by side; the next wave begins when all are done. */
export type Wave = Work[];

/** A stage of a plan. What a stage does in one wave may count on all that was before, on every host. */
export interface PlannedStage {
  name: StageName;
  waves: Wave[];
}

/** What is to be so, on which host, in which order. Holds secrets. */
export interface Plan {
  stages: PlannedStage[];
}

/** Steps of a host in a plan, with the stage that each belongs to. */
export function stepsOn(plan: Plan, host: string): { stage: StageName; step: Step }[] {
  return plan.stages.flatMap(({ name, waves }) =>
    waves.flatMap((wave) =>
      wave
        .filter((work) => work.host === host)
        .flatMap(({ steps }) => steps.map((step) => ({ stage: name, step }))),
    ),
  );
}

/** Without what would be empty. */
export function tidy(stages: PlannedStage[]): Plan {
  const kept = stages.map(({ name, waves }) => ({
    name,
    waves: waves
      .map((wave) => wave.filter(({ steps }) => steps.length > 0))
      .filter((wave) => wave.length > 0),
  }));
  return { stages: kept.filter(({ waves }) => waves.length > 0) };
}

/** A plan of fewer stages or hosts. */
export function narrow(
  plan: Plan,
  {
    only,
    skip,
    hosts,
  }: { only?: readonly StageName[]; skip?: readonly StageName[]; hosts?: readonly string[] },
): Plan {
  const stages = plan.stages
    .filter(({ name }) => (only === undefined || only.includes(name)) && !(skip?.includes(name) ?? false))
    .map(({ name, waves }) => ({
      name,
      waves: waves.map((wave) => wave.filter(({ host }) => hosts === undefined || hosts.includes(host))),
    }));
  return tidy(stages);
}
