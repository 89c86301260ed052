import type { Step } from "./step.ts";

/** The steps of one host in a wave. */
export interface Work {
  host: string;
  steps: Step[];
  /** Other hosts that depend on it: a plan that is narrowed to one of them keeps it. */
  for?: string[] | undefined;
}

/** Hosts that work side by side; the next wave begins when all are done. */
export type Wave = Work[];

/** One chapter of a plan. Stages run in the order of their list. */
export interface Stage<Context, Name extends string = string> {
  name: Name;
  /** What is true after this stage, for help and docs. */
  title: string;
  /** Stages that every host must finish before any host begins this one. Each host keeps the list's order anyway. */
  needs: readonly string[];
  /** Its checks look at other hosts too: after any change on any host they run again. */
  wholeCluster?: boolean;
  waves(context: Context): Wave[];
}

/** A stage of a plan. A host may rely on its own stages before, on every host having done what `needs` names, and on earlier waves. */
export interface PlannedStage {
  name: string;
  needs: readonly string[];
  wholeCluster: boolean;
  waves: Wave[];
}

/** The steps of every host, in order. Holds secrets. */
export interface Plan {
  stages: PlannedStage[];
}

/** Pure: the same stages and context give the same plan. */
export function makePlan<Context>(stages: readonly Stage<Context>[], context: Context): Plan {
  return tidy(
    stages.map((stage) => ({
      name: stage.name,
      needs: stage.needs,
      wholeCluster: stage.wholeCluster ?? false,
      waves: stage.waves(context),
    })),
  );
}

/** A step with its stage. */
export interface PlacedStep {
  stage: string;
  step: Step;
}

/** `hosts/swap`: the name of a step in events, in logs and on the host. */
export const fullId = ({ stage, step }: PlacedStep): string => `${stage}/${step.id}`;

export const placed = (stage: string, steps: Step[]): PlacedStep[] => steps.map((step) => ({ stage, step }));

/** The steps of every host in a plan, each with its stage. */
export function stepsByHost({ stages }: Plan): Map<string, PlacedStep[]> {
  const found = new Map<string, PlacedStep[]>();
  for (const { name, waves } of stages)
    for (const { host, steps } of waves.flat()) {
      const known = found.get(host) ?? [];
      known.push(...placed(name, steps));
      found.set(host, known);
    }
  return found;
}

/** Steps of a host in a plan, each with its stage. */
export const stepsOn = (plan: Plan, host: string): PlacedStep[] => stepsByHost(plan).get(host) ?? [];

/** Removes empty work, waves and stages. */
function tidy(stages: PlannedStage[]): Plan {
  const kept = stages.map((stage) => ({
    ...stage,
    waves: stage.waves
      .map((wave) => wave.filter(({ steps }) => steps.length > 0))
      .filter((wave) => wave.length > 0),
  }));
  return { stages: kept.filter(({ waves }) => waves.length > 0) };
}

export interface Selection {
  only?: readonly string[] | undefined;
  skip?: readonly string[] | undefined;
  hosts?: readonly string[] | undefined;
}

/** Every host that has something to do in a plan. */
export const hostsIn = (plan: Plan): string[] => [
  ...new Set(plan.stages.flatMap(({ waves }) => waves.flat().map(({ host }) => host))),
];

/** A plan of fewer stages or hosts. */
export function narrow(plan: Plan, { only, skip, hosts }: Selection): Plan {
  const kept = (host: string): boolean => hosts === undefined || hosts.includes(host);
  const stages = plan.stages
    .filter(({ name }) => (only === undefined || only.includes(name)) && !(skip?.includes(name) ?? false))
    .map((stage) => ({
      ...stage,
      waves: stage.waves.map((wave) =>
        wave.filter(({ host, for: others = [] }) => [host, ...others].some(kept)),
      ),
    }));
  return tidy(stages);
}
