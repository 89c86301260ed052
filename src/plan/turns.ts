import { type PlacedStep, type Plan, placed } from "./stage.ts";

/** One turn of a host: what it does before another host must act. */
export interface Turn {
  host: string;
  steps: PlacedStep[];
}

interface Unit {
  stage: string;
  needs: readonly string[];
  wave: number;
  host: string;
  steps: PlacedStep[];
}

function unitsOf(plan: Plan): Unit[] {
  return plan.stages.flatMap(({ name, needs, waves }) =>
    waves.flatMap((wave, i) =>
      wave.map(({ host, steps }) => ({
        stage: name,
        needs,
        wave: i,
        host,
        steps: placed(name, steps),
      })),
    ),
  );
}

/** Whether everything that a unit needs is done. */
const ready = (unit: Unit, pending: Unit[]): boolean =>
  !pending.some(
    (other) => unit.needs.includes(other.stage) || (other.stage === unit.stage && other.wave < unit.wave),
  );

/**
 * A plan as turns: each host does as much as it can before another host must act. In the order given,
 * which is the order of the files.
 */
export function turnsOf(plan: Plan, hosts: string[]): Turn[] {
  let pending = unitsOf(plan);
  const turns: Turn[] = [];
  while (pending.length > 0) {
    const host = hosts.find((name) => {
      const next = pending.find((unit) => unit.host === name);
      return next !== undefined && ready(next, pending);
    });
    if (host === undefined) throw new Error("the plan's stages wait for each other");
    const turn: Turn = { host, steps: [] };
    for (;;) {
      const next = pending.find((unit) => unit.host === host);
      if (next === undefined || !ready(next, pending)) break;
      turn.steps.push(...next.steps);
      pending = pending.filter((unit) => unit !== next);
    }
    turns.push(turn);
  }
  return turns;
}
